"""Disks of a benchmark's own: an ext4 in a file, on a loop device that writes past the cache.

It commits by itself only every five minutes, so that nothing is flushed by luck.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

# More than the reserve that intake leaves free; what holds nothing is not copied.
_MEGABYTES = 4096
_TOOLS = ("losetup", "mkfs.ext4", "mount", "umount")


def obstacle(*others: str) -> str | None:
    """Return why no such disk can be used, or which program is missing; None if neither."""
    if os.geteuid() != 0:
        return "it mounts a disk of its own, which needs root"
    missing = [tool for tool in (*_TOOLS, *others) if not shutil.which(tool)]
    if missing:
        return f"{', '.join(missing)} is not installed"
    search = subprocess.run(["losetup", "--find"], capture_output=True, text=True, check=False)
    return None if search.returncode == 0 else f"there is no loop device ({search.stderr.strip()})"


def new_disk(image: Path) -> Path:
    """Make a file that holds an empty ext4."""
    with image.open("wb") as file:
        file.truncate(_MEGABYTES * 2**20)
    run("mkfs.ext4", "-q", "-F", str(image))
    return image


@contextmanager
def mounted(image: Path, folder: Path) -> Iterator[Path]:
    """Mount a disk's file; its journal is played back."""
    options = "commit=300,noatime"
    device = run("losetup", "--direct-io=on", "--find", "--show", str(image)).strip()
    try:
        folder.mkdir()
        run("mount", "-o", options, device, str(folder))
        try:
            yield folder
        finally:
            _unmount(folder)
    finally:
        run("losetup", "--detach", device)


def _unmount(folder: Path) -> None:
    for _ in range(50):
        if (
            subprocess.run(["umount", str(folder)], capture_output=True, check=False).returncode
            == 0
        ):
            return
        time.sleep(0.2)
    run("umount", "--lazy", str(folder))


def run(*words: str) -> str:
    """Run a program of the system's; return what it printed."""
    return subprocess.run(words, check=True, capture_output=True, text=True).stdout
