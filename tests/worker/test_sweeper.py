"""The sweep goes on whatever is away, ends when told to, and removes for good what was deleted."""

from __future__ import annotations

import datetime as dt
import os
import signal
import subprocess
import sys
import threading
import time
from dataclasses import replace
from functools import partial
from pathlib import Path

import pytest
from sqlalchemy import select, update
from sqlalchemy.exc import OperationalError

from core import jobs
from core.audit import SYSTEM
from core.blobs import LocalBlobs, image_key
from core.db import Database, clock, utcnow
from core.installation import Installation
from core.people import accounts
from core.queue import MemoryQueue
from core.settings import Settings
from core.states import ShardState
from core.tables import Image, Job, Shard, User
from tests.worker.conftest import Submit, png
from worker.process import WorkerProcess
from worker.sweeper import purge_once, run, sweep_once


def lose_messages(process: WorkerProcess) -> None:
    with process.database.writing() as session:
        session.execute(update(Shard).values(published_at=clock() - 600))


def test_a_lost_message_is_rung_for_again(
    process: WorkerProcess, submit: Submit, queue: MemoryQueue
) -> None:
    submit({"a.png": png(1)})
    queue.rung.clear()
    lose_messages(process)
    sweep_once(process)
    assert len(queue.rung) == 1


def test_a_queue_that_is_away_is_no_error_and_a_database_is_one(
    process: WorkerProcess, submit: Submit, queue: MemoryQueue
) -> None:
    submit({"a.png": png(1)})
    lose_messages(process)
    queue.broken = True
    sweep_once(process)
    nowhere = Database("sqlite:////nowhere/at/all.db")
    with pytest.raises(OperationalError):
        sweep_once(Installation(process.settings, nowhere, process.blobs, queue))


def test_without_the_queue_lost_leases_are_taken_back_as_soon_as_ever(
    process: WorkerProcess, submit: Submit, queue: MemoryQueue
) -> None:
    submit({"a.png": png(1)})
    queue.broken = True
    settings = process.settings.model_copy(update={"sweep_seconds": 0.05})
    stop = threading.Event()
    quick = Installation(settings, process.database, process.blobs, queue)
    sweeping = threading.Thread(target=run, args=(quick, stop))
    sweeping.start()
    try:
        for attempt in range(1, 6):
            with process.database.writing() as session:
                shard = session.scalars(select(Shard)).one()
                shard.state, shard.lease_until, shard.attempt = ShardState.LEASED, 1.0, 0
                fence = shard.fence = attempt * 10
            wait_for(partial(_is_free, process, fence))
    finally:
        stop.set()
        sweeping.join(5)


def _is_free(process: WorkerProcess, fence: int) -> bool:
    with process.database.reading() as session:
        shard = session.scalars(select(Shard)).one()
        return shard.fence == fence + 1 and shard.state is not ShardState.LEASED


def test_the_sweep_outlives_a_broken_queue(
    process: WorkerProcess, submit: Submit, queue: MemoryQueue, caplog: pytest.LogCaptureFixture
) -> None:
    submit({"a.png": png(1)})
    lose_messages(process)
    queue.rung.clear()
    queue.broken = True
    settings = process.settings.model_copy(update={"sweep_seconds": 0.05})
    stop = threading.Event()
    quick = Installation(settings, process.database, process.blobs, queue)
    sweeping = threading.Thread(target=run, args=(quick, stop))
    sweeping.start()
    try:
        wait_for(lambda: "The queue does not answer" in caplog.text)
        lose_messages(process)
        queue.broken = False
        wait_for(lambda: queue.rung != [])
    finally:
        stop.set()
        sweeping.join(5)
    assert not sweeping.is_alive()


def wait_for(condition: object) -> None:
    assert callable(condition)
    deadline = time.monotonic() + 5
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.02)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_ends_it_within_a_second(tmp_path: Path, number: signal.Signals) -> None:
    settings = Settings(data=tmp_path, redis_url=f"redis+socket://{tmp_path}/none.sock")
    code = "from core.settings import Settings; from worker.sweeper import serve; "
    sweeper = subprocess.Popen(
        [sys.executable, "-c", code + "serve(Settings.from_env())"],
        env={
            **os.environ,
            "HEMATOVISION_DATA": str(settings.data),
            "HEMATOVISION_REDIS_URL": settings.redis_url,
        },
        stderr=subprocess.PIPE,
        text=True,
    )
    assert sweeper.stderr
    sweeper.stderr.readline()
    told = time.monotonic()
    sweeper.send_signal(number)
    _, log = sweeper.communicate(timeout=5)
    assert time.monotonic() - told < 1.5
    assert sweeper.returncode == 0
    assert "Traceback" not in log


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
