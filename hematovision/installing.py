"""Prepares an installation: its tables, its roles and its image store."""

from __future__ import annotations

from core.blobs import durable
from core.settings import Settings


def install(settings: Settings, revision: str = "head", *, adopt_unseen: bool = False) -> None:
    """Update the tables, add the roles, and link the database and the image store to each other.

    ``adopt_unseen`` accepts whatever image store is there as the right one.

    Raises:
        ConfigurationError: the store is missing, or belongs to another database.
        DatabaseTrouble: the database can't be written to, or is newer than this program.
    """
    import migrations
    from core.db import Database
    from core.installation import adopt_store
    from core.people import accounts

    durable.make_folder(settings.data)
    migrations.upgrade(settings.database, revision)
    if revision != "head":
        return
    database = Database(settings.database)
    try:
        with database.writing() as session:
            accounts.ensure_roles(session)
        adopt_store(database, settings.blobs, unseen=adopt_unseen)
    finally:
        database.dispose()
