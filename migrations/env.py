"""What Alembic runs: connect, compare with the tables of `core.tables.work`, migrate."""

from __future__ import annotations

from typing import Literal

from alembic import context
from alembic.autogenerate.api import AutogenContext
from sqlalchemy import Connection, Enum

from core.db import Database, UtcDateTime
from core.tables import Base


def _render(kind: str, item: object, _context: AutogenContext) -> str | Literal[False]:
    """Write our own types down as what they are in the database: a migration outlives its code."""
    if kind == "type" and isinstance(item, UtcDateTime):
        return "sa.DateTime(timezone=True)"
    if kind == "type" and isinstance(item, Enum):
        return f"sa.String(length={item.length})"
    return False


def _migrate(connection: Connection) -> None:
    context.configure(
        connection=connection,
        target_metadata=Base.metadata,
        render_as_batch=True,
        compare_type=True,
        render_item=_render,
    )
    with context.begin_transaction():
        context.run_migrations()


def _run() -> None:
    # A migration takes as long as it takes.
    url = context.config.get_main_option("sqlalchemy.url") or ""
    database = Database(url, create=True, statement_seconds=None)
    writing = database.engine.execution_options(hematovision_writing=True)
    with writing.connect() as connection:
        if connection.dialect.name == "sqlite":
            _let_tables_be_rebuilt(connection)
        with connection.begin():
            _migrate(connection)
        # What was switched off for this connection must not reach another user of the pool.
        connection.invalidate()
    database.dispose()


def _let_tables_be_rebuilt(connection: Connection) -> None:
    """SQLite changes a table by copying and dropping it, and a drop cascades to what refers to it.

    The switch does nothing within a transaction, and SQLAlchemy begins one with its first
    statement: so it is thrown on the driver's own connection.
    """
    driver = connection.connection.driver_connection
    if driver is not None:
        driver.execute("PRAGMA foreign_keys=OFF")


_run()
