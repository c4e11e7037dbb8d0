"""Writing many rows at once.

PostgreSQL takes them as one JSON parameter: sent one by one, a shard's rows cost client and server
more than all else that is done for it. SQLite runs in this process and takes them one by one.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable, Iterator, Sequence
from itertools import islice
from typing import Any, TypeVar, cast

from sqlalchemy import JSON, FromClause, Table, bindparam, column, func, select, update
from sqlalchemy.dialects import postgresql
from sqlalchemy.orm import DeclarativeBase, Session

from core.db.engine import insert_if_new

Rows = Sequence[dict[str, Any]]
Value = TypeVar("Value")
# SQLite takes some thousands of variables in a statement; PostgreSQL plans short lists faster.
_PART = 500


def in_parts(values: Iterable[Value], size: int = _PART) -> Iterator[Sequence[Value]]:
    """Yield values in their order, ``size`` at a time: as many as a statement takes well."""
    rest = iter(values)
    while part := list(islice(rest, size)):
        yield part


def insert_new_rows(session: Session, table: type[DeclarativeBase], rows: Rows) -> None:
    """Insert rows of the same columns; those whose key is there already are passed over."""
    if not rows:
        return
    if not _is_postgresql(session):
        session.execute(insert_if_new(session, table), rows)
        return
    target = cast(Table, table.__table__)
    new_rows = _as_table(target, rows)
    query = select(*new_rows.c)
    statement = postgresql.insert(target).from_select(list(rows[0]), query)
    session.connection().execute(statement.on_conflict_do_nothing(), _parameter(rows))


def update_rows(session: Session, table: type[DeclarativeBase], rows: Rows) -> None:
    """Set columns of the rows that have these ids; each row names its ``id`` and the same columns.

    What the session has loaded of them is not refreshed.
    """
    if not rows:
        return
    target = cast(Table, table.__table__)
    names = [name for name in rows[0] if name != "id"]
    if not _is_postgresql(session):
        values: dict[str, Any] = {name: bindparam(f"new_{name}") for name in names}
        statement = update(target).where(target.c.id == bindparam("new_id")).values(values)
        parameters = [{f"new_{name}": value for name, value in row.items()} for row in rows]
        session.connection().execute(statement, parameters)
        return
    new_rows = _as_table(target, rows)
    joined = update(target).where(target.c.id == new_rows.c.id)
    changed = joined.values({name: new_rows.c[name] for name in names})
    session.connection().execute(changed, _parameter(rows))


def _is_postgresql(session: Session) -> bool:
    return session.get_bind().dialect.name == "postgresql"


def _as_table(target: Table, rows: Rows) -> FromClause:
    """Return the rows as a table of the same column types."""
    columns = [column(name, target.c[name].type) for name in rows[0]]
    recordset = func.json_to_recordset(bindparam("rows", type_=JSON))
    return recordset.table_valued(*columns, name="new_rows").render_derived(with_types=True)


def _parameter(rows: Rows) -> dict[str, Any]:
    """Return the rows as the JSON parameter of `_as_table`; times become text."""
    plain = [
        {
            name: value.isoformat() if isinstance(value, dt.datetime) else value
            for name, value in row.items()
        }
        for row in rows
    ]
    return {"rows": plain}
