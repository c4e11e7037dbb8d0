"""The fleet as the administrator sees it."""

from __future__ import annotations

import time

from sqlalchemy import select, update

from core.db import Database, clock
from core.tables import Worker
from worker import fleet
from worker.fleet import Badge, Heartbeat, Throughput

BADGE = Badge("host:7", "cpu", "onnxruntime")
MODELS = ("d" * 64, "e" * 64)


def workers(database: Database) -> list[Worker]:
    with database.reading() as session:
        return list(session.scalars(select(Worker).order_by(Worker.name)))


def beat(
    database: Database, badge: Badge, throughput: Throughput, models: tuple[str, ...] = MODELS
) -> None:
    with database.writing() as session:
        fleet.beat(session, badge, throughput, models)


def test_a_first_beat_adds_a_row_and_later_ones_keep_it_fresh(database: Database) -> None:
    throughput = Throughput()
    beat(database, BADGE, throughput)
    (first,) = workers(database)
    assert (first.name, first.device, first.images) == ("host:7", "cpu", 0)
    assert first.images_per_second is None
    assert (first.model_digest, first.models) == (MODELS[0], list(MODELS))
    throughput.add(32, 0.5)
    beat(database, BADGE, throughput, MODELS[1:])
    (second,) = workers(database)
    assert (second.images, second.images_per_second) == (32, 64.0)
    assert (second.model_digest, second.models) == (MODELS[1], [MODELS[1]])
    assert second.seen_at > first.seen_at
    assert second.started_at == first.started_at


def test_a_clean_stop_takes_the_row_away(database: Database) -> None:
    heartbeat = Heartbeat(database, BADGE, Throughput(), lambda: MODELS)
    heartbeat.start()
    deadline = time.monotonic() + 5
    while not workers(database) and time.monotonic() < deadline:
        time.sleep(0.02)
    assert workers(database)
    heartbeat.stop()
    assert workers(database) == []


def test_the_rows_of_killed_workers_age_out(database: Database) -> None:
    for name, age in (("host:1", fleet.FORGET_SECONDS + 1), ("host:2", 60)):
        beat(database, Badge(name, "cpu", "onnxruntime"), Throughput())
        with database.writing() as session:
            silent = update(Worker).where(Worker.name == name)
            session.execute(silent.values(seen_at=clock() - age))
    beat(database, BADGE, Throughput())
    assert [worker.name for worker in workers(database)] == ["host:2", "host:7"]


def test_a_database_that_is_away_does_not_end_the_heartbeat() -> None:
    nowhere = Database("sqlite:////nowhere/at/all.db")
    heartbeat = Heartbeat(nowhere, BADGE, Throughput(), lambda: MODELS)
    heartbeat.start()
    heartbeat.stop()


def test_the_speed_is_that_of_the_last_shards() -> None:
    throughput = Throughput()
    throughput.add(10, 10.0)
    for _ in range(20):
        throughput.add(10, 1.0)
    assert throughput.images == 210
    assert throughput.images_per_second == 10.0
