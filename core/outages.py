"""What is wrong with the database or the disk, in a sentence: no page, no command line here.

The drivers' own words name files and statements, which may hold names of patients.
"""

from __future__ import annotations

import sqlite3

from sqlalchemy.exc import DBAPIError, InterfaceError, OperationalError

from core.blobs.space import FULL, NO_SPACE
from core.errors import DatabaseTrouble, HematoVisionError, NoSpace

BUSY = "busy"
AWAY = "away"
_AWAY = (
    "The database does not answer. Nothing that was answered before is lost; try again in a moment."
)
SENTENCES = {
    BUSY: _AWAY,
    AWAY: _AWAY,
    "read_only": (
        "The database can only be read just now: its file or its disk is write-protected. Nothing "
        "was changed. Ask the administrator to make it writable, then try again."
    ),
    "missing": (
        "The database can't be opened: its file is missing, or its folder can't be written to. "
        "Check that its disk is mounted and who owns it, then try again."
    ),
    "damaged": (
        "The database's file is damaged, or is no database. Stop the system and put the last "
        "backup back."
    ),
    "disk": (
        "The disk that holds the database fails or is full. Nothing of this was kept; ask the "
        "administrator to look at the disk, then try again."
    ),
    "tables": (
        "The database's tables are not those of this version. Run hematovision db upgrade, then "
        "start again."
    ),
    "newer": (
        "The database was made by a newer version of HematoVision. Nothing was changed. Start the "
        "newer version, or put the backup back that was taken before."
    ),
}
# By SQLite's primary result code, and by PostgreSQL's SQLSTATE or its class.
_SQLITE = {
    sqlite3.SQLITE_BUSY: BUSY,
    sqlite3.SQLITE_LOCKED: BUSY,
    sqlite3.SQLITE_READONLY: "read_only",
    sqlite3.SQLITE_PERM: "read_only",
    sqlite3.SQLITE_CANTOPEN: "missing",
    sqlite3.SQLITE_CORRUPT: "damaged",
    sqlite3.SQLITE_NOTADB: "damaged",
    sqlite3.SQLITE_IOERR: "disk",
}
_POSTGRESQL = {
    "25006": "read_only",
    "55P03": BUSY,
    "57014": BUSY,
    "42P01": "tables",
    "42703": "tables",
    "58": "disk",
    "XX": "damaged",
}
_FULL_STATE = "53100"
_NO_TABLE = ("no such table", "no such column", "has no column")


def trouble_of(error: BaseException) -> HematoVisionError | None:
    """Return what a driver's or the system's error means, or None if it is none of these.

    ``code`` of a `DatabaseTrouble` is a key of `SENTENCES`.
    """
    if isinstance(error, HematoVisionError):
        return error
    if isinstance(error, DBAPIError):
        return _of_driver(error)
    if isinstance(error, OSError) and error.errno in FULL:
        return NoSpace(NO_SPACE)
    return None


def _of_driver(error: DBAPIError) -> HematoVisionError | None:
    cause = error.orig
    if isinstance(cause, sqlite3.Error):
        code = getattr(cause, "sqlite_errorcode", 0) & 0xFF
        full, word = code == sqlite3.SQLITE_FULL, _SQLITE.get(code)
        if any(words in str(cause) for words in _NO_TABLE):
            word = "tables"
    else:
        state = getattr(cause, "sqlstate", None) or ""
        full = state == _FULL_STATE
        word = _POSTGRESQL.get(state) or _POSTGRESQL.get(state[:2])
    if full:
        return NoSpace(NO_SPACE)
    if word is None and isinstance(error, (OperationalError, InterfaceError)):
        word = AWAY
    return DatabaseTrouble(word, SENTENCES[word]) if word else None
