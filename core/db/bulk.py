"""Writing many rows at once.

PostgreSQL takes them as one JSON parameter: sent one by one, a shard's rows cost client and server
more than all else that is done for it. SQLite runs in this process and takes them one by one.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Sequence
from typing import Any, cast

from sqlalchemy import JSON, FromClause, Table, bindparam, column, func, select, update
from sqlalchemy.dialects import postgresql
from sqlalchemy.orm import DeclarativeBase, Session

from core.db.engine import insert_if_new

Rows = Sequence[dict[str, Any]]


def insert_new_rows(session: Session, table: type[DeclarativeBase], rows: Rows) -> None:
    """Insert rows of the same columns; those whose key is there already are passed over."""
    if not rows:
        return
    if not _is_postgresql(session):
        session.execute(insert_if_new(session, table), rows)
        return
    target = cast(Table, table.__table__)
    given = _given(target, rows)
    query = select(*given.c)
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
    given = _given(target, rows)
    joined = update(target).where(target.c.id == given.c.id)
    changed = joined.values({name: given.c[name] for name in names})
    session.connection().execute(changed, _parameter(rows))


def _is_postgresql(session: Session) -> bool:
    return session.get_bind().dialect.name == "postgresql"


def _given(target: Table, rows: Rows) -> FromClause:
    """The rows as a table of the same column types."""
    columns = [column(name, target.c[name].type) for name in rows[0]]
    recordset = func.json_to_recordset(bindparam("rows", type_=JSON))
    return recordset.table_valued(*columns, name="given").render_derived(with_types=True)


def _parameter(rows: Rows) -> dict[str, Any]:
    return {"rows": [{name: _plain(value) for name, value in row.items()} for row in rows]}


def _plain(value: Any) -> Any:
    return value.isoformat() if isinstance(value, dt.datetime) else value
