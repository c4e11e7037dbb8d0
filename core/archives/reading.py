"""What is in an archive, a file at a time, by the standard library's zipfile and tarfile.

A .zip is kept in the blob store's staging place while it is read, since its table of contents
stands at its end; a .tar or .tar.gz is read as it arrives. Nothing an archive says of itself is
relied on: names are never paths here, sizes are counted, and what its decoders would keep in
memory is capped before they see it.
"""

from __future__ import annotations

import gzip
import stat
import tarfile
import zipfile
import zlib
from collections.abc import Callable, Generator, Iterator
from dataclasses import dataclass
from functools import partial
from tarfile import EOFHeaderError, HeaderError  # type: ignore[attr-defined]
from typing import BinaryIO, Self, cast

from core.blobs import BlobStore
from core.errors import BadArchive, HematoVisionError, Refused
from core.intake import refusal

SUFFIXES = (".zip", ".tar", ".tar.gz", ".tgz")
# Other archives: told apart from images, so that somebody is told how to pack them anew.
OTHER_SUFFIXES = (".rar", ".7z", ".gz", ".bz2", ".tbz2", ".xz", ".txz", ".zst")
# Photographs hardly shrink; what unpacks to so many times its size, and to so much, is a trap.
MOST_RATIO = 100
_RATIO_COUNTS_FROM = 64 * 2**20
# What may stand between two files of a tar, long names included, and in a .zip's table for one.
_HEADERS = 64 * 1024
_LINE = 400
_CHUNK = 256 * 1024
_TAR_BLOCKS = 64 * 1024
_LONGEST_END = 4 * 2**20

_ZIP = (b"PK\x03\x04", b"PK\x05\x06")
_ZIP_LINE = b"PK\x01\x02"
_GZIP = b"\x1f\x8b"
# bz2 and LZMA unpack a few kilobytes to gigabytes at one call, which no cap could stop in time.
_METHODS = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)
_DAMAGE = (
    zipfile.BadZipFile,
    tarfile.TarError,
    gzip.BadGzipFile,
    zlib.error,
    EOFError,
    NotImplementedError,
)
_OTHER = "This is no archive that can be read here. Pack the images as .zip, .tar or .tar.gz."
_DAMAGED = "The archive is damaged or ends too early. Pack it again and send it again."
_MANY = "The archive holds more than {0:,} files. Split it into several archives."
_LARGE = "The archive has more than {0:g} GB, or unpacks to more. Split it into several archives."
_TRAP = "The archive unpacks to more than {0} times its size. Send the images themselves."


@dataclass(frozen=True, slots=True)
class Caps:
    """What an archive may hold: files of any kind, and bytes, as it is sent and unpacked."""

    entries: int
    max_bytes: int

    def check(self, unpacked: int, packed: int) -> None:
        """Raise `BadArchive` if it is too large, or grows as no images do."""
        if max(unpacked, packed) > self.max_bytes:
            raise BadArchive(_LARGE.format(self.max_bytes / 2**30))
        if unpacked > max(_RATIO_COUNTS_FROM, MOST_RATIO * packed):
            raise BadArchive(_TRAP.format(MOST_RATIO))

    def check_count(self, count: int) -> None:
        """Raise `BadArchive` if there are too many files."""
        if count > self.entries:
            raise BadArchive(_MANY.format(self.entries))


@dataclass(frozen=True, slots=True)
class Member:
    """A file in an archive: its path there, its size as the archive says, how its bytes are had.

    ``refused`` is why they are not asked for. ``open`` is called before the next member is drawn.
    """

    name: str
    size: int
    open: Callable[[], BinaryIO]
    refused: Refused | None


def is_archive_name(name: str) -> bool:
    """Say whether a file is an archive by its name, of a kind that is read here or another."""
    return name.lower().endswith((*SUFFIXES, *OTHER_SUFFIXES))


def members(stream: BinaryIO, blobs: BlobStore, caps: Caps) -> Generator[Member, None, None]:
    """Yield the files of an archive in their order; folders are passed over.

    Memory grows with a .zip's table of contents only. What comes before some damage is yielded.

    Raises:
        BadArchive: it is none, or damaged, or exceeds its caps.
    """
    body = _Ahead(stream.read)
    if body.first.startswith(_ZIP):
        with blobs.stage() as staging:
            while chunk := body.read(_CHUNK):
                caps.check(0, body.taken)
                staging.file.write(chunk)
            yield from _of_zip(staging.file, caps, body.taken)
    else:
        yield from _of_tar(body, caps)
        # A sender that is cut off in what follows the end mark never sees the answer.
        while body.read(_CHUNK):
            caps.check(0, body.taken)


class _Ahead:
    """A stream whose first bytes, a block of a tar or more, are known before they are read."""

    def __init__(self, read: Callable[[int], bytes]) -> None:
        self._read = read
        self._ahead = self.first = b""
        self.taken = 0
        while len(self.first) < tarfile.BLOCKSIZE and (chunk := self.read(_CHUNK)):
            self.first += chunk
        self._ahead = self.first

    def read(self, size: int) -> bytes:
        if self._ahead:
            chunk, self._ahead = self._ahead[:size], self._ahead[size:]
            return chunk
        chunk = self._read(size)
        self.taken += len(chunk)
        return chunk


class _Reading:
    """A member's bytes. What its decoder stumbles over becomes an error that says what to do."""

    def __init__(self, stream: BinaryIO, damaged: HematoVisionError) -> None:
        self._stream = stream
        self._damaged = damaged

    def read(self, size: int) -> bytes:
        try:
            return self._stream.read(size)
        except _DAMAGE as error:
            raise self._damaged from error

    def close(self) -> None:
        self._stream.close()


