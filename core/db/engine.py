"""The database: one engine, two kinds of session, and the clock that leases go by."""

from __future__ import annotations

import datetime as dt
import stat
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, TypeVar

from sqlalchemy import (
    DateTime,
    Dialect,
    Double,
    Engine,
    create_engine,
    event,
    make_url,
    text,
)
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.exc import (
    ArgumentError,
    DataError,
    DBAPIError,
    IntegrityError,
)
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.orm import DeclarativeBase, Session, sessionmaker
from sqlalchemy.sql.compiler import SQLCompiler
from sqlalchemy.sql.functions import FunctionElement
from sqlalchemy.types import TypeDecorator

from core.db import sqlite_files
from core.db.group import Group, Part
from core.errors import ConfigurationError, DatabaseTrouble
from core.outages import SENTENCES

BUSY_SECONDS = 30
_LOOK_SECONDS = 1
Result = TypeVar("Result")
# Limits for a PostgreSQL that does not answer, all in seconds. The server ends a statement that
# takes too long; a connection that fell silent is given up by its own side a little later.
CONNECT_SECONDS, POOL_SECONDS = 5, 10
STATEMENT_SECONDS, _LATER_SECONDS = 60.0, 5.0
# A process that was frozen within a transaction keeps its locks no longer than this.
_IDLE_SECONDS = 300
_LIMITS = {
    "connect_timeout": CONNECT_SECONDS,
    "keepalives": 1,
    "keepalives_idle": 10,
    "keepalives_interval": 5,
    "keepalives_count": 3,
    "tcp_user_timeout": 20_000,
}
_EFFECTS = "hematovision_effects"


class Database:
    """One engine and its sessions. Opened once a process; `dispose` after a fork.

    ``connections`` stay open; more are opened when they are needed, and closed again. A SQLite
    file that is missing is an error, and made only with ``create``: an empty one in its place would
    take what is written while the disk is not mounted. ``statement_seconds`` is the longest a
    statement may take on PostgreSQL; None sets no limit.
    """

    def __init__(
        self,
        url: str,
        connections: int = 5,
        *,
        create: bool = False,
        statement_seconds: float | None = STATEMENT_SECONDS,
    ) -> None:
        self.engine = _engine(url, connections, create, statement_seconds)
        self._writing = self.engine.execution_options(hematovision_writing=True)
        self._readers = sessionmaker(self.engine, expire_on_commit=False)
        self._writers = sessionmaker(self._writing, expire_on_commit=False)
        self._group: Group[Session] = Group(self._write_all)
        self._follow: Callable[[Sequence[object]], None] | None = None

    def on_commit(self, follow: Callable[[Sequence[object]], None]) -> None:
        """Have ``follow`` called after each commit in which `after_commit` noted anything, with it.

        It is called in the thread that wrote, and must not raise: what it follows stands.
        """
        self._follow = follow

    @contextmanager
    def reading(self) -> Iterator[Session]:
        """Yield a session that is rolled back at the end."""
        with self._readers() as session:
            yield session

    @contextmanager
    def writing(self) -> Iterator[Session]:
        """Yield a session that commits at the end, or rolls back if the body raises.

        What is committed is on the disk.
        """
        with self._writers.begin() as session:
            yield session
        self._tell(session.info.pop(_EFFECTS, ()))

    def together(self, work: Callable[[Session], Result]) -> Result:
        """Do ``work`` in a writing session; return what it returned once that is on the disk.

        SQLite lets one write at a time and waits for the disk at each commit: what several threads
        want to write at a moment becomes one transaction, each in a savepoint of its own.
        PostgreSQL commits side by side and flushes together by itself.
        """
        if self.engine.dialect.name != "sqlite":
            with self.writing() as session:
                return work(session)
        effects: list[object] = []

        def noting(session: Session) -> Result:
            result = work(session)
            effects.extend(session.info.pop(_EFFECTS, ()))
            return result

        result = self._group.do(noting)
        self._tell(effects)
        return result

    def _tell(self, effects: Sequence[object]) -> None:
        if effects and self._follow:
            self._follow(effects)

    def _write_all(self, parts: Sequence[Part[Session]]) -> None:
        """Write what several want. An error of the database's own is everybody's.

        SQLite may have ended the transaction with it: then the savepoints are gone, too. One alone
        needs no savepoint.
        """
        if len(parts) == 1:
            with self.writing() as session:
                parts[0].do(session)
            return
        with self._writing.begin() as connection:
            for part in parts:
                try:
                    with (
                        Session(
                            connection,
                            expire_on_commit=False,
                            join_transaction_mode="create_savepoint",
                        ) as session,
                        session.begin(),
                    ):
                        part.do(session)
                except DBAPIError as error:
                    if not isinstance(error, (IntegrityError, DataError)):
                        raise
                    part.error = error
                except Exception as error:
                    part.error = error

    def check_writable(self) -> None:
        """Return if the database can be written to; what is written changes nothing.

        Raises:
            DatabaseTrouble: it is read-only.
            DBAPIError: whatever else is wrong, in the driver's words; SQLite's is asked to wait
                for a second only.
        """
        with self._writing.connect() as connection:
            if connection.dialect.name == "postgresql":
                if connection.scalar(text("SHOW transaction_read_only")) == "on":
                    raise DatabaseTrouble("read_only", SENTENCES["read_only"])
                return
            driver: Any = connection.connection.driver_connection
            driver.execute(f"PRAGMA busy_timeout={_LOOK_SECONDS * 1000}")
            try:
                with connection.begin():
                    # A file that is open for writing may have become read-only: only writing tells.
                    version = connection.scalar(text("PRAGMA user_version"))
                    connection.execute(text(f"PRAGMA user_version={version}"))
            finally:
                if not connection.invalidated:
                    driver.execute(f"PRAGMA busy_timeout={BUSY_SECONDS * 1000}")

    def dispose(self, *, inherited: bool = False) -> None:
        """Close the pool. ``inherited``: the sockets are the parent's; leave them open."""
        self.engine.dispose(close=not inherited)


