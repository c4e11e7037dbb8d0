"""SQLite as it is used here: transactions of our own, on the disk when they are committed."""

from __future__ import annotations

import sqlite3
from contextlib import suppress
from pathlib import Path
from typing import Any
from urllib.parse import quote

from sqlalchemy import Connection, Dialect, Engine, ExceptionContext, event
from sqlalchemy.exc import OperationalError

# What an error is, without which kind of it.
_PRIMARY = 0xFF


def prepare(engine: Engine) -> None:
    """Hand the transactions to us, in WAL mode, each on the disk when it is committed.

    The driver's own BEGIN is deferred: two writers that both read first then fail or lose updates
    whatever the timeout. A writing session therefore begins with BEGIN IMMEDIATE. With less than
    synchronous=FULL the last commits are gone after a power failure; fullfsync is macOS's.
    """

    @event.listens_for(engine, "connect")
    def connect(connection: Any, _record: object) -> None:
        connection.isolation_level = None
        for pragma in ("journal_mode=WAL", "synchronous=FULL", "fullfsync=ON", "foreign_keys=ON"):
            connection.execute(f"PRAGMA {pragma}")

    @event.listens_for(engine, "begin")
    def begin(connection: Connection) -> None:
        writing = connection.get_execution_options().get("hematovision_writing", False)
        connection.exec_driver_sql("BEGIN IMMEDIATE" if writing else "BEGIN")

    @event.listens_for(engine, "handle_error")
    def fail(context: ExceptionContext) -> None:
        # Opened while its file was write-protected, a connection stays so after that is mended.
        code = getattr(context.original_exception, "sqlite_errorcode", sqlite3.SQLITE_OK)
        if code & _PRIMARY == sqlite3.SQLITE_READONLY:
            context.is_disconnect = True


def require_file(engine: Engine) -> None:
    """Have SQLite open files that are there, make none, and write to none that lost its name.

    A file that was deleted or moved while it is open takes what is written as before, and it is
    gone with the last process that has it open.
    """
    path = engine.url.database

    @event.listens_for(engine, "do_connect")
    def connect(_dialect: Dialect, record: Any, words: list[Any], options: dict[str, Any]) -> None:
        if words[0] != ":memory:":
            words[0] = f"file:{quote(words[0])}?mode=rw"
            options["uri"] = True
            record.info["file"] = _identity(path)

    @event.listens_for(engine, "begin")
    def begin(connection: Connection) -> None:
        writing = connection.get_execution_options().get("hematovision_writing", False)
        if writing and connection.info.get("file") != _identity(path):
            connection.invalidate()
            cause = sqlite3.OperationalError("the database file was moved")
            cause.sqlite_errorcode = sqlite3.SQLITE_CANTOPEN
            raise OperationalError("BEGIN IMMEDIATE", None, cause)


def _identity(path: str | None) -> tuple[int, int] | None:
    """Return what tells a file from others of its name."""
    with suppress(OSError, TypeError):
        status = Path(path or "").stat()
        return status.st_dev, status.st_ino
    return None
