"""Alembic migrations, run in-process: no alembic.ini, the URL is the settings'."""

from __future__ import annotations

from pathlib import Path

from alembic import command
from alembic.config import Config

from core.db import close_to_others


def config(database_url: str) -> Config:
    """Return Alembic's configuration for one database."""
    found = Config()
    found.set_main_option("script_location", str(Path(__file__).parent))
    # A percent sign in a password must not read as interpolation.
    found.set_main_option("sqlalchemy.url", database_url.replace("%", "%%"))
    return found


def upgrade(database_url: str, revision: str = "head") -> None:
    """Bring the database's tables up to ``revision``; nothing to do is no error."""
    command.upgrade(config(database_url), revision)
    close_to_others(database_url)


def downgrade(database_url: str, revision: str) -> None:
    """Take the database's tables back to ``revision``; ``base`` drops them all."""
    command.downgrade(config(database_url), revision)
