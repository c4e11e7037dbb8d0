"""What becomes of the lease of a process that was killed."""

from __future__ import annotations

import pytest
from sqlalchemy import select

from core import jobs
from core.models import Shard
from core.settings import Settings
from core.states import ShardState
from tests.worker.conftest import Submit, png
from worker.process import WorkerProcess, process_name
from worker.request import free_lease


@pytest.fixture
def shard_id(here: WorkerProcess, submit: Submit) -> int:
    """A shard of four images, leased by process 1 of this host."""
    submit({f"{seed}.png": png(seed) for seed in range(4)})
    with here.database.writing() as session:
        shard_id = session.scalars(select(Shard.id)).one()
        assert jobs.claim(session, shard_id, process_name(1), 60)
    return shard_id


def shard(here: WorkerProcess, shard_id: int) -> Shard:
    with here.database.reading() as session:
        return session.get_one(Shard, shard_id)


def test_the_lease_of_a_killed_process_is_free_at_once(here: WorkerProcess, shard_id: int) -> None:
    free_lease(here.settings, shard_id, process_name(1))
    freed = shard(here, shard_id)
    assert (freed.state, freed.attempt) == (ShardState.WAITING, 1)


def test_another_process_keeps_its_lease(here: WorkerProcess, shard_id: int) -> None:
    free_lease(here.settings, shard_id, process_name(2))
    assert shard(here, shard_id).state is ShardState.LEASED


def test_a_shard_that_kills_twice_is_halved(here: WorkerProcess, shard_id: int) -> None:
    free_lease(here.settings, shard_id, process_name(1))
    with here.database.writing() as session:
        assert jobs.claim(session, shard_id, process_name(3), 60)
    free_lease(here.settings, shard_id, process_name(3))
    assert shard(here, shard_id).state is ShardState.SPLIT
    with here.database.reading() as session:
        halves = session.scalars(select(Shard.size).where(Shard.id != shard_id)).all()
    assert halves == [2, 2]


def test_a_database_that_is_away_is_left_to_the_sweep(settings: Settings) -> None:
    away = settings.model_copy(update={"database_url": "sqlite:////nowhere/at/all.db"})
    free_lease(away, 1, process_name(1))