def _of_zip(file: BinaryIO, caps: Caps, packed: int) -> Iterator[Member]:
    table = _Table(file, caps)
    try:
        archive = zipfile.ZipFile(cast(BinaryIO, table))
    except HematoVisionError:
        raise
    except Exception as error:
        # zipfile raises whatever a malformed table of contents makes it raise.
        raise BadArchive(_DAMAGED) from error
    table.read_by_us = True
    with archive:
        inside = [info for info in archive.infolist() if not info.is_dir()]
        caps.check(sum(info.file_size for info in inside), packed)
        for info in inside:
            opened = partial(_open_zipped, archive, info)
            yield Member(info.filename, info.file_size, opened, _refused_zipped(info))


class _Table:
    """A .zip whose table of contents is looked at before zipfile makes an object of each line."""

    def __init__(self, file: BinaryIO, caps: Caps) -> None:
        self._file = file
        self._caps = caps
        self.read_by_us = False
        self.seek, self.tell = file.seek, file.tell
        self.seekable = file.seekable

    def read(self, size: int = -1) -> bytes:
        if self.read_by_us:
            return self._file.read(size)
        most = _HEADERS * 2 + self._caps.entries * _LINE
        if size > most:
            raise BadArchive(_MANY.format(self._caps.entries))
        data = self._file.read(size if size >= 0 else most)
        self._caps.check_count(data.count(_ZIP_LINE))
        return data


def _refused_zipped(info: zipfile.ZipInfo) -> Refused | None:
    kind = stat.S_IFMT(info.external_attr >> 16)
    if kind not in (0, stat.S_IFREG):
        return refusal("special")
    if info.flag_bits & 0x1:
        return refusal("encrypted")
    return None if info.compress_type in _METHODS else refusal("packed")


def _open_zipped(archive: zipfile.ZipFile, info: zipfile.ZipInfo) -> BinaryIO:
    damaged = refusal("corrupt")
    try:
        stream = archive.open(info)
    except Exception as error:
        # As above: it takes the line of the table at its word.
        raise damaged from error
    return cast(BinaryIO, _Reading(cast(BinaryIO, stream), damaged))


def _of_tar(body: _Ahead, caps: Caps) -> Iterator[Member]:
    plain = body
    try:
        if body.first.startswith(_GZIP):
            # Each read1 gives what is there: damage costs nothing of what stands before it.
            plain = _Ahead(gzip.GzipFile(fileobj=cast(BinaryIO, body)).read1)
        _require_tar(plain.first)
        unpacked = _Unpacked(plain, body, caps)
        # "r|" reads on and on, and seeks never.
        with tarfile.open(
            fileobj=cast(BinaryIO, unpacked), mode="r|", bufsize=_TAR_BLOCKS, tarinfo=_Header
        ) as archive:
            yield from _of_open_tar(archive, unpacked, caps)
        # Behind the end mark stand zeros, and the checksum of a .gz.
        unpacked.expect(_LONGEST_END)
        while unpacked.read(_CHUNK):
            pass
    except _DAMAGE as error:
        raise BadArchive(_DAMAGED) from error


def _require_tar(first: bytes) -> None:
    """Raise `BadArchive` unless this begins like a tar, or is an empty one: blocks of zeros."""
    block = first[: tarfile.BLOCKSIZE]
    if len(block) == tarfile.BLOCKSIZE and not any(block):
        return
    try:
        tarfile.TarInfo.frombuf(block, tarfile.ENCODING, "surrogateescape")
    except tarfile.HeaderError as error:
        raise BadArchive(_OTHER) from error


def _of_open_tar(archive: tarfile.TarFile, unpacked: _Unpacked, caps: Caps) -> Iterator[Member]:
    count = 0
    while (info := archive.next()) is not None:
        count += 1
        caps.check_count(count)
        unpacked.expect(info.size)
        if not info.isdir():
            refused = None if info.isreg() and not info.issparse() else refusal("special")
            yield Member(info.name, info.size, partial(_open_tarred, archive, info), refused)
        # tarfile keeps all it has met.
        archive.members = []  # type: ignore[attr-defined]
        archive.pax_headers = {}


def _open_tarred(archive: tarfile.TarFile, info: tarfile.TarInfo) -> BinaryIO:
    stream = cast(BinaryIO, archive.extractfile(info))
    return cast(BinaryIO, _Reading(stream, BadArchive(_DAMAGED)))


class _Unpacked:
    """A tar's bytes, counted. Between two files there may be headers of modest size only."""

    def __init__(self, plain: _Ahead, body: _Ahead, caps: Caps) -> None:
        self._plain = plain
        self._body = body
        self._caps = caps
        self._total = 0
        self.expect(0)

    def expect(self, size: int) -> None:
        """Allow a file of this size, and the headers of the next."""
        self._most = self._total + size + _HEADERS + 2 * _TAR_BLOCKS

    def read(self, size: int) -> bytes:
        data = self._plain.read(size)
        self._total += len(data)
        self._caps.check(self._total, self._body.taken)
        if self._total > self._most:
            raise BadArchive(_DAMAGED)
        return data


class _Header(tarfile.TarInfo):
    """Takes zeros alone for the end: tarfile would stop at damage too, without a word."""

    @classmethod
    def fromtarfile(cls, tarfile: tarfile.TarFile) -> Self:
        """Return the next header. Raises `BadArchive`."""
        try:
            return super().fromtarfile(tarfile)
        except (EOFHeaderError, HematoVisionError):
            raise
        except (HeaderError, ValueError) as error:
            raise BadArchive(_DAMAGED) from error
