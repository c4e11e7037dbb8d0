"""Writing so that it is still there after the power failed: the file, and its name in its folder.

A file that is flushed has its bytes on the disk, but may have lost its name: a folder is flushed
by itself, and a new folder has a name in another.
"""

from __future__ import annotations

import ctypes
import fcntl
import os
import tempfile
from collections.abc import Callable, Collection
from pathlib import Path

# On macOS an fsync leaves the bytes in the drive's own memory; this does not.
_FULL_FSYNC = getattr(fcntl, "F_FULLFSYNC", None)
# Linux alone has it: what all files of a file system hold is flushed by one call.
_SYNCFS: Callable[[int], int] | None = getattr(ctypes.CDLL(None, use_errno=True), "syncfs", None)
# Fewer files than this are flushed one by one, and not what else lies on their disk with them.
_MANY = 16


def flush(descriptor: int) -> None:
    """Return once what was written to an open file, or to an open folder, is on the disk."""
    if _FULL_FSYNC is None:
        os.fsync(descriptor)
    else:
        fcntl.fcntl(descriptor, _FULL_FSYNC)


def flush_path(path: Path) -> None:
    """Return once the names in a folder, or the bytes of a file, are on the disk."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        flush(descriptor)
    finally:
        os.close(descriptor)


class Flusher:
    """Flushes many files of one file system in one go, where the system can do that.

    Open it before the files are written: the system tells an error of the disk to those alone who
    had something open by then. Until it is closed the file system can't be unmounted.
    """

    def __init__(self, folder: Path) -> None:
        self._descriptor = os.open(folder, os.O_RDONLY)

    def close(self) -> None:
        """Let go of the file system."""
        os.close(self._descriptor)

    def flush(self, files: Collection[Path]) -> None:
        """Return once files, and their names, are on the disk.

        Raises:
            OSError: the disk is full or fails, or a file is missing.
        """
        if _SYNCFS is None or len(files) < _MANY:
            for path in [*files, *{path.parent for path in files}]:
                flush_path(path)
        elif _SYNCFS(self._descriptor):
            number = ctypes.get_errno()
            raise OSError(number, os.strerror(number))


def make_folder(folder: Path) -> None:
    """Make a folder and those above it, each with its name on the disk."""
    missing = []
    while not folder.is_dir():
        missing.append(folder)
        folder = folder.parent
    for new_folder in reversed(missing):
        new_folder.mkdir(exist_ok=True)
        flush_path(new_folder.parent)


def write_file(path: Path, text: str) -> None:
    """Write a small file that its owner alone may read, whole or not at all, in place of an old."""
    handle, aside = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}-")
    try:
        with os.fdopen(handle, "w", encoding="utf-8") as file:
            file.write(text)
            file.flush()
            flush(file.fileno())
        replace(Path(aside), path)
    finally:
        Path(aside).unlink(missing_ok=True)


def replace(aside: Path, path: Path) -> None:
    """Give a flushed file the name that people know, on the disk too."""
    aside.replace(path)
    flush_path(path.parent)
