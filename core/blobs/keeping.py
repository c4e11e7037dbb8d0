"""The interface of every blob store, and what it promises."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager
from typing import BinaryIO, Protocol

Flush = Callable[[Collection[str]], None]


class Staging(Protocol):
    """A place for bytes that are still arriving. `keep` gives them their key."""

    file: BinaryIO

    def keep(self, key: str, *, lasting: bool = True) -> None:
        """Make what was written durable under ``key``; without this call it is thrown away.

        Without ``lasting`` a power cut may damage it, until it is flushed.

        Other bytes under the key are replaced: they are damaged.
        """
        ...


class BlobStore(Protocol):
    """Bytes under keys such as ``images/ab/abcd…``.

    Every call may raise `StoreAway`: the store is not there, or is another one.
    """

    def check(self) -> None:
        """Return if the store is there. Raises `StoreAway`."""
        ...

    def check_writable(self) -> None:
        """Return if the store is there and takes bytes; none are written. Raises `StoreAway`."""
        ...

    @contextmanager
    def stage(self) -> Iterator[Staging]:
        """Yield an empty staging place, removed at the end unless kept. Raises `NoSpace`."""
        ...

    def sweep_staging(self, seconds: float) -> int:
        """Remove what processes that are gone left in staging; return how many bytes that was.

        Nothing goes that is younger than ``seconds``.
        """
        ...

    def put(self, key: str, data: bytes, *, lasting: bool = True) -> None:
        """Keep ``data`` under ``key``, as `Staging.keep` does. Raises `NoSpace`.

        Without ``lasting`` a power cut may damage it: enough for what can be made again.
        """
        ...

    @contextmanager
    def flushing(self) -> Iterator[Flush]:
        """Yield a function that makes durable what is kept under some keys while this is open.

        Many together cost little more than one. The function raises `NoSpace`.
        """
        ...

    def get(self, key: str) -> bytes:
        """Return the bytes under ``key``. Raises `BlobMissing` or `BlobDamaged`."""
        ...

    def open(self, key: str) -> BinaryIO:
        """Return a readable stream of the bytes. Raises `BlobMissing` or `BlobDamaged`."""
        ...

    def size(self, key: str) -> int | None:
        """Return how many bytes are kept under ``key``, None if it is not kept."""
        ...

    def exists(self, key: str) -> bool:
        """Say whether ``key`` is kept."""
        ...

    def set_aside(self, key: str, sound: Callable[[BinaryIO], bool]) -> None:
        """Take damaged bytes from their key, so that sound ones are asked for; lose none.

        ``sound`` looks at what was taken, which goes back if it is sound after all: somebody may
        have healed it meanwhile.
        """
        ...

    def delete(self, key: str) -> None:
        """Forget ``key``; an unknown key is no error."""
        ...

    def older_than(self, prefix: str, seconds: float) -> Iterator[str]:
        """Yield the keys that begin with ``prefix``, a folder, and were kept so long ago."""
        ...


def image_key(sha256: str) -> str:
    """Return the key of an image as it was uploaded."""
    return f"images/{sha256[:2]}/{sha256}"
