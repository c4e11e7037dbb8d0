"""A store of files below a folder, on a disk that every process of this machine sees."""

from __future__ import annotations

import contextlib
import errno
import fcntl
import io
import os
import stat
import tempfile
import time
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO, cast

from core.blobs import durable
from core.blobs.keeping import Flush
from core.blobs.mark import Mark
from core.blobs.space import FULL, NO_SPACE, Space
from core.errors import BlobDamaged, BlobMissing, NoSpace, StoreAway

if TYPE_CHECKING:
    from _typeshed import ReadableBuffer

_STAGING = "staging"
_DAMAGED = "damaged"
# What the system says of one file that can't be read, in a store that answers otherwise.
_UNREADABLE = {errno.EACCES, errno.EPERM, errno.EISDIR, errno.ENOTDIR, errno.ELOOP, errno.EIO}
# What it says of a disk that fails, or that may only be read.
_FAILING = {errno.EROFS, errno.EACCES, errno.EPERM, errno.EIO, errno.ESTALE, errno.ENOTCONN}
_UNWRITABLE = (
    "The image store can't be written to. This was not saved; everything confirmed before is "
    "safe. Ask the administrator to check its disk, then send it again."
)
_COMPARED = 256 * 1024
# So much is written between two looks at the space that is left.
_LOOK_AFTER = 8 * 2**20


