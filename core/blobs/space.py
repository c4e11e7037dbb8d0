"""How much space is left on the disks, and how much of it is reserved for the work under way.

Accepted images need more space when they are judged: for rows, copies, reports and the queue's log.
Intake therefore stops while some space is left, and work goes on.
"""

from __future__ import annotations

import errno
import os
import time
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

from core.errors import NoSpace

FULL = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG})
NO_SPACE = (
    "The server's disk is full. This was not saved; everything confirmed before is safe, and work "
    "goes on. Send it again once the administrator has freed some space."
)

# So much is never written in so short a time.
_AMPLE, _MOMENT_SECONDS = 2**30, 0.2


class Space:
    """The free space of some folders' file systems, beyond a reserve in bytes."""

    def __init__(self, folders: Sequence[Path], reserve: int) -> None:
        self._folders = folders
        self._reserve = reserve
        self._ample_until = 0.0

    def left(self) -> int:
        """Return how many bytes intake may still accept; negative while only work may write.

        A folder that does not exist yet has the space of the folder above it.
        """
        return min(_free(folder) for folder in self._folders) - self._reserve

    def require(self, size: int = 0) -> None:
        """Raise `NoSpace` unless this many bytes, and at least one, may still be accepted.

        While space is ample, the disk is not asked every time: that would slow small files down.
        """
        now = time.monotonic()
        if not self._reserve or (now < self._ample_until and size < _AMPLE):
            return
        left = self.left()
        if left < max(size, 1):
            raise NoSpace(NO_SPACE)
        self._ample_until = now + _MOMENT_SECONDS if left > 2 * _AMPLE else 0.0


def _free(folder: Path) -> int:
    for ancestor in (folder, *folder.parents):
        with suppress(FileNotFoundError, NotADirectoryError):
            status = os.statvfs(ancestor)
            return status.f_bavail * status.f_frsize
    return 0
