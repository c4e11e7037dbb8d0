"""Bytes that are taken in and bytes that are deleted keep out of each other's way.

Equal bytes are kept once, whoever sends them. So a row may begin to rely on bytes that another row
has just let go of: the answer "these are here already" must not be overtaken by their deletion.
Whoever writes a row that relies on bytes holds this lock and looks into the store; whoever deletes
bytes holds it alone, looks for rows, deletes, and commits.
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
