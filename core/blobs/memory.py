"""A store in memory, for tests and for trying things out."""

from __future__ import annotations

import io
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import BinaryIO

from core.blobs.keeping import Flush
from core.errors import BlobMissing


class MemoryBlobs:
    """Keeps bytes in a dictionary."""

    def __init__(self) -> None:
        self._kept: dict[str, bytes] = {}

    def check(self) -> None:
        """Do nothing: a store in memory is always there."""

    def check_writable(self) -> None:
        """Do nothing: a store in memory can always be written to."""

    @contextmanager
    def stage(self) -> Iterator[_MemoryStaging]:
        """Yield a buffer in memory."""
        yield _MemoryStaging(self._kept)

    def put(self, key: str, data: bytes, *, lasting: bool = True) -> None:
        """Store a copy of the bytes under the key."""
        self._kept[key] = bytes(data)

    @contextmanager
    def flushing(self) -> Iterator[Flush]:
        """Yield a function that does nothing: memory does not last."""
        yield lambda keys: None

    def get(self, key: str) -> bytes:
        """Return the bytes. Raises `BlobMissing`."""
        try:
            return self._kept[key]
        except KeyError as error:
            raise BlobMissing(f"The stored file {key} is missing.") from error

    def open(self, key: str) -> BinaryIO:
        """Return a stream of the bytes under ``key``. Raises `BlobMissing`."""
        return io.BytesIO(self.get(key))

    def size(self, key: str) -> int | None:
        """Return how many bytes are kept under ``key``, None if it is not kept."""
        return len(self._kept[key]) if key in self._kept else None

    def sweep_staging(self, seconds: float) -> int:
        """Nothing is left behind in memory."""
        return 0

    def exists(self, key: str) -> bool:
        """Say whether the key is kept."""
        return key in self._kept

    def set_aside(self, key: str, sound: Callable[[BinaryIO], bool]) -> None:
        """Delete the bytes under the key if they are not sound."""
        if key in self._kept and not sound(self.open(key)):
            self.delete(key)

    def delete(self, key: str) -> None:
        """Forget the key."""
        self._kept.pop(key, None)

    def older_than(self, prefix: str, seconds: float) -> Iterator[str]:
        """Yield all keys with this prefix, since all count as old."""
        yield from [key for key in self._kept if key.startswith(prefix)]


class _MemoryStaging:
    def __init__(self, blobs: dict[str, bytes]) -> None:
        self.file: BinaryIO = io.BytesIO()
        self._kept = blobs

    def keep(self, key: str, *, lasting: bool = True) -> None:
        self.file.seek(0)
        self._kept[key] = self.file.read()
