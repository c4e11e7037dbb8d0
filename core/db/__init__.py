"""The database: one engine for a process, its sessions, its clock, and what each kind of it needs.

`engine` opens it, `group` lets several threads commit together, `bulk` writes many rows at once.
No table is known here.
"""

from core.db.bulk import in_parts, insert_new_rows, update_rows
from core.db.engine import (
    STATEMENT_SECONDS,
    Database,
    UtcDateTime,
    after_commit,
    clock,
    close_to_others,
    entries,
    insert_if_new,
    utcnow,
)

__all__ = [
    "STATEMENT_SECONDS",
    "Database",
    "UtcDateTime",
    "after_commit",
    "clock",
    "close_to_others",
    "entries",
    "in_parts",
    "insert_if_new",
    "insert_new_rows",
    "update_rows",
    "utcnow",
]
