"""How much room is left on the disks, and how much of it is kept for the work under way.

What is taken in needs room again when it is judged: rows, copies, reports, the queue's log. So
intake stops while there is still some, and work goes on.
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
    "There is no room left on the server's disk. This was not kept; all that was answered before "
    "is safe, and work goes on. Send it again once the administrator has made room."
)

# No disk is filled with so many bytes in so short a time.
_AMPLE, _MOMENT_SECONDS = 2**30, 0.2


class Space:
    """The room in some folders' file systems, beyond a reserve in bytes."""

    def __init__(self, folders: Sequence[Path], reserve: int) -> None:
        self._folders = folders
        self._reserve = reserve
        self._ample_until = 0.0

    def left(self) -> int:
        """Return how many bytes may still be taken in; fewer than none while work alone may write.

        A folder that is not there yet has the room of the one above it.
        """
        return min(_free(folder) for folder in self._folders) - self._reserve

    def require(self, size: int = 0) -> None:
        """Raise `NoSpace` unless so many bytes, and at least one, may still be taken in.

        While there is ample room nobody looks again for a moment; a small file would feel it.
        """
        now = time.monotonic()
        if not self._reserve or (now < self._ample_until and size < _AMPLE):
            return
        left = self.left()
        if left < max(size, 1):
            raise NoSpace(NO_SPACE)
        self._ample_until = now + _MOMENT_SECONDS if left > 2 * _AMPLE else 0.0


def _free(folder: Path) -> int:
    for one in (folder, *folder.parents):
        with suppress(FileNotFoundError, NotADirectoryError):
            status = os.statvfs(one)
            return status.f_bavail * status.f_frsize
    return 0
