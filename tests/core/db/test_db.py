"""The engine: nothing is lost between processes, and the clock is the database's."""

from __future__ import annotations

import datetime as dt
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from sqlalchemy import select, text, update
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session

from core.db import Database, clock, insert_if_new, utcnow
from core.errors import ConfigurationError, Conflict
from core.tables import Model, Worker

_ADD_ONE = """
import sys
from sqlalchemy import select
from core.db import Database
from core.tables import Worker
database = Database(sys.argv[1])
for _ in range(50):
    with database.writing() as session:
        worker = session.scalars(select(Worker)).one()
        worker.images = worker.images + 1
"""


def _add_worker(database: Database, **values: object) -> None:
    with database.writing() as session:
        session.add(
            Worker(name="w", device="cpu", backend="x", model_digest="d", seen_at=clock(), **values)
        )


def _worker(database: Database) -> Worker:
    with database.reading() as session:
        return session.scalars(select(Worker)).one()


def test_four_processes_that_read_and_then_write_sqlite_lose_nothing(
    migrated_sqlite: Path, tmp_path: Path
) -> None:
    file = tmp_path / "shared.db"
    file.write_bytes(migrated_sqlite.read_bytes())
    database = Database(f"sqlite:///{file}")
    _add_worker(database)
    command = [sys.executable, "-W", "error", "-c", _ADD_ONE, f"sqlite:///{file}"]
    processes = [subprocess.Popen(command, stderr=subprocess.PIPE, text=True) for _ in range(4)]
    complaints = [process.communicate(timeout=60)[1] for process in processes]
    assert complaints == [""] * 4
    assert _worker(database).images == 200
    database.dispose()


def test_a_body_that_raises_writes_nothing(database: Database) -> None:
    _add_worker(database)
    with pytest.raises(RuntimeError), database.writing() as session:
        session.execute(update(Worker).values(images=9))
        raise RuntimeError
    assert _worker(database).images == 0


def test_a_reader_writes_nothing(database: Database) -> None:
    _add_worker(database)
    with database.reading() as session:
        session.execute(update(Worker).values(images=9))
    assert _worker(database).images == 0


def test_a_reader_of_sqlite_is_not_held_up_by_a_writer(
    migrated_sqlite: Path, tmp_path: Path
) -> None:
    file = tmp_path / "shared.db"
    file.write_bytes(migrated_sqlite.read_bytes())
    database = Database(f"sqlite:///{file}")
    _add_worker(database)
    with database.writing() as writer:
        writer.execute(update(Worker).values(images=9))
        assert _worker(database).images == 0
    assert _worker(database).images == 9
    database.dispose()


def test_foreign_keys_hold_on_both(database: Database) -> None:
    with pytest.raises(Exception, match=r"(?i)foreign key"), database.writing() as session:
        session.execute(text("INSERT INTO roles_users (user_id, role_id) VALUES (4711, 4711)"))


def test_the_clock_is_the_databases_and_moves_on(database: Database) -> None:
    with database.reading() as session:
        first = session.scalar(select(clock()))
        time.sleep(0.02)
        second = session.scalar(select(clock()))
    assert first is not None
    assert second is not None
    assert 0.01 < second - first < 5
    assert abs(first - time.time()) < 60


def test_times_come_back_in_utc_whatever_zone_they_went_in(database: Database) -> None:
    nepal = dt.timezone(dt.timedelta(hours=5, minutes=45))
    at = dt.datetime(2026, 3, 1, 12, 30, 15, 123_456, tzinfo=nepal)
    _add_worker(database, started_at=at)
    started_at = _worker(database).started_at
    assert started_at == at
    assert started_at.utcoffset() == dt.timedelta(0)
    assert utcnow().utcoffset() == dt.timedelta(0)


def test_a_row_that_is_there_already_is_passed_over(database: Database) -> None:
    row = {"name": "one", "version": "1", "classes": ["a"], "first_used_at": utcnow()}
    for digest, name in (("d", "one"), ("d", "another"), ("e", "two")):
        with database.writing() as session:
            session.execute(insert_if_new(session, Model), [row | {"digest": digest, "name": name}])
    with database.reading() as session:
        assert sorted(session.scalars(select(Model.name))) == ["one", "two"]


@pytest.mark.parametrize("url", ["", "nonsense", "oracle9://nowhere/x"])
def test_a_url_that_cannot_be_used_is_told_as_a_setting(url: str) -> None:
    with pytest.raises(ConfigurationError, match="database URL can't be used"):
        Database(url)


def test_several_threads_write_together_and_each_alone_fails(database: Database) -> None:
    def add(number: int) -> int:
        def work(session: Session) -> int:
            name = f"w{number}"
            session.add(_row(name))
            session.flush()
            if number % 5 == 0:
                raise Conflict(name)
            return number

        try:
            return database.together(work)
        except Conflict:
            return -1

    with ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(add, range(40)))
    assert answers == [-1 if number % 5 == 0 else number for number in range(40)]
    with database.reading() as session:
        names = set(session.scalars(select(Worker.name)))
    assert names == {f"w{number}" for number in range(40) if number % 5}


def test_a_row_that_one_may_not_write_does_not_keep_the_others_from_theirs(
    database: Database,
) -> None:
    _add_worker(database)
    with pytest.raises(IntegrityError):
        database.together(lambda session: session.add(_row("w")))
    database.together(lambda session: session.add(_row("other")))
    with database.reading() as session:
        assert set(session.scalars(select(Worker.name))) == {"w", "other"}


def _row(name: str) -> Worker:
    return Worker(name=name, device="cpu", backend="x", model_digest="d", seen_at=clock())


def test_what_is_committed_to_sqlite_is_flushed_to_the_disk(sqlite_database: Database) -> None:
    with sqlite_database.reading() as session:
        assert session.scalar(text("PRAGMA synchronous")) == 2
        assert session.scalar(text("PRAGMA journal_mode")) == "wal"
