"""Where bytes are kept: images by their SHA-256, and what is derived from them.

A key is written once and whole: readers see nothing or all of it. Writing a key again is allowed
and changes nothing, since a key names its content or its recipe.
"""

from __future__ import annotations

import io
import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO, Protocol

from core.errors import BlobMissing


class Staging(Protocol):
    """A place for bytes that are still arriving. `keep` gives them their key."""

    file: BinaryIO

    def keep(self, key: str) -> None:
        """Make what was written durable under ``key``; without this call it is thrown away."""
        ...


class BlobStore(Protocol):
    """Bytes under keys such as ``images/ab/abcd…``."""

    @contextmanager
    def stage(self) -> Iterator[Staging]:
        """Yield an empty staging place, removed at the end unless kept."""
        ...

    def put(self, key: str, data: bytes, *, lasting: bool = True) -> None:
        """Keep ``data`` under ``key``; what can be made again need not outlast a power cut."""
        ...

    def get(self, key: str) -> bytes:
        """Return the bytes under ``key``. Raises `BlobMissing`."""
        ...

    def open(self, key: str) -> BinaryIO:
        """Return a readable stream of the bytes under ``key``. Raises `BlobMissing`."""
        ...

    def exists(self, key: str) -> bool:
        """Say whether ``key`` is kept."""
        ...

    def delete(self, key: str) -> None:
        """Forget ``key``; an unknown key is no error."""
        ...


def image_key(sha256: str) -> str:
    """Return the key of an image as it was uploaded."""
    return f"images/{sha256[:2]}/{sha256}"


class LocalBlobs:
    """Files below a folder, on a disk that every process of this machine sees."""

    def __init__(self, root: Path) -> None:
        self._root = root

    @contextmanager
    def stage(self) -> Iterator[_LocalStaging]:
        """Yield a temporary file on the store's own file system, so that keeping it is a rename."""
        handle, path = self._staging_file()
        with os.fdopen(handle, "w+b") as file:
            staging = _LocalStaging(self._root, path, file)
            try:
                yield staging
            finally:
                if not staging.moved:
                    path.unlink(missing_ok=True)

    def _staging_file(self) -> tuple[int, Path]:
        """Open a new file; its folder is made when it turns out to be missing, not looked for."""
        folder = self._root / "staging"
        try:
            handle, name = tempfile.mkstemp(dir=folder)
        except FileNotFoundError:
            folder.mkdir(parents=True, exist_ok=True)
            handle, name = tempfile.mkstemp(dir=folder)
        return handle, Path(name)

    def put(self, key: str, data: bytes, *, lasting: bool = True) -> None:
        """Write aside, flush to the disk if it is to last, rename."""
        with self.stage() as staging:
            staging.file.write(data)
            staging.keep(key, lasting=lasting)

    def get(self, key: str) -> bytes:
        """Return the file's bytes. Raises `BlobMissing`."""
        with self.open(key) as file:
            return file.read()

    def open(self, key: str) -> BinaryIO:
        """Open the file. Raises `BlobMissing`."""
        try:
            return (self._root / key).open("rb")
        except FileNotFoundError as error:
            raise BlobMissing(f"The stored file {key} is missing.") from error

    def exists(self, key: str) -> bool:
        """Say whether the file is there."""
        return (self._root / key).is_file()

    def delete(self, key: str) -> None:
        """Remove the file."""
        (self._root / key).unlink(missing_ok=True)


class _LocalStaging:
    def __init__(self, root: Path, path: Path, file: BinaryIO) -> None:
        self.file = file
        self.moved = False
        self._root = root
        self._path = path

    def keep(self, key: str, *, lasting: bool = True) -> None:
        target = self._root / key
        if target.is_file():
            return
        self.file.flush()
        if lasting:
            os.fsync(self.file.fileno())
        # Two uploads of the same bytes may meet here; the rename of the second is harmless.
        try:
            self._path.replace(target)
        except FileNotFoundError:
            target.parent.mkdir(parents=True, exist_ok=True)
            self._path.replace(target)
        self.moved = True


class MemoryBlobs:
    """The same in memory, for tests and for trying things out."""

    def __init__(self) -> None:
        self._kept: dict[str, bytes] = {}

    @contextmanager
    def stage(self) -> Iterator[_MemoryStaging]:
        """Yield a buffer."""
        yield _MemoryStaging(self._kept)

    def put(self, key: str, data: bytes, *, lasting: bool = True) -> None:
        """Keep a copy."""
        self._kept.setdefault(key, bytes(data))

    def get(self, key: str) -> bytes:
        """Return the bytes. Raises `BlobMissing`."""
        try:
            return self._kept[key]
        except KeyError as error:
            raise BlobMissing(f"The stored file {key} is missing.") from error

    def open(self, key: str) -> BinaryIO:
        """Return a stream of the bytes. Raises `BlobMissing`."""
        return io.BytesIO(self.get(key))

    def exists(self, key: str) -> bool:
        """Say whether the key is kept."""
        return key in self._kept

    def delete(self, key: str) -> None:
        """Forget the key."""
        self._kept.pop(key, None)


class _MemoryStaging:
    def __init__(self, kept: dict[str, bytes]) -> None:
        self.file: BinaryIO = io.BytesIO()
        self._kept = kept

    def keep(self, key: str) -> None:
        self.file.seek(0)
        self._kept.setdefault(key, self.file.read())
