"""What one web process was wired with, available to every view."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

from flask import current_app

from core.blobs import image_key
from core.blobs.space import Space
from core.installation import Installation, room
from core.intake import Accepted, Limits
from core.intake.archives import Caps
from core.jobs import purging
from web.parts import Parts
from web.readings import Readings

_KEY = "hematovision"


@dataclass(frozen=True, slots=True)
class Wiring(Installation):
    """The installation as this process has opened it, and what its views share.

    ``parts`` are the parts of pages that it has made recently, ``readings`` who has read what.
    """

    readings: Readings = field(default_factory=Readings)
    parts: Parts = field(default_factory=Parts)
    _room: Space = field(init=False)

    def __post_init__(self) -> None:
        Installation.__post_init__(self)
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
            purging.note_loose(session, map(image_key, hashes))


def wired() -> Wiring:
    """Return the wiring of the application that serves this request."""
    wiring: Wiring = current_app.extensions[_KEY]
    return wiring


def attach(wiring: Wiring, extensions: dict[str, object]) -> None:
    """Put the wiring where `wired` finds it."""
    extensions[_KEY] = wiring
