"""Says in a sentence what is wrong with the database or the disk, for pages and command line.

The drivers' own messages quote file names and statements, which may hold patients' names.
"""

from __future__ import annotations

import sqlite3

from sqlalchemy.exc import DBAPIError, InterfaceError, OperationalError

from core.blobs.space import FULL, NO_SPACE
from core.errors import DatabaseTrouble, HematoVisionError, NoSpace

BUSY = "busy"
AWAY = "away"
_AWAY = "The database does not answer. Nothing confirmed before is lost. Try again in a moment."
SENTENCES = {
    BUSY: _AWAY,
    AWAY: _AWAY,
    "read_only": (
        "The database is read-only at present: its file or its disk is write-protected. Nothing "
        "was changed. Ask the administrator to make it writable, then try again."
    ),
    "missing": (
        "The database can't be opened: its file is missing, or its folder can't be written to. "
        "Check that its disk is mounted, and who owns the folder, then try again."
    ),
    "damaged": (
        "The database file is damaged, or is not a database. Stop the system and restore the "
        "last backup."
    ),
    "disk": (
        "The disk that holds the database is failing or full. This was not saved. Ask the "
        "administrator to check the disk, then try again."
    ),
    "tables": (
        "The database tables do not match this version. Run hematovision db upgrade, then "
        "start again."
    ),
    "newer": (
        "The database was made by a newer version of HematoVision. Nothing was changed. Start the "
        "newer version, or restore a backup from before the upgrade."
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
    """Return the outage behind an error of a driver or the system, or None for other errors.

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
