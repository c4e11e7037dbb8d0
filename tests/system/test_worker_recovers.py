"""A real worker over a real broker: it works, and goes on when one of its processes is killed."""

from __future__ import annotations

import io
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import numpy as np
import pytest
from PIL import Image as Picture
from sqlalchemy import func, select

from benchmarks.rig import frozen
from core import jobs
from core.blobs import LocalBlobs
from core.db import Database
from core.doorbell import Doorbell
from core.intake import Limits, accept
from core.jobs.queries import Fleet
from core.people import accounts
from core.queue import CeleryQueue
from core.settings import Settings
from core.states import JobState, ShardState
from core.tables import Job, Prediction, Shard, Worker
from hematovision.installing import install
from tests.system.conftest import Broker
from tests.waiting import until

PATIENCE = 60.0
SHARD = 4


@pytest.fixture
def settings(tmp_path: Path, broker_url: str) -> Settings:
    # A lease far longer than the test: what a killed process held must be freed, not run out.
    settings = Settings(data=tmp_path, redis_url=broker_url, shard_size=SHARD, lease_seconds=300)
    install(settings)
    return settings


@pytest.fixture
def database(settings: Settings) -> Iterator[Database]:
    database = Database(settings.database)
    with database.writing() as session:
        accounts.ensure_roles(session)
        accounts.first_administrator(session, "lab@example.org")
    yield database
    database.dispose()


def start(settings: Settings, part: str) -> subprocess.Popen[bytes]:
    """Start the worker with two processes, or the sweep."""
    names = ("data", "redis_url", "shard_size", "lease_seconds")
    own = {f"HEMATOVISION_{name.upper()}": str(getattr(settings, name)) for name in names}
    options = ", processes=2, threads=1" if part == "main" else ""
    code = (
        f"from core.settings import Settings; from worker.{part} import serve; "
        f"serve(Settings.from_env(){options})"
    )
    return subprocess.Popen([sys.executable, "-c", code], env={**os.environ, **own})


@pytest.fixture
def programs(settings: Settings) -> Iterator[subprocess.Popen[bytes]]:
    """The worker, and the sweep beside it; yields the worker."""
    running = [start(settings, part) for part in ("main", "sweeper")]
    yield running[0]
    for program in running:
        program.terminate()
    for program in running:
        assert program.wait(20) in (0, -signal.SIGKILL)


def picture(seed: int) -> bytes:
    """A picture large enough to keep a worker busy for a moment."""
    colours = np.random.default_rng(seed).integers(0, 255, (60, 60, 3), dtype=np.uint8)
    out = io.BytesIO()
    Picture.fromarray(colours).resize((900, 900)).save(out, "PNG", compress_level=1)
    return out.getvalue()


def submit(database: Database, settings: Settings, seeds: range) -> int:
    Doorbell(database, CeleryQueue(settings.redis_url), settings)
    blobs, limits = LocalBlobs(settings.blobs), Limits(settings.max_file_bytes, 10**8)
    with database.writing() as session:
        person = accounts.find_person(session, "lab@example.org")
        job = jobs.create(session, person.id, "Ward 3")
        entries = [jobs.Entry(f"{seed}.png", 1) for seed in seeds]
        for seed, (image, _) in zip(seeds, jobs.announce(session, job, entries, 1000), strict=True):
            accepted = accept(io.BytesIO(picture(seed)), blobs, limits)
            jobs.receive(session, job, image, accepted)
        jobs.submit(session, job, settings, without_missing=False)
        return job.id


wait_for = partial(until, seconds=PATIENCE, pause=0.02)


def finished(database: Database, job_id: int) -> bool:
    with database.reading() as session:
        return session.get_one(Job, job_id).state is JobState.FINISHED


def at_work(database: Database) -> tuple[int, int] | None:
    """A leased shard and the process that works on it."""
    with database.reading() as session:
        row = session.execute(
            select(Shard.id, Shard.worker)
            .where(Shard.state == ShardState.LEASED)
            .order_by(Shard.id)
        ).first()
    return (row[0], int((row[1] or "").rpartition(":")[2])) if row else None


