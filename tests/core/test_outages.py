"""What drivers and the system say becomes a sentence, from the real thing."""

from __future__ import annotations

import errno
import shutil
import sqlite3
import uuid
from collections.abc import Callable
from pathlib import Path

import pytest
from sqlalchemy import event, select, text
from sqlalchemy.exc import DBAPIError

from core.db import Database, clock
from core.errors import DatabaseTrouble, HematoVisionError, NoSpace
from core.outages import trouble_of
from core.tables import Worker
from tests.conftest import SmallDisk


def trouble(call: Callable[[], object]) -> HematoVisionError | None:
    """Return what the error of a call means."""
    with pytest.raises(DBAPIError) as raised:
        call()
    return trouble_of(raised.value)


def code(call: Callable[[], object]) -> str:
    """Return the code of what the error of a call means."""
    error = trouble(call)
    assert isinstance(error, DatabaseTrouble)
    assert str(error).endswith(".")
    return error.code


def write(database: Database, images: int = 1) -> None:
    """Write some rows."""
    with database.writing() as session:
        for number in range(images):
            name = f"{number}-{uuid.uuid4().hex}".zfill(100)
            row = Worker(name=name, device="cpu", backend="x", model_digest="d", seen_at=clock())
            session.add(row)


def read(database: Database) -> None:
    """Read a row."""
    with database.reading() as session:
        session.scalars(select(Worker).limit(1)).first()


@pytest.fixture
def on_small_disk(small_disk: SmallDisk, migrated_sqlite: Path) -> Database:
    """Return a database on a disk of its own."""
    shutil.copy(migrated_sqlite, small_disk.root / "hematovision.db")
    return Database(f"sqlite:///{small_disk.root / 'hematovision.db'}")


def test_a_full_disk_under_the_database(on_small_disk: Database, small_disk: SmallDisk) -> None:
    read(on_small_disk)
    small_disk.fill()
    assert isinstance(trouble(lambda: write(on_small_disk, 3000)), NoSpace)
    small_disk.free()
    write(on_small_disk)
    on_small_disk.dispose()


def test_a_disk_that_may_only_be_read(on_small_disk: Database, small_disk: SmallDisk) -> None:
    write(on_small_disk)
    on_small_disk.dispose()
    small_disk.protect()
    assert code(lambda: write(on_small_disk)) in ("read_only", "missing")
    assert code(on_small_disk.check_writable) in ("read_only", "missing")
    small_disk.protect(on=False)
    on_small_disk.check_writable()
    write(on_small_disk, 2)
    on_small_disk.dispose()


def test_a_file_that_is_missing_is_not_made(tmp_path: Path) -> None:
    database = Database(f"sqlite:///{tmp_path / 'no ?%such.db'}")
    assert code(lambda: read(database)) == "missing"
    assert list(tmp_path.iterdir()) == []


def test_a_file_that_is_no_database(tmp_path: Path) -> None:
    file = tmp_path / "hematovision.db"
    file.write_bytes(b"this is no database" * 1000)
    assert code(lambda: read(Database(f"sqlite:///{file}"))) == "damaged"


def test_tables_of_another_version(database: Database) -> None:
    def ask() -> None:
        with database.reading() as session:
            session.execute(text("SELECT a_column_of_tomorrow FROM worker"))

    assert code(ask) == "tables"


def test_a_database_that_somebody_locks_is_busy(migrated_sqlite: Path, tmp_path: Path) -> None:
    file = shutil.copy(migrated_sqlite, tmp_path / "hematovision.db")
    database = Database(f"sqlite:///{file}")
    locking = sqlite3.connect(file, isolation_level=None)
    locking.execute("BEGIN EXCLUSIVE")
    assert code(database.check_writable) == "busy"
    locking.execute("ROLLBACK")
    locking.close()
    database.check_writable()
    database.dispose()


def test_a_server_that_is_not_there_is_away() -> None:
    database = Database("postgresql+psycopg://nobody@127.0.0.1:9/nothing")
    assert code(lambda: read(database)) == "away"


def test_a_server_that_is_read_only(postgresql_database: Database) -> None:
    url = postgresql_database.engine.url.update_query_dict(
        {"options": "-c default_transaction_read_only=on"}
    )
    database = Database(url.render_as_string(hide_password=False))
    assert code(lambda: write(database)) == "read_only"
    with pytest.raises(DatabaseTrouble) as raised:
        database.check_writable()
    assert raised.value.code == "read_only"
    postgresql_database.check_writable()
    database.dispose()


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EDQUOT])
def test_what_the_system_says_of_a_full_disk(number: int) -> None:
    assert isinstance(trouble_of(OSError(number, "x")), NoSpace)


def test_other_errors_are_not_explained_away() -> None:
    assert trouble_of(ValueError("x")) is None
    assert trouble_of(OSError(errno.ECONNRESET, "x")) is None


def test_a_file_that_is_deleted_while_it_is_open_takes_no_more(
    migrated_sqlite: Path, tmp_path: Path
) -> None:
    file = tmp_path / "hematovision.db"
    shutil.copy(migrated_sqlite, file)
    database = Database(f"sqlite:///{file}")
    write(database)
    file.rename(tmp_path / "elsewhere.db")
    assert code(lambda: write(database)) == "missing"
    assert code(database.check_writable) == "missing"
    (tmp_path / "elsewhere.db").rename(file)
    write(database)
    database.dispose()


def test_only_a_write_tells_that_an_open_file_became_read_only(
    migrated_sqlite: Path, tmp_path: Path
) -> None:
    database = Database(f"sqlite:///{shutil.copy(migrated_sqlite, tmp_path / 'hematovision.db')}")

    def ask(what: str) -> object:
        with database.engine.connect() as connection:
            result = connection.exec_driver_sql(f"PRAGMA {what}")
            return result.scalar() if result.returns_rows else None

    version = ask("user_version")
    ask("query_only=ON")
    assert code(database.check_writable) == "read_only"
    ask("query_only=OFF")
    database.check_writable()
    assert ask("user_version") == version
    database.dispose()


def test_what_was_opened_while_it_was_protected_is_opened_anew(
    migrated_sqlite: Path, tmp_path: Path
) -> None:
    """SQLite opens a file that it may not write to for reading, and never tries again."""
    file = shutil.copy(migrated_sqlite, tmp_path / "hematovision.db")
    database = Database(f"sqlite:///{file}")
    protected = True

    @event.listens_for(database.engine, "do_connect")
    def connect(_dialect: object, _record: object, words: list[str], _options: object) -> None:
        words[0] = words[0].replace("mode=rw", "mode=ro" if protected else "mode=rw")

    with database.reading() as first, database.reading() as other:
        assert [session.scalar(select(1)) for session in (first, other)] == [1, 1]
    assert code(lambda: write(database)) == "read_only"
    assert code(database.check_writable) == "read_only"
    protected = False
    write(database)
    database.check_writable()
    database.dispose()
