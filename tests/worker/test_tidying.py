"""The sweep removes for good what was deleted, and people whose grace is over."""

from __future__ import annotations

import datetime as dt
import threading
from dataclasses import replace
from pathlib import Path

import pytest

from core import jobs
from core.audit import SYSTEM
from core.blobs import LocalBlobs, image_key
from core.db import Database, utcnow
from core.installation import Installation
from core.people import accounts
from core.queue import MemoryQueue
from core.settings import Settings
from core.tables import Image, Job, User
from tests.worker.conftest import Submit, png
from worker.process import WorkerProcess
from worker.sweeper import run
from worker.tidying import purge_once


@pytest.fixture
def store(settings: Settings) -> LocalBlobs:
    """The store that the settings name."""
    return LocalBlobs(settings.blobs)


def test_the_sweep_removes_a_deleted_job_though_the_queue_is_away(
    process: WorkerProcess, submit: Submit, store: LocalBlobs, queue: MemoryQueue
) -> None:
    job_id = submit({"a.png": png(1)})
    with process.database.writing() as session:
        job = session.get_one(Job, job_id)
        [work] = [image.sha256 for image in session.query(Image)]
        store.put(image_key(work or ""), b"bytes")
        jobs.delete(session, job, process.settings, SYSTEM, at_once=True)
    queue.broken = True
    stop = threading.Event()
    sweep = threading.Thread(
        target=run, args=(Installation(process.settings, process.database, store, queue), stop)
    )
    sweep.start()
    for _ in range(200):
        if not store.exists(image_key(work or "")):
            break
        stop.wait(0.05)
    stop.set()
    sweep.join()
    assert not store.exists(image_key(work or ""))


def test_people_are_erased_when_their_time_has_come(
    process: WorkerProcess, store: LocalBlobs
) -> None:
    with process.database.writing() as session:
        person = User(email="gone@example.org", active=False)
        person.erase_at = utcnow() - dt.timedelta(seconds=1)
        session.add(person)
    assert purge_once(replace(process, blobs=store)) is None
    with process.database.reading() as session:
        assert accounts.person_or_none(session, "gone@example.org") is None
        assert session.get_one(User, person.id).erased_at is not None


def test_what_is_in_the_way_is_a_sentence(
    process: WorkerProcess, submit: Submit, store: LocalBlobs, settings: Settings
) -> None:
    nowhere = Database("sqlite:////nowhere/at/all.db")
    assert "database" in (purge_once(Installation(settings, nowhere, store, MemoryQueue())) or "")
    job_id = submit({"a.png": png(1)})
    with process.database.writing() as session:
        jobs.delete(session, session.get_one(Job, job_id), settings, SYSTEM, at_once=True)
        [sha256] = [image.sha256 for image in session.query(Image)]
    # A folder where the file should be is what the disk may say of a damaged store.
    Path(settings.blobs / image_key(sha256 or "")).mkdir(parents=True)
    assert "image store" in (
        purge_once(Installation(settings, process.database, store, MemoryQueue())) or ""
    )
