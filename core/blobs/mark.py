"""A file in the store's root by which it is known: without it, a missing mount is an empty folder.

It holds the store's id, which the database knows too, so that another store is noticed as well.
`core.installation` makes it, once.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from core.blobs import durable
from core.errors import StoreAway

MARK = "hematovision-store"
_NOT_THERE = (
    "The image store is missing; its disk may not be mounted. Nothing is lost: everything "
    "confirmed before is safe, and work goes on by itself once the store is back."
)
_ANOTHER = (
    "The image store does not belong to this database. Nothing was written. Mount the right one "
    "or, if this one is right, run: hematovision db upgrade --adopt-store"
)


class Mark:
    """The mark of one store. ``expected`` returns the id that the database knows, if any."""

    def __init__(self, root: Path, expected: Callable[[], str | None]) -> None:
        self._path = root / MARK
        self._expected = expected
        self._seen: tuple[int, int, int] | None = None

    def device(self) -> int:
        """Return the number of the file system that the store lies on. Raises `StoreAway`.

        The id is read again only where another file stands there than the last time.
        """
        try:
            status = self._path.stat()
            file = (status.st_dev, status.st_ino, status.st_mtime_ns)
            if file != self._seen:
                self._compare()
                self._seen = file
        except StoreAway:
            raise
        except OSError as error:
            raise StoreAway(_NOT_THERE) from error
        return status.st_dev

    def _compare(self) -> None:
        if read_id(self._path.parent) != self._expected():
            raise StoreAway(_ANOTHER)


def read_id(root: Path) -> str | None:
    """Return the id in a store's mark, None without one. Raises `OSError` if it can't be read."""
    try:
        return (root / MARK).read_text(encoding="utf-8").strip()
    except (FileNotFoundError, NotADirectoryError):
        return None


def write_id(root: Path, id_: str) -> None:
    """Give a store its mark."""
    durable.make_folder(root)
    durable.write_file(root / MARK, f"{id_}\n")
