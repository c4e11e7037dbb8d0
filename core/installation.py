"""The image store and the database are one installation: each knows the other by an id.

Both get it once, from `hematovision up` or `hematovision db upgrade`, and never from a process
that serves: that one would take an empty mount point for a new store.
"""

from __future__ import annotations

import secrets
from dataclasses import dataclass
from pathlib import Path

from sqlalchemy import delete, select
from sqlalchemy.orm import Session

from core.blobs import BlobStore, LocalBlobs, Mark, image_key
from core.blobs.mark import read_id, write_id
from core.blobs.space import Space
from core.db import STATEMENT_SECONDS, Database
from core.doorbell import Doorbell
from core.errors import ConfigurationError
from core.queue import CeleryQueue, TaskQueue
from core.settings import Settings
from core.tables import Image, Store

# So many of the newest images are looked for in a store that has no mark yet.
_LOOKED_FOR = 100
_ADOPT = "If it is the right one after all, run: hematovision db upgrade --adopt-store"


@dataclass(frozen=True, slots=True)
class Installation:
    """What every process of the system works with. What its commits make wait is rung for."""

    settings: Settings
    database: Database
    blobs: BlobStore
    queue: TaskQueue

    def __post_init__(self) -> None:
        Doorbell(self.database, self.queue, self.settings)


def open_installation(
    settings: Settings,
    *,
    intake: bool = False,
    connections: int = 5,
    statement_seconds: float | None = STATEMENT_SECONDS,
) -> Installation:
    """Open database, store and queue, for one process.

    ``intake``: it takes in what is sent, and so leaves the reserve of free space to work.
    ``connections`` to the database are kept open. For ``statement_seconds`` see `Database`.
    """
    database = Database(settings.database, connections, statement_seconds=statement_seconds)
    return Installation(
        settings,
        database,
        open_store(settings, database, intake=intake),
        CeleryQueue(settings.redis_url),
    )


def open_store(settings: Settings, database: Database, *, intake: bool = False) -> LocalBlobs:
    """Return the image store of an installation, which is used only while it is there.

    For ``intake`` see `open_installation`.
    """
    mark = Mark(settings.blobs, lambda: _known(database))
    return LocalBlobs(settings.blobs, mark=mark, space=room(settings) if intake else None)


def room(settings: Settings) -> Space:
    """Return the room there is for what is sent: where images lie, and where SQLite lies."""
    folders = [settings.blobs]
    if settings.database_folder:
        folders.append(settings.database_folder)
    return Space(folders, settings.reserve_bytes)


def _known(database: Database) -> str | None:
    with database.reading() as session:
        return session.scalar(select(Store.mark))


def adopt_store(database: Database, root: Path, *, unseen: bool = False) -> None:
    """Give database and store a common id, unless they have it.

    ``unseen`` takes whatever store is there, on the word of a person.

    Raises:
        ConfigurationError: the store is not there, or is another one.
    """
    with database.writing() as session:
        known, marked = session.scalar(select(Store.mark)), _read(root)
        if known is not None and known == marked:
            return
        if not unseen:
            _require_ours(session, root, known, marked)
        id_ = marked or known or secrets.token_hex(16)
        if marked is None:
            write_id(root, id_)
        session.execute(delete(Store))
        session.add(Store(mark=id_))


def _read(root: Path) -> str | None:
    try:
        return read_id(root)
    except OSError as error:
        raise ConfigurationError(f"The image store {root} can't be read: {error}") from error


def _require_ours(session: Session, root: Path, known: str | None, marked: str | None) -> None:
    """Raise unless this is a new installation, or its store from before there were marks."""
    if known is not None and marked is not None:
        raise ConfigurationError(f"The image store {root} belongs to another database. {_ADOPT}")
    if known is not None:
        raise ConfigurationError(
            f"The image store {root} is missing. Is its disk mounted? Nothing was changed. "
            + _ADOPT
        )
    if marked is None and not _holds_images(session, root):
        raise ConfigurationError(
            f"The database lists images that are not in the image store {root}. Is its disk "
            f"mounted? Nothing was changed. {_ADOPT}"
        )


def _holds_images(session: Session, root: Path) -> bool:
    """Say whether any of the newest images is in the store, or there are none to be there."""
    hashes = session.scalars(
        select(Image.sha256)
        .where(Image.format.is_not(None), Image.sha256.is_not(None))
        .order_by(Image.id.desc())
        .limit(_LOOKED_FOR)
    ).all()
    store = LocalBlobs(root)
    return not hashes or any(store.exists(image_key(sha256 or "")) for sha256 in hashes)