def kill_at_work(database: Database) -> int:
    """Kill a process that certainly holds a lease, and return the shard it held."""
    while True:
        wait_for(lambda: at_work(database))
        if held := at_work(database):
            os.kill(held[1], signal.SIGSTOP)
            if at_work(database) == held:
                os.kill(held[1], signal.SIGKILL)
                return held[0]
            os.kill(held[1], signal.SIGCONT)


def workers(database: Database) -> set[str]:
    with database.reading() as session:
        return {*session.scalars(select(Worker.name))}


def test_a_job_finishes_though_a_process_is_killed_at_work(
    settings: Settings, database: Database, programs: subprocess.Popen[bytes]
) -> None:
    first = submit(database, settings, range(24))
    wait_for(lambda: finished(database, first))

    before = workers(database)
    second = submit(database, settings, range(24, 48))
    killed = kill_at_work(database)
    wait_for(lambda: finished(database, second))

    with database.reading() as session:
        for job_id in (first, second):
            counts = jobs.counts(session, [session.get_one(Job, job_id)])[job_id]
            assert (counts.received, counts.classified, counts.failed) == (24, 24, 0)
        assert session.scalar(select(func.count()).select_from(Prediction)) == 48
        assert session.get_one(Shard, killed).attempt == 2
    wait_for(lambda: len(workers(database)) == 2 and workers(database) != before)
    assert programs.poll() is None


def test_work_goes_on_while_the_broker_is_frozen_and_after(
    settings: Settings,
    database: Database,
    programs: subprocess.Popen[bytes],
    broker: Broker,
) -> None:
    wait_for(lambda: len(workers(database)) == 2)
    with frozen(broker.process.pid):
        for seeds in (range(1), range(1, 30)):
            job_id = submit(database, settings, seeds)
            wait_for(partial(finished, database, job_id))
    last = submit(database, settings, range(30, 40))
    wait_for(lambda: finished(database, last))
    assert programs.poll() is None


def test_work_is_done_without_any_broker(settings: Settings, database: Database) -> None:
    nowhere = settings.model_copy(update={"redis_url": f"redis+socket://{settings.data}/none"})
    worker = start(nowhere, "main")
    try:
        wait_for(lambda: len(workers(database)) == 2)
        job_id = submit(database, nowhere, range(10))
        wait_for(lambda: finished(database, job_id))
    finally:
        worker.kill()
        worker.wait()


def test_what_a_killed_worker_held_is_free_when_it_is_started_again(
    settings: Settings, database: Database, programs: subprocess.Popen[bytes]
) -> None:
    """Its processes die with it; the leases would last longer than anybody waits here."""
    job_id = submit(database, settings, range(40))
    wait_for(lambda: at_work(database))
    programs.kill()
    programs.wait()
    again = start(settings, "main")
    try:
        wait_for(lambda: finished(database, job_id))
    finally:
        again.terminate()
        assert again.wait(20) == 0
    with database.reading() as session:
        counts = jobs.counts(session, [session.get_one(Job, job_id)])[job_id]
    assert (counts.classified, counts.failed) == (40, 0)


def test_a_frozen_worker_is_silent_and_goes_on_when_it_can(
    settings: Settings, database: Database, programs: subprocess.Popen[bytes]
) -> None:
    wait_for(lambda: len(workers(database)) == 2)
    pids = [int(name.rpartition(":")[2]) for name in workers(database)]
    job_id = submit(database, settings, range(60))
    wait_for(lambda: at_work(database))

    def fleet() -> Fleet:
        with database.reading() as session:
            return jobs.fleet(session)

    with frozen(programs.pid, *pids):
        wait_for(lambda: fleet() == Fleet(alive=0, silent=2))
        assert not finished(database, job_id)
    wait_for(lambda: finished(database, job_id))
    assert fleet() == Fleet(alive=2, silent=0)
