"""How much room is left on the disks, and how much of it is kept for the work under way.

What is taken in needs room again when it is judged: rows, copies, reports, the queue's log. So
intake stops while there is still some, and work goes on.
"""

from __future__ import annotations

import errno
import os
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

from core.errors import NoSpace

FULL = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG})
NO_SPACE = (
    "There is no room left on the server's disk. This was not kept; all that was answered before "
    "is safe, and work goes on. Send it again once the administrator has made room."
)


class Space:
    """The room in some folders' file systems, beyond a reserve in bytes."""

    def __init__(self, folders: Sequence[Path], reserve: int) -> None:
        self._folders = folders
        self._reserve = reserve

    def left(self) -> int:
        """Return how many bytes may still be taken in; fewer than none while work alone may write.

        A folder that is not there yet has the room of the one above it.
        """
        return min(_free(folder) for folder in self._folders) - self._reserve

    def require(self, size: int = 0) -> None:
        """Raise `NoSpace` unless so many bytes, and at least one, may still be taken in."""
        if self._reserve and self.left() < max(size, 1):
            raise NoSpace(NO_SPACE)


def _free(folder: Path) -> int:
    for one in (folder, *folder.parents):
        with suppress(FileNotFoundError, NotADirectoryError):
            status = os.statvfs(one)
            return status.f_bavail * status.f_frsize
    return 0
