"""Making an installation ready: its tables, its roles, its image store."""

from __future__ import annotations

from core.blobs import durable
from core.settings import Settings


def install(settings: Settings, revision: str = "head", *, adopt_unseen: bool = False) -> None:
    """Bring the tables up to date, add the roles, and let database and store know each other.

    ``adopt_unseen`` takes the image store that is there for the right one.

    Raises:
        ConfigurationError: the store is not there, or is another database's.
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
