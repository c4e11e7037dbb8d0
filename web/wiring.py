"""What one web process was wired with, within reach of every view."""

from __future__ import annotations

import logging
from dataclasses import dataclass, field

from flask import current_app
from sqlalchemy.exc import OperationalError

from core import jobs, making
from core.archives import Caps
from core.blobs import BlobStore, image_key
from core.db import Database
from core.errors import QueueUnavailable
from core.intake import Limits
from core.models import Made
from core.queue import TaskQueue
from core.settings import Settings
from core.states import MakingState
from web.parts import Parts

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
    parts: Parts = field(default_factory=Parts)

    @property
    def limits(self) -> Limits:
        """What the door accepts."""
        return Limits(self.settings.max_file_bytes, self.settings.max_pixels)

    @property
    def caps(self) -> Caps:
        """What an archive may hold."""
        return Caps(self.settings.max_job_files, self.settings.max_archive_bytes)

    def keeps(self, sha256: str) -> bool:
        """Say whether the store still holds the image of this hash."""
        return self.blobs.exists(image_key(sha256))

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
