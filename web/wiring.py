"""What one web process was wired with, within reach of every view."""

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

    ``parts`` are the parts of pages that it has made lately.
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
        """What the door accepts."""
        return Limits(self.settings.max_file_bytes, self.settings.max_pixels)

    @property
    def caps(self) -> Caps:
        """What an archive may hold."""
        return Caps(self.settings.max_job_files, self.settings.max_archive_bytes)

    def keeps(self, image: Accepted) -> bool:
        """Say whether the store still holds an image, as far as its size tells."""
        return self.blobs.size(image_key(image.sha256)) == image.size

    def require_room(self, size: int = 0) -> None:
        """Raise `NoSpace` unless so many bytes may be taken in; work goes on below the reserve."""
        self._room.require(size)

    def let_go(self, hashes: Iterable[str]) -> None:
        """Have bytes deleted that were kept for a row which was then not written."""
        with self.database.writing() as session:
            jobs.note_loose(session, map(image_key, hashes))

    def ring_for_work(self) -> None:
        """Ring for shards that now wait, after the commit that made them.

        A queue that is away or a locked database is no error: the sweep rings.
        """
        try:
            jobs.dispatch(self.database, self.queue, self.settings)
        except QueueUnavailable:
            _log.warning("The queue does not answer; the sweep will ring for what waits.")
        except OperationalError:
            _log.warning("The database is busy; the sweep will ring for what waits.")

    def ring_for(self, wanted: Made) -> None:
        """Ring for a report or an explanation that waits; the sweep rings if the queue is away."""
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
