"""What one web process was wired with, available to every view."""

from __future__ import annotations

import logging
from collections.abc import Iterable
from dataclasses import dataclass, field

from flask import current_app
from sqlalchemy.exc import OperationalError

from core import jobs, making
from core.archives import Caps
from core.blobs import BlobStore, image_key
from core.db import Database
from core.errors import QueueUnavailable
from core.installation import room
from core.intake import Accepted, Limits
from core.models import Made
from core.queue import TaskQueue
from core.settings import Settings
from core.space import Space
from core.states import MakingState
from web.parts import Parts
from web.readings import Readings

_log = logging.getLogger(__name__)
_KEY = "hematovision"


@dataclass(frozen=True, slots=True)
class Wiring:
    """The settings, the database, the image store and the doorbell of this process.

    ``parts`` are the parts of pages that it has made recently, ``readings`` who has read what.
    """

    settings: Settings
    database: Database
    blobs: BlobStore
    queue: TaskQueue
    readings: Readings = field(default_factory=Readings)
    parts: Parts = field(default_factory=Parts)
    _room: Space = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "_room", room(self.settings))

    @property
    def limits(self) -> Limits:
        """What intake accepts."""
        return Limits(self.settings.max_file_bytes, self.settings.max_pixels)

    @property
    def caps(self) -> Caps:
        """What an archive may hold."""
        return Caps(self.settings.max_job_files, self.settings.max_archive_bytes)

    def keeps(self, image: Accepted) -> bool:
        """Say whether the store still holds an image, as far as its size tells."""
        return self.blobs.size(image_key(image.sha256)) == image.size

    def require_room(self, size: int = 0) -> None:
        """Raise `NoSpace` unless ``size`` bytes fit above the reserve; work goes on below it."""
        self._room.require(size)

    def let_go(self, hashes: Iterable[str]) -> None:
        """Have stored bytes deleted whose row was never written."""
        with self.database.writing() as session:
            jobs.note_loose(session, map(image_key, hashes))

    def ring_for_work(self) -> None:
        """Ring for waiting shards, after the commit that made them.

        If the queue is away or the database is locked, that is no error: the sweep will ring.
        """
        try:
            jobs.dispatch(self.database, self.queue, self.settings)
        except QueueUnavailable:
            _log.warning("The queue does not answer; the sweep will ring for what waits.")
        except OperationalError:
            _log.warning("The database is busy; the sweep will ring for what waits.")

    def ring_for(self, wanted: Made) -> None:
        """Ring for a waiting report or explanation; if the queue is away, the sweep will ring."""
        if wanted.state is not MakingState.WAITING:
            return
        try:
            making.ring(self.queue, type(wanted), wanted.id)
        except QueueUnavailable:
            _log.warning("The queue does not answer; the sweep will ring for what waits.")


def wired() -> Wiring:
    """Return the wiring of the application that serves this request."""
    wiring: Wiring = current_app.extensions[_KEY]
    return wiring


def attach(wiring: Wiring, extensions: dict[str, object]) -> None:
    """Put the wiring where `wired` finds it."""
    extensions[_KEY] = wiring
