"""A .zip read by its table of contents, a line at a time: a line too odd to read costs its file.

The standard library's zipfile makes an object of every line before the first file is read, gives
the whole archive up at one malformed line, and decodes names before anybody can say how. Here only
one line is held at a time, names are decoded all together, and what a line says of sizes is held to
the bytes that are there.

The format: PKWARE's APPNOTE.TXT 6.3.10; the Unicode path field is 4.6.9.
"""

from __future__ import annotations

import stat
import struct
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from typing import BinaryIO, cast

from core.errors import BadArchive, Refused
from core.intake.archives.member import CHUNK, DAMAGED, MOST_RATIO, NOT_READ, Caps, Member
from core.intake.archives.names import NAMES_ASKED, Encoding, guess
from core.intake.door import refusal

_END = struct.Struct("<4s4H2LH")
_END64 = struct.Struct("<4sQ2H2L4Q")
_LOCATOR = struct.Struct("<4sLQL")
_LINE = struct.Struct("<4s6H3L5H2L")
_LOCAL = struct.Struct("<4s5H3L2H")
_END_MAGIC, _END64_MAGIC, _LOCATOR_MAGIC = b"PK\5\6", b"PK\6\6", b"PK\6\7"
_LINE_MAGIC, _LOCAL_MAGIC = b"PK\1\2", b"PK\3\4"
_LONGEST_COMMENT = 0xFFFF
_UNKNOWN = 0xFFFFFFFF
_ZIP64, _UNICODE_PATH = 0x0001, 0x7075

_ENCRYPTED, _UTF8 = 0x1 | 0x40 | 0x2000, 0x800
# bz2 and LZMA unpack a few kilobytes to gigabytes at one call, which no cap could stop in time.
_STORED, _DEFLATED = 0, 8
_DOS_FOLDER = 0x10
# By so much all files together may unpack beyond what images do.
_MOST_EXCESS = 64 * 2**20


def members_of_zip(file: BinaryIO, caps: Caps) -> Iterator[Member]:
    """Yield the files of a .zip that lies in a file.

    Raises:
        BadArchive: it has no table of contents, holds too many files, or is damaged in its table.
    """
    archive = _Archive(file, caps)
    for line in archive.lines():
        if not line.is_folder:
            name = line.name(archive.encoding)
            yield Member(name, line.size, partial(archive.open, line), line.refused)


@dataclass(frozen=True, slots=True)
class _Line:
    """A line of the table of contents. ``raw`` is the name; sizes are in bytes."""

    raw: bytes
    is_utf8: bool
    flags: int
    method: int
    checksum: int
    packed: int
    size: int
    offset: int
    attributes: int
    malformed: bool

    def name(self, encoding: Encoding) -> str:
        """Return the file's path; all names that do not say how are read alike."""
        return self.raw.decode("utf-8") if self.is_utf8 else encoding.decode(self.raw)

    @property
    def is_folder(self) -> bool:
        """What has bytes is a file, whatever its name."""
        named = self.raw.endswith((b"/", b"\\"))
        marked = self.attributes & _DOS_FOLDER or stat.S_ISDIR(self.attributes >> 16)
        return bool((named or marked) and not self.size)

    @property
    def refused(self) -> Refused | None:
        """Why the file is not read, if it is not."""
        if stat.S_IFMT(self.attributes >> 16) not in (0, stat.S_IFREG):
            return refusal("special")
        if self.flags & _ENCRYPTED:
            return refusal("encrypted")
        if self.method not in (_STORED, _DEFLATED):
            return refusal("packed")
        return refusal("corrupt") if self.malformed else None


