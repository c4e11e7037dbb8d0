"""Bytes that are taken in and bytes that are deleted keep out of each other's way.

Equal bytes are kept once, no matter who sends them. A row may begin to rely on bytes that another
row has just released: the answer "these are here already" must not be overtaken by their deletion.
To write a row that relies on bytes, hold this lock and look into the store. To delete bytes, hold
it alone, look for rows, delete, and commit.
"""

from __future__ import annotations

from sqlalchemy import func, select
from sqlalchemy.orm import Session

# The number of PostgreSQL's lock; SQLite has one writer anyway.
_BYTES = 7_460_002


def rely_on_bytes(session: Session) -> None:
    """Until the transaction ends, no bytes are deleted. Any number may hold this together."""
    if session.get_bind().dialect.name == "postgresql":
        session.execute(select(func.pg_advisory_xact_lock_shared(_BYTES)))


def delete_bytes(session: Session) -> None:
    """Until the transaction ends, no row that relies on bytes is written."""
    if session.get_bind().dialect.name == "postgresql":
        session.execute(select(func.pg_advisory_xact_lock(_BYTES)))
