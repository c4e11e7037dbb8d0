"""What becomes of the leases of a process that was killed."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest
from sqlalchemy import select

from core import jobs
from core.db import Database
from core.made import reports
from core.states import Lane, MakingState, ShardState
from core.tables import Explanation, Image, Report, Shard
from tests.worker.conftest import Submit, png
from worker.freeing import free, free_the_dead, process_name
from worker.process import WorkerProcess


@pytest.fixture
def shard_id(process: WorkerProcess, submit: Submit) -> int:
    """A shard of four images, leased by process 1 of this host."""
    submit({f"{seed}.png": png(seed) for seed in range(4)})
    with process.database.writing() as session:
        shard_id = session.scalars(select(Shard.id)).one()
        assert jobs.claim(session, shard_id, process_name(1), 60)
    return shard_id


def shard(process: WorkerProcess, shard_id: int) -> Shard:
    with process.database.reading() as session:
        return session.get_one(Shard, shard_id)


def test_the_lease_of_a_killed_process_is_free_at_once(
    process: WorkerProcess, shard_id: int
) -> None:
    assert free(process.database, process_name(1), 3) == 1
    freed = shard(process, shard_id)
    assert (freed.state, freed.attempt) == (ShardState.WAITING, 1)


def test_another_process_keeps_its_lease(process: WorkerProcess, shard_id: int) -> None:
    assert free(process.database, process_name(2), 3) == 0
    assert shard(process, shard_id).state is ShardState.LEASED


def test_a_shard_that_kills_twice_is_halved(process: WorkerProcess, shard_id: int) -> None:
    free(process.database, process_name(1), 3)
    with process.database.writing() as session:
        assert jobs.claim(session, shard_id, process_name(3), 60)
    free(process.database, process_name(3), 3)
    assert shard(process, shard_id).state is ShardState.SPLIT
    with process.database.reading() as session:
        halves = session.scalars(select(Shard.size).where(Shard.id != shard_id)).all()
    assert halves == [2, 2]


def test_all_that_a_process_held_is_free_whatever_its_message_was_about(
    process: WorkerProcess, submit: Submit
) -> None:
    """A shard of a big job, one of a small job that was let pass, a report, an explanation."""
    first = submit({f"{seed}.png": png(seed) for seed in range(17)})
    second = submit({"other.png": png(99)})
    killed = process_name(77)
    with process.database.writing() as session:
        shards = session.scalars(select(Shard).order_by(Shard.id)).all()
        assert {shard.lane for shard in shards} == {Lane.BATCH, Lane.INTERACTIVE}
        held = sum(jobs.claim(session, shard.id, killed, 60) is not None for shard in shards)
        report = Report(job_id=first, paper="A4")
        session.add(report)
        session.flush()
        assert reports.claim(session, report.id, killed, 60)
        image = session.scalars(select(Image).where(Image.job_id == second)).one()
        wanted = Explanation(image_id=image.id, model_digest=process.models.shipped.digest)
        wanted.state, wanted.worker, wanted.lease_until = MakingState.MAKING, killed, 4e9
        session.add(wanted)
    assert free(process.database, killed, 3) == held + 2
    with process.database.reading() as session:
        assert set(session.scalars(select(Shard.state))) == {ShardState.WAITING}
        for kind in (Report, Explanation):
            assert session.scalars(select(kind.state)).all() == [MakingState.WAITING]


def test_a_new_process_frees_what_dead_ones_of_its_machine_held(
    process: WorkerProcess, submit: Submit
) -> None:
    submit({f"{seed}.png": png(seed) for seed in range(40)})
    dead = subprocess.Popen([sys.executable, "-c", ""])
    dead.wait()
    # Nobody has asked yet how this one ended: the system still knows it.
    zombie = subprocess.Popen([sys.executable, "-c", ""])
    os.waitid(os.P_PID, zombie.pid, os.WEXITED | os.WNOWAIT)
    names = {
        process_name(dead.pid): True,
        process_name(zombie.pid): True,
        process_name(os.getpid()): True,  # This one is new: its name was another's before.
        process_name(os.getppid()): False,
        "elsewhere:999999": False,
    }
    with process.database.writing() as session:
        ids = session.scalars(select(Shard.id).order_by(Shard.id)).all()
        for id_, name in zip(ids, names, strict=False):
            assert jobs.claim(session, id_, name, 60)
    freed = free_the_dead(process.database, 3)
    zombie.wait()
    assert freed == 3
    with process.database.reading() as session:
        held = session.scalars(select(Shard.worker).where(Shard.state == ShardState.LEASED)).all()
    assert sorted(held, key=str) == sorted(name for name, is_dead in names.items() if not is_dead)


def test_a_database_that_is_away_is_left_to_the_sweep() -> None:
    away = Database("sqlite:////nowhere/at/all.db")
    assert free(away, process_name(1), 3) == 0
    assert free_the_dead(away, 3) == 0