class _Archive:
    """A .zip in a file: where its table stands, how its names are encoded, what was unpacked."""

    def __init__(self, file: BinaryIO, caps: Caps) -> None:
        self._file = file
        self._caps = caps
        self._size = file.seek(0, 2)
        self._start, self._stop, self._prefix = _find_table(file, self._size)
        self._packed = self._unpacked = self._excess = 0
        self.encoding = self._look_through()

    def _look_through(self) -> Encoding:
        """Count the lines and return how those names are encoded that do not say so."""
        unknown: list[bytes] = []
        for count, line in enumerate(self.lines(), start=1):
            self._caps.check_count(count)
            if len(unknown) < NAMES_ASKED and not line.is_utf8 and not _is_utf8(line.raw):
                unknown.append(line.raw)
        return guess(unknown, dos=True)

    def lines(self) -> Iterator[_Line]:
        """Yield the table's lines. Raises `BadArchive` where one does not begin as it must."""
        base, ahead = self._start, b""
        at = self._start
        while at < self._stop:
            length = _length_of(ahead, at - base)
            if not length or at - base + length > len(ahead):
                base, ahead = at, self._table(at)
                length = _length_of(ahead, 0)
            if not length or length > len(ahead):
                raise BadArchive(DAMAGED)
            yield _line(ahead[at - base : at - base + length])
            at += length

    def _table(self, offset: int) -> bytes:
        self._file.seek(offset)
        return self._file.read(min(CHUNK, self._stop - offset))

    def open(self, line: _Line) -> BinaryIO:
        """Return a file's bytes as a stream.

        Raises:
            Refused: they are not where the table says, or unpack as no image does.
            BadArchive: with them the archive unpacks beyond its cap.
        """
        start = self._prefix + line.offset
        self._file.seek(start if start <= self._size else self._size)
        local = self._file.read(_LOCAL.size)
        if len(local) < _LOCAL.size or not local.startswith(_LOCAL_MAGIC):
            raise refusal("corrupt")
        *_, name_length, extra_length = _LOCAL.unpack(local)
        start += _LOCAL.size + name_length + extra_length
        # Files that lie on each other unpack to more than any archive of this size.
        if start + line.packed > self._size or self._packed + line.packed > self._size:
            raise refusal("corrupt")
        excess = max(0, line.size - MOST_RATIO * line.packed)
        if self._excess + excess > _MOST_EXCESS:
            raise refusal("bomb", MOST_RATIO)
        self._packed += line.packed
        self._unpacked += line.size
        self._excess += excess
        self._caps.check_size(self._unpacked)
        return cast(BinaryIO, _Unpacked(self._file, start, line))


class _Unpacked:
    """A file's bytes: as many as its line says, with the checksum it says, or it is refused."""

    def __init__(self, file: BinaryIO, start: int, line: _Line) -> None:
        self._file = file
        self._at = start
        self._packed_left = line.packed
        self._left = line.size
        self._deflated = zlib.decompressobj(-zlib.MAX_WBITS) if line.method == _DEFLATED else None
        self._ahead = b""
        self._checksum = 0
        self._expected = line.checksum

    def read(self, size: int) -> bytes:
        """Return the next ``size`` bytes, fewer only at the end. Raises `Refused`."""
        pieces = []
        while size and self._left:
            piece = self._next(min(size, self._left))
            self._checksum = zlib.crc32(piece, self._checksum)
            pieces.append(piece)
            size -= len(piece)
            self._left -= len(piece)
        if not self._left and self._checksum != self._expected:
            raise refusal("corrupt")
        return pieces[0] if len(pieces) == 1 else b"".join(pieces)

    def _next(self, most: int) -> bytes:
        if self._deflated is None:
            piece = self._packed(most)
            if not piece:
                raise refusal("corrupt")
            return piece
        while not self._deflated.eof:
            packed = self._ahead or self._packed(CHUNK)
            try:
                piece = self._deflated.decompress(packed, most)
            except zlib.error as error:
                raise refusal("corrupt") from error
            self._ahead = self._deflated.unconsumed_tail
            if piece:
                return piece
            if not packed:
                break
        raise refusal("corrupt")

    def _packed(self, most: int) -> bytes:
        self._file.seek(self._at)
        packed = self._file.read(min(most, self._packed_left))
        self._at += len(packed)
        self._packed_left -= len(packed)
        return packed

    def close(self) -> None:
        """Do nothing: the file is the archive's."""


