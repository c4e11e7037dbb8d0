"""Alembic migrations, run in-process: no alembic.ini, the URL is the settings'."""

from __future__ import annotations

from pathlib import Path

from alembic import command
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy.exc import DBAPIError

from core.db import Database, close_to_others
from core.errors import DatabaseTrouble
from core.outages import SENTENCES


def config(database_url: str) -> Config:
    """Return Alembic's configuration for one database."""
    alembic = Config()
    alembic.set_main_option("script_location", str(Path(__file__).parent))
    # A percent sign in a password must not read as interpolation.
    alembic.set_main_option("sqlalchemy.url", database_url.replace("%", "%%"))
    return alembic


def require_current(database_url: str) -> None:
    """Return if the tables are those of this program, or no database answers that could be asked.

    Raises:
        DatabaseTrouble: they are older or newer.
    """
    database = Database(database_url)
    try:
        with database.engine.connect() as connection:
            present = MigrationContext.configure(connection).get_current_revision()
    except DBAPIError:
        return
    finally:
        database.dispose()
    scripts = ScriptDirectory.from_config(config(database_url))
    if present != scripts.get_current_head():
        _refuse_newer(scripts, present)
        raise DatabaseTrouble("tables", SENTENCES["tables"])


def _refuse_newer(scripts: ScriptDirectory, present: str | None) -> None:
    """Raise for tables that no migration of this program has made."""
    if present and present not in {script.revision for script in scripts.walk_revisions()}:
        raise DatabaseTrouble("newer", SENTENCES["newer"])


def upgrade(database_url: str, revision: str = "head") -> None:
    """Bring the database's tables up to ``revision``; nothing to do is no error.

    Raises:
        DatabaseTrouble: they were made by a newer program.
    """
    database = Database(database_url, create=True)
    try:
        with database.engine.connect() as connection:
            present = MigrationContext.configure(connection).get_current_revision()
    finally:
        database.dispose()
    _refuse_newer(ScriptDirectory.from_config(config(database_url)), present)
    command.upgrade(config(database_url), revision)
    close_to_others(database_url)


def downgrade(database_url: str, revision: str) -> None:
    """Take the database's tables back to ``revision``; ``base`` drops them all."""
    command.downgrade(config(database_url), revision)
