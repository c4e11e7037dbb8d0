"""The database: one engine, two kinds of session, and the clock that leases go by."""

from __future__ import annotations

import datetime as dt
import stat
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from sqlalchemy import Connection, DateTime, Dialect, Double, Engine, create_engine, event, make_url
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.exc import ArgumentError
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.orm import DeclarativeBase, Session, sessionmaker
from sqlalchemy.sql.compiler import SQLCompiler
from sqlalchemy.sql.functions import FunctionElement
from sqlalchemy.types import TypeDecorator

from core.errors import ConfigurationError

BUSY_SECONDS = 30


class Database:
    """One engine and its sessions. Opened once a process; `dispose` after a fork.

    ``kept`` connections stay open; more are opened when they are needed, and closed again.
    """

    def __init__(self, url: str, kept: int = 5) -> None:
        self.engine = _engine(url, kept)
        self._readers = sessionmaker(self.engine, expire_on_commit=False)
        writing = self.engine.execution_options(hematovision_writing=True)
        self._writers = sessionmaker(writing, expire_on_commit=False)

    @contextmanager
    def reading(self) -> Iterator[Session]:
        """Yield a session that is rolled back at the end."""
        with self._readers() as session:
            yield session

    @contextmanager
    def writing(self) -> Iterator[Session]:
        """Yield a session that commits at the end, or rolls back if the body raises."""
        with self._writers.begin() as session:
            yield session

    def dispose(self, *, inherited: bool = False) -> None:
        """Close the pool. ``inherited``: the sockets are the parent's; leave them open."""
        self.engine.dispose(close=not inherited)


def _engine(url: str, kept: int) -> Engine:
    try:
        if url.startswith("sqlite"):
            engine = create_engine(
                url, hide_parameters=True, connect_args={"timeout": BUSY_SECONDS}
            )
            _prepare_sqlite(engine)
        else:
            engine = create_engine(url, hide_parameters=True, pool_pre_ping=True, pool_size=kept)
    except (ArgumentError, ImportError) as error:
        raise ConfigurationError(f"The database URL can't be used: {error}") from error
    return engine


def _prepare_sqlite(engine: Engine) -> None:
    """Hand the transactions to us, in WAL mode.

    The driver's own BEGIN is deferred: two writers that both read first then fail or lose updates
    whatever the timeout. A writing session therefore begins with BEGIN IMMEDIATE.
    """

    @event.listens_for(engine, "connect")
    def connect(connection: Any, _record: object) -> None:
        connection.isolation_level = None
        for pragma in ("journal_mode=WAL", "synchronous=NORMAL", "foreign_keys=ON"):
            connection.execute(f"PRAGMA {pragma}")

    @event.listens_for(engine, "begin")
    def begin(connection: Connection) -> None:
        writing = connection.get_execution_options().get("hematovision_writing", False)
        connection.exec_driver_sql("BEGIN IMMEDIATE" if writing else "BEGIN")


def close_to_others(url: str) -> None:
    """Let nobody but its owner read a SQLite file, which may have been made without that care.

    A group that may write keeps what it has: somebody meant it to.
    """
    file = make_url(url).database if url.startswith("sqlite") else None
    for path in (Path(f"{file}{end}") for end in ("", "-wal", "-shm") if file):
        with suppress(FileNotFoundError, PermissionError):
            mode = stat.S_IMODE(path.stat().st_mode)
            path.chmod(mode & (0o770 if mode & stat.S_IWGRP else 0o700))


class UtcDateTime(TypeDecorator[dt.datetime]):
    """An aware UTC datetime; SQLite keeps it naive, PostgreSQL with its zone."""

    impl = DateTime(timezone=True)
    cache_ok = True

    def process_bind_param(self, value: dt.datetime | None, _: Dialect) -> dt.datetime | None:
        """Turn any aware datetime into UTC."""
        return value.astimezone(dt.UTC) if value else None

    def process_result_value(self, value: dt.datetime | None, _: Dialect) -> dt.datetime | None:
        """Give the naive value of SQLite its zone back."""
        if value is None or value.tzinfo:
            return value
        return value.replace(tzinfo=dt.UTC)


class clock(FunctionElement[float]):
    """The database's own clock, in seconds since 1970. Workers' clocks may differ; this one rules.

    It moves on within a transaction on PostgreSQL, unlike ``now()``.
    """

    type = Double()
    inherit_cache = True


@compiles(clock, "sqlite")
def _sqlite_clock(_element: clock, _compiler: object, **_: object) -> str:
    return "((julianday('now') - 2440587.5) * 86400.0)"


@compiles(clock, "postgresql")
def _postgresql_clock(_element: clock, _compiler: object, **_: object) -> str:
    return "CAST(EXTRACT(EPOCH FROM clock_timestamp()) AS DOUBLE PRECISION)"


class entries(FunctionElement[Any]):
    """The entries of a JSON object as rows of ``key`` and ``value``; used by `table_valued`."""

    inherit_cache = True


@compiles(entries, "sqlite")
def _sqlite_entries(element: entries, compiler: SQLCompiler, **options: Any) -> str:
    return f"json_each({compiler.process(element.clauses, **options)})"


@compiles(entries, "postgresql")
def _postgresql_entries(element: entries, compiler: SQLCompiler, **options: Any) -> str:
    return f"json_each_text({compiler.process(element.clauses, **options)})"


def insert_if_new(
    session: Session, table: type[DeclarativeBase]
) -> postgresql.Insert | sqlite.Insert:
    """Return an INSERT that passes over rows whose key is there already, on either database."""
    if session.get_bind().dialect.name == "postgresql":
        return postgresql.insert(table).on_conflict_do_nothing()
    return sqlite.insert(table).on_conflict_do_nothing()


def utcnow() -> dt.datetime:
    """Return the time for people to read; leases use `clock`."""
    return dt.datetime.now(dt.UTC)
