"""Writing so that it is still there after the power failed: the file, and its name in its folder.

A file that is flushed has its bytes on the disk, but may have lost its name: a folder is flushed
by itself, and a new folder has a name in another.
"""

from __future__ import annotations

import fcntl
import os
import tempfile
from pathlib import Path

# On macOS an fsync leaves the bytes in the drive's own memory; this does not.
_FULL_FSYNC = getattr(fcntl, "F_FULLFSYNC", None)


def flush(descriptor: int) -> None:
    """Return once what was written to an open file, or to an open folder, is on the disk."""
    if _FULL_FSYNC is None:
        os.fsync(descriptor)
    else:
        fcntl.fcntl(descriptor, _FULL_FSYNC)


def flush_folder(folder: Path) -> None:
    """Return once the names in a folder are on the disk."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        flush(descriptor)
    finally:
        os.close(descriptor)


def make_folder(folder: Path) -> None:
    """Make a folder and those above it, each with its name on the disk."""
    missing = []
    while not folder.is_dir():
        missing.append(folder)
        folder = folder.parent
    for one in reversed(missing):
        one.mkdir(exist_ok=True)
        flush_folder(one.parent)


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
    flush_folder(path.parent)