class LocalBlobs:
    """Files below a folder.

    Args:
        root: the folder.
        mark: tells this store from an empty folder and from others; without one any folder will do.
        space: what must be left on the disks for anything to be staged; work needs none.
    """

    def __init__(self, root: Path, *, mark: Mark | None = None, space: Space | None = None) -> None:
        self._root = root
        self._mark = mark
        self._space = space

    def check(self) -> None:
        """Look for the mark. Raises `StoreAway`."""
        if self._mark:
            self._mark.device()

    def check_writable(self) -> None:
        """Look for the mark, and whether its folder may be written to. Raises `StoreAway`."""
        self.check()
        if self._root.exists() and not os.access(self._root, os.W_OK):
            raise StoreAway(_UNWRITABLE)

    @contextmanager
    def stage(self) -> Iterator[_LocalStaging]:
        """Yield a temporary file on the store's own file system, so that keeping it is a rename."""
        self.check()
        if self._space:
            self._space.require()
        with _in_words():
            handle, path = self._staging_file()
            # A file system without locks leaves the age to tell what is left over.
            with contextlib.suppress(OSError):
                fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
            with _Arriving(handle, self._space) as file:
                staging = _LocalStaging(self, path, cast(BinaryIO, file))
                try:
                    yield staging
                finally:
                    if not staging.moved:
                        path.unlink(missing_ok=True)

    def _staging_file(self) -> tuple[int, Path]:
        """Open a new file; its folder is made when it turns out to be missing, not looked for."""
        folder = self._root / _STAGING
        try:
            handle, name = tempfile.mkstemp(dir=folder)
        except FileNotFoundError:
            self.check()
            durable.make_folder(folder)
            handle, name = tempfile.mkstemp(dir=folder)
        return handle, Path(name)

    def sweep_staging(self, seconds: float) -> int:
        """Remove files staged by processes that are gone; return how many bytes they had.

        A file is locked while it arrives or is read; what `put` writes is there only for a
        moment. ``seconds`` is how old a file must be that nobody locks.
        """
        self.check()
        before, freed = time.time() - seconds, 0
        with contextlib.suppress(FileNotFoundError):
            for path in (self._root / _STAGING).iterdir():
                with contextlib.suppress(OSError):
                    freed += _remove_left_over(path, before)
        return freed

    def put(self, key: str, data: bytes, *, lasting: bool = True) -> None:
        """Write aside, rename, flush to the disk if it is to last.

        `stage` with fewer calls of the system, which are most of what a small file costs.
        """
        if self._space:
            self._space.require()
        with _in_words():
            if self.holds(key, io.BytesIO(data), lasting=lasting):
                return
            handle, path = self._staging_file()
            try:
                _write(handle, data)
                self.give_key(path, handle, key, lasting=lasting)
            except BaseException:
                path.unlink(missing_ok=True)
                raise
            finally:
                os.close(handle)

    @contextmanager
    def flushing(self) -> Iterator[Flush]:
        """Yield what flushes the files that lie under some keys. It raises `NoSpace`."""
        self.check()
        durable.make_folder(self._root)
        with contextlib.closing(durable.Flusher(self._root)) as flusher:

            def flush(keys: Collection[str]) -> None:
                with _in_words():
                    flusher.flush({path for key in keys if (path := self._root / key).exists()})

            yield flush

    def get(self, key: str) -> bytes:
        """Return the file's bytes. Raises `BlobMissing` or `BlobDamaged`."""
        with self.open(key) as file:
            try:
                return file.read()
            except OSError as error:
                raise self._unreadable(key, error) from error

    def open(self, key: str) -> BinaryIO:
        """Open the file. Raises `BlobMissing` or `BlobDamaged`."""
        try:
            return (self._root / key).open("rb")
        except FileNotFoundError as error:
            self.check()
            if self._aside(key).exists():
                raise BlobDamaged(f"The stored file {key} was damaged and set aside.") from error
            raise BlobMissing(f"The stored file {key} is missing.") from error
        except OSError as error:
            raise self._unreadable(key, error) from error

    def _unreadable(self, key: str, error: OSError) -> Exception:
        """Tell a damaged file from a disk that fails: that one can't be written to either."""
        self.check()
        if error.errno not in _UNREADABLE:
            return error
        try:
            with LocalBlobs(self._root).stage() as probe:
                durable.flush(probe.file.fileno())
        except OSError as failure:
            return StoreAway(
                f"The disk of the image store is failing: {failure.strerror or failure}"
            )
        return BlobDamaged(f"The stored file {key} can't be read: {error.strerror}.")

    def size(self, key: str) -> int | None:
        """Return the file's size, None if there is no such file."""
        with contextlib.suppress(FileNotFoundError, NotADirectoryError):
            status = (self._root / key).stat()
            if stat.S_ISREG(status.st_mode):
                return status.st_size
        self.check()
        return None

    def exists(self, key: str) -> bool:
        """Say whether the file is there."""
        return self.size(key) is not None

    def set_aside(self, key: str, sound: Callable[[BinaryIO], bool]) -> None:
        """Move the file to the folder of damaged ones; back again if it turns out to be sound."""
        self.check()
        aside = self._aside(key)
        try:
            durable.make_folder(aside.parent)
            (self._root / key).replace(aside)
        except OSError:
            # Another reader was quicker; or it can't be moved, and stays where it is.
            return
        with contextlib.suppress(OSError):
            with aside.open("rb") as file:
                healed = sound(file)
            if healed:
                durable.replace(aside, self._root / key)

    def _aside(self, key: str) -> Path:
        return self._root / _DAMAGED / key

    def delete(self, key: str) -> None:
        """Remove the file, and what was set aside of it."""
        self.check()
        (self._root / key).unlink(missing_ok=True)
        _remove(self._aside(key))

    def older_than(self, prefix: str, seconds: float) -> Iterator[str]:
        """Walk the folder; what is deleted meanwhile is passed over."""
        self.check()
        latest = time.time() - seconds
        for folder, _, names in os.walk(self._root / prefix):
            for name in names:
                path = Path(folder) / name
                with contextlib.suppress(FileNotFoundError):
                    if path.stat().st_mtime <= latest:
                        yield path.relative_to(self._root).as_posix()

    def give_key(self, staged: Path, handle: int, key: str, *, lasting: bool) -> None:
        """Give a staged file its key; if it is ``lasting``, return once both are on the disk.

        The name comes first, so that one commit of the file system's journal holds all of it; that
        is faster by a quarter. What a power cut leaves half written then, nobody was told of, and
        its size or its hash tells: it is sent again and replaced.
        """
        target = self._root / key
        # Unmounted since it was staged, the store's folders would be made beneath the mount point.
        if self._mark and self._mark.device() != os.fstat(handle).st_dev:
            raise StoreAway("The image store was mounted again. Nothing was saved. Send it again.")
        try:
            staged.replace(target)
        except FileNotFoundError:
            self.check()
            durable.make_folder(target.parent)
            staged.replace(target)
        except IsADirectoryError:
            self.set_aside(key, lambda _file: False)
            staged.replace(target)
        if lasting:
            durable.flush(handle)
            durable.flush_path(target.parent)
        _remove(self._aside(key))

    def holds(self, key: str, file: BinaryIO, *, lasting: bool) -> bool:
        """Say whether ``key`` holds the bytes of an open file; ``lasting``: so that they stay."""
        path = self._root / key
        try:
            with path.open("rb") as stored:
                if not _same(stored, file):
                    return False
                # Whoever is just keeping the same bytes may not have come to that yet.
                if lasting:
                    durable.flush(stored.fileno())
        except OSError:
            return False
        if lasting:
            durable.flush_path(path.parent)
        self.check()
        return True


