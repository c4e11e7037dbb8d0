"""Rows by the hundred thousand into a migrated database: COPY on PostgreSQL, executemany on SQLite.

Nothing of the life of a job is here: what is written must be true already.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from enum import StrEnum
from typing import Any

from sqlalchemy import Connection, Table, insert, text

from core.db import Database

Row = dict[str, Any]
_AT_ONCE = 20_000
# Seven indexes on the images are filled in no order at all: SQLite's own 2 MB would go to the disk
# for each of them.
_SQLITE_CACHE = "PRAGMA cache_size = -1000000"


class Loader:
    """Rows that wait to be written, table by table, in the order in which keys refer to them."""

    def __init__(self, connection: Connection, tables: Sequence[Table]) -> None:
        self._connection = connection
        self._waiting: dict[Table, list[Row]] = {table: [] for table in tables}

    def add(self, table: Table, row: Row) -> None:
        """Take one row; all rows of a table have the same columns."""
        self._waiting[table].append(row)

    def write_some(self) -> None:
        """Write what waits, once it is worth a statement."""
        if max(map(len, self._waiting.values())) >= _AT_ONCE:
            self.write()

    def write(self) -> None:
        """Write all that waits."""
        for table, rows in self._waiting.items():
            if rows and self._connection.dialect.name == "postgresql":
                _copy(self._connection, table, rows)
            elif rows:
                self._connection.execute(insert(table), rows)
            rows.clear()


def _copy(connection: Connection, table: Table, rows: Sequence[Row]) -> None:
    names = list(rows[0])
    listed = ", ".join(f'"{name}"' for name in names)
    driver: Any = connection.connection.driver_connection
    with driver.cursor().copy(f'COPY "{table.name}" ({listed}) FROM STDIN') as copy:
        for row in rows:
            copy.write_row([_plain(row[name]) for name in names])


def _plain(value: Any) -> Any:
    """Return a value as COPY takes it."""
    if isinstance(value, (dict, list)):
        return json.dumps(value)
    return value.value if isinstance(value, StrEnum) else value


@contextmanager
def loading(database: Database, tables: Sequence[Table]) -> Iterator[Loader]:
    """Yield a loader of empty ``tables``, in one transaction; then set what the server would have.

    Ids are given by the caller; PostgreSQL is told the last ones, and gathers its statistics as its
    autovacuum does in service. SQLite has no such thing, here as there.
    """
    writing = database.engine.execution_options(hematovision_writing=True)
    postgresql = database.engine.dialect.name == "postgresql"
    with writing.connect() as connection:
        if not postgresql:
            connection.exec_driver_sql(_SQLITE_CACHE)
            connection.rollback()
        with connection.begin():
            loader = Loader(connection, tables)
            yield loader
            loader.write()
            if postgresql:
                _set_sequences(connection, tables)
        connection.invalidate()
    if postgresql:
        with database.engine.execution_options(isolation_level="AUTOCOMMIT").connect() as free:
            free.execute(text("VACUUM ANALYZE"))


def _set_sequences(connection: Connection, tables: Sequence[Table]) -> None:
    for table in tables:
        if "id" in table.columns:
            last = f'(SELECT max(id) FROM "{table.name}")'
            connection.execute(text(f"SELECT setval('{table.name}_id_seq', {last})"))
