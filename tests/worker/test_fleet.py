"""The fleet as the administrator sees it."""

from __future__ import annotations

import time

from sqlalchemy import select, update

from core.db import Database, clock
from core.tables import Worker
from worker import fleet
from worker.fleet import Badge, Heartbeat, Tally

BADGE = Badge("host:7", "cpu", "onnxruntime")
MODELS = ("d" * 64, "e" * 64)


def workers(database: Database) -> list[Worker]:
    with database.reading() as session:
        return list(session.scalars(select(Worker).order_by(Worker.name)))


def beat(database: Database, badge: Badge, tally: Tally, models: tuple[str, ...] = MODELS) -> None:
    with database.writing() as session:
        fleet.beat(session, badge, tally, models)


def test_a_first_beat_adds_a_row_and_later_ones_keep_it_fresh(database: Database) -> None:
    tally = Tally()
    beat(database, BADGE, tally)
    (first,) = workers(database)
    assert (first.name, first.device, first.images) == ("host:7", "cpu", 0)
    assert first.images_per_second is None
    assert (first.model_digest, first.models) == (MODELS[0], list(MODELS))
    tally.add(32, 0.5)
    beat(database, BADGE, tally, MODELS[1:])
    (second,) = workers(database)
    assert (second.images, second.images_per_second) == (32, 64.0)
    assert (second.model_digest, second.models) == (MODELS[1], [MODELS[1]])
    assert second.seen_at > first.seen_at
    assert second.started_at == first.started_at


def test_a_clean_stop_takes_the_row_away(database: Database) -> None:
    heartbeat = Heartbeat(database, BADGE, Tally(), lambda: MODELS)
    heartbeat.start()
    deadline = time.monotonic() + 5
    while not workers(database) and time.monotonic() < deadline:
        time.sleep(0.02)
    assert workers(database)
    heartbeat.stop()
    assert workers(database) == []


def test_the_rows_of_killed_workers_age_out(database: Database) -> None:
    for name, age in (("host:1", fleet.FORGET_SECONDS + 1), ("host:2", 60)):
        beat(database, Badge(name, "cpu", "onnxruntime"), Tally())
        with database.writing() as session:
            silent = update(Worker).where(Worker.name == name)
            session.execute(silent.values(seen_at=clock() - age))
    beat(database, BADGE, Tally())
    assert [worker.name for worker in workers(database)] == ["host:2", "host:7"]


def test_a_database_that_is_away_does_not_end_the_heartbeat() -> None:
    nowhere = Database("sqlite:////nowhere/at/all.db")
    heartbeat = Heartbeat(nowhere, BADGE, Tally(), lambda: MODELS)
    heartbeat.start()
    heartbeat.stop()


def test_the_speed_is_that_of_the_last_shards() -> None:
    tally = Tally()
    tally.add(10, 10.0)
    for _ in range(20):
        tally.add(10, 1.0)
    assert tally.images == 210
    assert tally.images_per_second == 10.0