def _engine(url: str, connections: int, create: bool, statement_seconds: float | None) -> Engine:
    try:
        if url.startswith("sqlite"):
            engine = create_engine(
                url, hide_parameters=True, connect_args={"timeout": BUSY_SECONDS}
            )
            sqlite_files.prepare(engine)
            if not create:
                sqlite_files.require_file(engine)
        else:
            engine = create_engine(
                url,
                hide_parameters=True,
                pool_pre_ping=True,
                pool_size=connections,
                pool_timeout=POOL_SECONDS,
                connect_args=_LIMITS,
            )
            _limit(engine, statement_seconds)
    except (ArgumentError, ImportError) as error:
        raise ConfigurationError(f"The database URL can't be used: {error}") from error
    return engine


def _limit(engine: Engine, statement_seconds: float | None) -> None:
    """Let no statement, and no wait for an answer, go on for ever."""
    from core.db.postgresql import PatientConnection

    options = f"-c idle_in_transaction_session_timeout={_IDLE_SECONDS}s"
    if statement_seconds is not None:
        options += f" -c statement_timeout={round(statement_seconds * 1000)}"

    @event.listens_for(engine, "do_connect")
    def connect(_dialect: Dialect, _record: object, args: Any, named: dict[str, Any]) -> Any:
        all_options = f"{named.get('options', '')} {options}".strip()
        opened = PatientConnection.connect(*args, **named | {"options": all_options})
        if statement_seconds is not None:
            opened.patience = statement_seconds + _LATER_SECONDS
        return opened


def after_commit(session: Session, effect: object) -> None:
    """Note what must follow this transaction's commit, and not happen if it is rolled back.

    Who follows is said by `Database.on_commit`; where nobody does, as on a command line, nothing
    happens.
    """
    session.info.setdefault(_EFFECTS, []).append(effect)


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