def _find_table(file: BinaryIO, size: int) -> tuple[int, int, int]:
    """Return where the table of contents begins and ends, and what stands before the archive.

    Raises:
        BadArchive: there is none.
    """
    file.seek(max(0, size - _LONGEST_COMMENT - _END.size))
    base, tail = file.tell(), file.read()
    at = tail.rfind(_END_MAGIC)
    while at >= 0:
        # A comment may hold what looks like the end.
        if at + _END.size <= len(tail) and (table := _table(file, base + at, tail[at:])):
            return table
        at = tail.rfind(_END_MAGIC, 0, at)
    file.seek(0)
    raise BadArchive(DAMAGED if file.read(2) == b"PK" else NOT_READ)


def _table(file: BinaryIO, at: int, end: bytes) -> tuple[int, int, int] | None:
    *_, length, offset, _comment = _END.unpack(end[: _END.size])
    stop = at
    file.seek(max(0, at - _LOCATOR.size - _END64.size))
    before = file.read(at - file.tell())
    if before[-_LOCATOR.size :].startswith(_LOCATOR_MAGIC) and before.startswith(_END64_MAGIC):
        *_, length, offset = _END64.unpack(before[: _END64.size])
        stop = at - _LOCATOR.size - _END64.size
    start = stop - length
    # Programs that unpack themselves stand before an archive whose offsets may not count them.
    for begin, prefix in ((start, start - offset), (offset, 0)):
        if 0 <= begin <= stop and prefix >= 0:
            file.seek(begin)
            if begin == stop or file.read(4) == _LINE_MAGIC:
                return begin, stop, prefix
    return None


def _length_of(table: bytes, at: int) -> int:
    """Return the length of the line that begins here; 0 where none does."""
    if len(table) < at + _LINE.size or not table.startswith(_LINE_MAGIC, at):
        return 0
    lengths: tuple[int, int, int] = struct.unpack_from("<3H", table, at + 28)
    return _LINE.size + sum(lengths)


def _line(data: bytes) -> _Line:
    fields = _LINE.unpack(data[: _LINE.size])
    flags, method, checksum, packed, size, name_length, extra_length = (
        *fields[3:5],
        *fields[7:12],
    )
    attributes, offset = fields[15:17]
    raw = data[_LINE.size : _LINE.size + name_length]
    extra = data[_LINE.size + name_length : _LINE.size + name_length + extra_length]
    fields_of = dict(_extra_fields(extra))
    wide = _Wide(fields_of.get(_ZIP64, b""))
    size, packed, offset = (wide.value(narrow) for narrow in (size, packed, offset))
    path = _unicode_path(fields_of.get(_UNICODE_PATH, b""), raw)
    is_utf8 = path is not None or (bool(flags & _UTF8) and _is_utf8(raw))
    malformed = wide.missing or max(size, packed, offset) >= 2**62
    return _Line(
        path or raw,
        is_utf8,
        flags,
        method,
        checksum,
        *((0, 0, 0) if malformed else (packed, size, offset)),
        attributes,
        malformed,
    )


class _Wide:
    """Sizes of eight bytes, which stand apart, in their order, for those that four can't hold."""

    def __init__(self, data: bytes) -> None:
        self._data = data
        self.missing = False

    def value(self, narrow: int) -> int:
        """Return the value whose four bytes are these."""
        if narrow != _UNKNOWN:
            return narrow
        wide, self._data = self._data[:8], self._data[8:]
        self.missing |= len(wide) < 8
        return int.from_bytes(wide, "little")


def _extra_fields(extra: bytes) -> Iterator[tuple[int, bytes]]:
    """Yield what can be understood; unknown fields, and what is cut short, harm nothing."""
    while len(extra) >= 4:
        kind, length = struct.unpack_from("<2H", extra)
        yield kind, extra[4 : 4 + length]
        extra = extra[4 + length :]


def _unicode_path(field: bytes, raw: bytes) -> bytes | None:
    """Return the name in UTF-8 that stands apart, if it is that of this name."""
    if len(field) < 6 or field[0] != 1 or int.from_bytes(field[1:5], "little") != zlib.crc32(raw):
        return None
    return field[5:] if _is_utf8(field[5:]) else None


def _is_utf8(raw: bytes) -> bool:
    try:
        raw.decode("utf-8")
    except UnicodeDecodeError:
        return False
    return True