class _LocalStaging:
    def __init__(self, store: LocalBlobs, path: Path, file: BinaryIO) -> None:
        self.file = file
        self.moved = False
        self._store = store
        self._path = path

    def keep(self, key: str, *, lasting: bool = True) -> None:
        self.file.flush()
        if self._store.holds(key, self.file, lasting=lasting):
            return
        # Two uploads of the same bytes may meet here; the rename of the second is harmless.
        self._store.give_key(self._path, self.file.fileno(), key, lasting=lasting)
        self.moved = True


class _Arriving(io.BufferedRandom):
    """A file that looks at the space left as it grows."""

    def __init__(self, handle: int, space: Space | None) -> None:
        super().__init__(io.FileIO(handle, "r+"))
        self._space = space
        self._unlooked = 0

    def write(self, data: ReadableBuffer, /) -> int:
        """Write. Raises `NoSpace`."""
        written = super().write(data)
        self._unlooked += written
        if self._space and self._unlooked > _LOOK_AFTER:
            self._unlooked = 0
            self._space.require()
        return written


@contextmanager
def _in_words() -> Iterator[None]:
    """Turn what the system says of the disk into a sentence."""
    try:
        yield
    except (NoSpace, StoreAway):
        raise
    except OSError as error:
        if error.errno in FULL:
            raise NoSpace(NO_SPACE) from error
        if error.errno in _FAILING:
            raise StoreAway(_UNWRITABLE) from error
        raise


def _write(handle: int, data: bytes) -> None:
    rest = memoryview(data)
    while rest:
        rest = rest[os.write(handle, rest) :]


def _same(file: BinaryIO, other: BinaryIO) -> bool:
    if file.seek(0, os.SEEK_END) != other.seek(0, os.SEEK_END):
        return False
    file.seek(0)
    other.seek(0)
    while chunk := file.read(_COMPARED):
        if chunk != other.read(_COMPARED):
            return False
    return True


def _remove_left_over(path: Path, before: float) -> int:
    """Remove a staged file that is older than a moment and that nobody locks; return its size."""
    with path.open("rb") as file:
        status = os.fstat(file.fileno())
        if status.st_mtime > before:
            return 0
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        path.unlink()
    return status.st_size


def _remove(path: Path) -> None:
    """Remove what was set aside: a file, or an empty folder that stood in a file's place."""
    try:
        path.unlink(missing_ok=True)
    except (IsADirectoryError, PermissionError):
        with contextlib.suppress(OSError):
            path.rmdir()
    except NotADirectoryError:
        pass
