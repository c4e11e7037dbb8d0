"""A tar read block by block as it arrives: old, USTAR, GNU and PAX, also cut short or lying.

The standard library's tarfile believes what headers say of sizes: it seeks to 2^70 for ever, and
reads a header of any size into memory. Here a size is only a number of bytes to expect, the end of
the stream ends every reading, and a header too odd to read costs its own file. Links, devices and
sparse files are never followed; their bytes are passed over. Times, modes and owners are not read.

The format: POSIX.1-2017, pax, "ustar Interchange Format" and "pax Extended Header"; the manual of
GNU tar, "Basic Tar Format".
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import BinaryIO, cast

from core.errors import BadArchive
from core.intake.archives.member import (
    CHUNK,
    DAMAGED,
    LONGEST_PATH,
    Caps,
    Member,
    Source,
    damaged_at,
)
from core.intake.door import refusal

BLOCK = 512
_ZEROS = bytes(BLOCK)
_ASCII = bytes(range(128))
# Beyond this no offset in a file goes, nor a number in a database.
_LARGEST_SIZE = 2**62
# What describes a file may hold a Mac's resource fork; beyond this the file is refused.
_LARGEST_DESCRIPTION = 4 * 2**20
_MOST_RECORDS = 1000
_MOST_DESCRIPTIONS = 8

_GLOBAL_PAX, _LONG_NAME, _LONG_LINK = b"g", b"L", b"K"
_DESCRIPTIONS = {b"x", b"X", _LONG_NAME, _LONG_LINK}
_OLD_REGULAR, _FOLDER, _GNU_SPARSE, _LABEL = b"\0", b"5", b"S", b"V"
_REGULAR = {b"0", _OLD_REGULAR, b"7"}
# Links, devices, folders and pipes: whatever size their header says, no bytes follow it.
_WITHOUT_BYTES = {b"1", b"2", b"3", b"4", _FOLDER, b"6"}

Records = dict[bytes, bytes]


def looks_like_tar(first: bytes) -> bool:
    """Say whether bytes begin like a tar, or like an empty one, which is zeros."""
    block = first[:BLOCK]
    return len(block) == BLOCK and (block == _ZEROS or _has_its_checksum(block))


def members_of_tar(source: Source, caps: Caps) -> Iterator[Member]:
    """Yield the files of a tar; of several strung together, those of all.

    Raises:
        BadArchive: it is damaged or ends too early, or holds too many files.
    """
    stream = _Blocks(source)
    for count, header in enumerate(_headers(stream), start=1):
        caps.check_count(count)
        stream.expect_file(header.name, header.size)
        if header.is_file:
            refused = None if header.is_regular else refusal("special")
            if header.unreadable:
                refused = refusal("corrupt")
            yield Member(header.name, header.size, stream.open_file, refused)
        stream.pass_over_file()


@dataclass(frozen=True, slots=True)
class _Header:
    """A file's header, joined with what describes it; ``size`` is how many bytes follow."""

    name: str
    size: int
    kind: bytes
    sparse: bool
    unreadable: bool

    @property
    def is_file(self) -> bool:
        old_folder = self.kind == _OLD_REGULAR and self.name.endswith("/") and not self.size
        return self.kind not in (_FOLDER, _LABEL) and not old_folder

    @property
    def is_regular(self) -> bool:
        return self.kind in _REGULAR and not self.sparse


@dataclass(slots=True)
class _Description:
    """The records before a file's header that describe it: PAX records, or a GNU long name."""

    records: Records = field(default_factory=dict)
    parts: int = 0
    unreadable: bool = False

    def add(self, records: Records | None) -> None:
        """Join one more part. Raises `BadArchive` if they do not end."""
        self.parts += 1
        self.unreadable |= records is None
        self.records |= records or {}
        if self.parts > _MOST_DESCRIPTIONS:
            raise BadArchive(DAMAGED)


def _headers(stream: _Blocks) -> Iterator[_Header]:
    """Yield the headers of files; the caller reads what follows each."""
    of_next, of_all = _Description(), _Description()
    ended = False
    while (block := stream.block()) is not None:
        if block == _ZEROS:
            ended = True
            continue
        if not _has_its_checksum(block):
            if ended:
                # What stands behind the end and is no other tar belongs to none.
                break
            raise BadArchive(DAMAGED)
        ended = False
        kind = block[156:157]
        if kind == _GLOBAL_PAX:
            of_all.add(_description(stream, block))
        elif kind in _DESCRIPTIONS:
            of_next.add(_description(stream, block))
        else:
            yield _header(stream, block, of_next, of_all.records | of_next.records)
            of_next, of_all.parts = _Description(), 0
    if of_next.parts or not ended:
        raise BadArchive(DAMAGED)


def _header(stream: _Blocks, block: bytes, described: _Description, records: Records) -> _Header:
    kind = block[156:157]
    path = records.get(b"GNU.sparse.name") or records.get(b"path") or _short_name(block)
    name = path[:LONGEST_PATH].decode("utf-8", "surrogateescape")
    size = 0 if kind in _WITHOUT_BYTES else _size(block, name, records)
    if kind == _GNU_SPARSE:
        more = block[482]
        while more and (extension := stream.block()):
            more = extension[504]
    sparse = any(key.startswith(b"GNU.sparse.") for key in records)
    unreadable = described.unreadable or len(path) > LONGEST_PATH
    return _Header(name, size, kind, sparse, unreadable)


