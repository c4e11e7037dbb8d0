"""What is in an archive, a file at a time, whatever kind of archive it is.

A .zip is kept in the blob store's staging place while it is read, since its table of contents
is at its end; a .tar or .tar.gz is read as it arrives. Nothing an archive states about itself is
relied on: names are never paths here, sizes are counted, and what would be kept in memory is
capped before it is read.
"""

from __future__ import annotations

from collections.abc import Generator, Iterator

from core.blobs import BlobStore
from core.errors import BadArchive
from core.intake.archives import gunzip
from core.intake.archives.member import CHUNK, NOT_READ, Caps, Member, Source
from core.intake.archives.tar import BLOCK, looks_like_tar, members_of_tar
from core.intake.archives.zip import members_of_zip

# Archives of other kinds, which need not be kept to see that they are no .zip.
_OTHER_MAGICS = (b"Rar!\x1a\x07", b"7z\xbc\xaf\x27\x1c", b"BZh", b"\xfd7zXZ\0", b"\x28\xb5\x2f\xfd")


def members(stream: Source, blobs: BlobStore, caps: Caps) -> Generator[Member, None, None]:
    """Yield the files of an archive in their order; folders are passed over.

    Memory does not grow with the archive. What comes before some damage is yielded.

    Raises:
        BadArchive: it is not an archive, is damaged, or exceeds a limit.
    """
    body = _Ahead(_Counted(stream, caps))
    if body.first.startswith(gunzip.MAGIC):
        yield from _of_tar(_Ahead(gunzip.Unpacked(body, caps)), caps)
    elif looks_like_tar(body.first):
        yield from _of_tar(body, caps)
    elif body.first.startswith(_OTHER_MAGICS):
        raise BadArchive(NOT_READ)
    else:
        # Only its end says whether it is a .zip: a program that unpacks itself may stand before it.
        with blobs.stage() as staging:
            while chunk := body.read(CHUNK):
                staging.file.write(chunk)
            yield from members_of_zip(staging.file, caps)
    # A sender that is cut off in what follows the end mark never sees the answer.
    while body.read(CHUNK):
        pass


def _of_tar(plain: _Ahead, caps: Caps) -> Iterator[Member]:
    if not looks_like_tar(plain.first):
        raise BadArchive(NOT_READ)
    yield from members_of_tar(plain, caps)
    # Behind the end mark stands the checksum of a .gz.
    while plain.read(CHUNK):
        pass


class _Counted:
    """An archive's bytes as they are sent, counted against its caps."""

    def __init__(self, source: Source, caps: Caps) -> None:
        self._source = source
        self._caps = caps
        self._taken = 0

    def read(self, size: int, /) -> bytes:
        chunk = self._source.read(size)
        self._taken += len(chunk)
        self._caps.check_size(self._taken)
        return chunk


class _Ahead:
    """A source whose first bytes, a block of a tar or more, are known before they are read."""

    def __init__(self, source: Source) -> None:
        self._source = source
        self.first = b""
        while len(self.first) < BLOCK and (chunk := source.read(CHUNK)):
            self.first += chunk
        self._ahead = memoryview(self.first)

    def read(self, size: int, /) -> bytes:
        if self._ahead:
            chunk, self._ahead = self._ahead[:size], self._ahead[size:]
            return bytes(chunk)
        return self._source.read(size)