def _size(block: bytes, name: str, records: Records) -> int:
    """Return how many bytes follow. Raises `BadArchive`: without it no further header is found."""
    size: int | None
    if (digits := records.get(b"size")) is not None:
        size = int(digits) if digits.isdigit() and len(digits) < 20 else None
    else:
        size = _number(block[124:136])
    if size is None or not 0 <= size <= _LARGEST_SIZE:
        raise damaged_at(name)
    return size


def _short_name(block: bytes) -> bytes:
    name = _until_nul(block[:100])
    prefix = _until_nul(block[345:500]) if block[257:263] == b"ustar\0" else b""
    return prefix + b"/" + name if prefix else name


def _description(stream: _Blocks, block: bytes) -> Records | None:
    """Return what a header says of the next one, or of all; None if it is too long or malformed.

    Raises:
        BadArchive: where it ends is not known.
    """
    size = _number(block[124:136])
    if size is None or not 0 <= size <= _LARGEST_SIZE:
        raise BadArchive(DAMAGED)
    stream.expect_file("", size)
    data = stream.read_file(size) if size <= _LARGEST_DESCRIPTION else None
    stream.pass_over_file()
    kind = block[156:157]
    if data is None or kind == _LONG_LINK:
        return None if data is None else {}
    return {b"path": _until_nul(data)} if kind == _LONG_NAME else _records(data)


def _records(data: bytes) -> Records | None:
    """Return PAX records, "LENGTH KEY=VALUE\\n" each, or None if they can't be understood."""
    records: Records = {}
    at = 0
    while at < len(data) and len(records) < _MOST_RECORDS:
        space = data.find(b" ", at, at + 20)
        digits = data[at:space] if space > 0 else b""
        end = at + int(digits) if digits.isdigit() else 0
        key, equals, value = data[space + 1 : end - 1].partition(b"=")
        if not space < end <= len(data) or data[end - 1 : end] != b"\n" or not equals:
            return None
        records[key] = value
        at = end
    return records if at == len(data) else None


def _has_its_checksum(block: bytes) -> bool:
    stated = _number(block[148:156])
    # The field itself counts as eight spaces. Some old programs added the bytes up as signed ones.
    counted = block[:148] + block[156:]
    total = sum(counted) + 8 * 32
    return stated in (total, total - 256 * len(counted.translate(None, _ASCII)))


def _number(stated: bytes) -> int | None:
    """Return a header's number, octal or in GNU's base 256; None if it is neither."""
    if stated[0] & 0x80:
        number = int.from_bytes(stated, "big") & (1 << 8 * len(stated) - 1) - 1
        negative = stated[0] & 0x40
        return number - (1 << 8 * len(stated) - 1) if negative else number
    digits = _until_nul(stated).strip(b" ")
    if not digits:
        return 0
    return int(digits, 8) if digits.isdigit() and not set(digits) & set(b"89") else None


def _until_nul(padded: bytes) -> bytes:
    return padded.partition(b"\0")[0]


class _Blocks:
    """A tar's bytes: blocks, and the bytes of the file that stands between two of them."""

    def __init__(self, source: Source) -> None:
        self._source = source
        self._ahead = b""
        self._at = 0
        self._name = ""
        self._left = 0
        self._padding = 0

    def block(self) -> bytes | None:
        """Return the next block, or None at the stream's end. Raises `BadArchive` amid one."""
        block = self._take(BLOCK)
        while 0 < len(block) < BLOCK and (more := self._take(BLOCK - len(block))):
            block += more
        if len(block) < BLOCK and block.strip(b"\0"):
            raise BadArchive(DAMAGED)
        return block if len(block) == BLOCK else None

    def expect_file(self, name: str, size: int) -> None:
        """Take the next ``size`` bytes, and what fills the last block, for this file's."""
        self._name = name
        self._left = size
        self._padding = -size % BLOCK

    def open_file(self) -> BinaryIO:
        """Return the expected file's bytes as a stream."""
        return cast(BinaryIO, _FileBytes(self))

    def read_file(self, size: int) -> bytes:
        """Return the next ``size`` bytes of the expected file, fewer only where it ends.

        Raises:
            BadArchive: the stream ends before the file does.
        """
        pieces = []
        while size and self._left:
            piece = self._take(min(size, self._left))
            if not piece:
                raise damaged_at(self._name)
            pieces.append(piece)
            size -= len(piece)
            self._left -= len(piece)
        return pieces[0] if len(pieces) == 1 else b"".join(pieces)

    def pass_over_file(self) -> None:
        """Go on to the next block, over what was not read. Raises `BadArchive` as `read_file`."""
        while self.read_file(CHUNK):
            pass
        # A tar whose very end is missing lacks nothing.
        while self._padding and (piece := self._take(self._padding)):
            self._padding -= len(piece)

    def _take(self, most: int) -> bytes:
        if self._at == len(self._ahead):
            self._ahead, self._at = self._source.read(CHUNK), 0
        piece = self._ahead[self._at : self._at + most]
        self._at += len(piece)
        return piece


class _FileBytes:
    """The bytes of the file that a tar stands at, for as long as it stands there."""

    def __init__(self, blocks: _Blocks) -> None:
        self.read = blocks.read_file

    def close(self) -> None:
        """Do nothing: `_Blocks.pass_over_file` passes over the rest."""
