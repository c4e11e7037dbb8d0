"""Archives as tests make them, byte by byte where no program would, and what is read of them."""

from __future__ import annotations

import io
import struct
import tarfile
import zlib
from dataclasses import dataclass, field, replace

from core.blobs import MemoryBlobs
from core.errors import BadArchive, Refused
from core.intake.archives import Caps, Member, members

CAPS = Caps(entries=1000, max_bytes=2**34)


class Stream:
    """Bytes that arrive as from a socket, some at a time, counted."""

    def __init__(self, data: bytes) -> None:
        self._file = io.BytesIO(data)
        self.calls = 0

    def read(self, size: int = -1, /) -> bytes:
        """Return the next bytes."""
        self.calls += 1
        return self._file.read(min(size, 8192))


@dataclass
class Read:
    """What was read of an archive: its files, those refused with why, and how it ended."""

    files: dict[str, bytes] = field(default_factory=dict)
    refused: dict[str, str] = field(default_factory=dict)
    problem: str = ""
    members: int = 0


def read(data: bytes, caps: Caps = CAPS, wanted: str = "") -> Read:
    """Read an archive, of each file only what its header says, of those named ``wanted``."""
    contents = Read()
    try:
        for member in members(Stream(data), MemoryBlobs(), caps):
            contents.members += 1
            assert 0 <= member.size < 2**63
            if member.name.endswith(wanted):
                _read(member, contents)
    except BadArchive as problem:
        contents.problem = str(problem)
    return contents


def _read(member: Member, contents: Read) -> None:
    if member.refused:
        contents.refused[member.name] = member.refused.code
        return
    try:
        stream = member.open()
        pieces = []
        while piece := stream.read(65536):
            pieces.append(piece)
        contents.files[member.name] = b"".join(pieces)
    except Refused as refused:
        contents.refused[member.name] = refused.code


def header(
    name: bytes, size: int | bytes, kind: bytes = b"0", magic: bytes = b"ustar\x0000"
) -> bytes:
    """Return a tar's header whose size is a number in octal, or these twelve bytes."""
    block = bytearray(512)
    block[: len(name)] = name
    block[100:108] = b"0000644\0"
    block[124:136] = size if isinstance(size, bytes) else b"%011o\0" % size
    block[156:157] = kind
    block[257 : 257 + len(magic)] = magic
    return summed(block)


def summed(block: bytearray) -> bytes:
    """Return a header with its checksum."""
    block[148:156] = b" " * 8
    block[148:156] = b"%06o\0 " % sum(block)
    return bytes(block)


def stored(data: bytes) -> bytes:
    """Return a file's bytes as a tar holds them."""
    return data + bytes(-len(data) % 512)


def pax(*records: tuple[bytes, bytes], kind: bytes = b"x") -> bytes:
    """Return a header that describes the next file by PAX records."""
    lines = b""
    for key, value in records:
        rest = b" " + key + b"=" + value + b"\n"
        length = len(rest) + 1
        while length != len(str(length)) + len(rest):
            length = len(str(length)) + len(rest)
        lines += str(length).encode() + rest
    return header(b"PaxHeader", len(lines), kind) + stored(lines)


END = bytes(1024)


def tar_of(kind: int, files: dict[str, bytes], mode: str = "w") -> bytes:
    """Return a tar of this format as the standard library makes it."""
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode=mode, format=kind) as archive:  # type: ignore[call-overload]
        for name, data in files.items():
            info = tarfile.TarInfo(name)
            info.size = len(data)
            archive.addfile(info, io.BytesIO(data))
    made: bytes = out.getvalue()
    return made


@dataclass(frozen=True)
class Entry:
    """A file of a .zip as its table of contents names it, whatever is true."""

    raw: bytes
    data: bytes
    flags: int = 0
    method: int = 8
    size: int | None = None
    packed: int | None = None
    offset: int | None = None
    extra: bytes = b""
    attributes: int = 0

    @property
    def bytes_packed(self) -> bytes:
        """Return the bytes as the archive holds them."""
        if self.method != 8:
            return self.data
        packer = zlib.compressobj(9, zlib.DEFLATED, -15)
        return packer.compress(self.data) + packer.flush()


def zip_of(
    *entries: Entry, before: bytes = b"", comment: bytes = b"", shifted: bool = True
) -> bytes:
    """Return a .zip of these files; ``shifted`` offsets count what stands ``before`` it."""
    out, table = bytearray(before), bytearray()
    base = 0 if shifted else len(before)
    for entry in entries:
        at, packed, checksum = len(out) - base, entry.bytes_packed, zlib.crc32(entry.data)
        out += struct.pack(
            "<4s5H3L2H", b"PK\3\4", 20, entry.flags, entry.method, 0, 0, checksum,
            len(packed), len(entry.data), len(entry.raw), 0,
        )  # fmt: skip
        out += entry.raw + packed
        entry = replace(
            entry,
            size=len(entry.data) if entry.size is None else entry.size,
            packed=len(packed) if entry.packed is None else entry.packed,
            offset=at if entry.offset is None else entry.offset,
        )
        table += struct.pack(
            "<4s6H3L5H2L", b"PK\1\2", 20, 20, entry.flags, entry.method, 0, 0, checksum,
            entry.packed, entry.size, len(entry.raw), len(entry.extra), 0, 0, 0, entry.attributes,
            entry.offset,
        )  # fmt: skip
        table += entry.raw + entry.extra
    start = len(out) - base
    end = struct.pack(
        "<4s4H2LH", b"PK\5\6", 0, 0, len(entries) % 65536, len(entries) % 65536, len(table), start,
        len(comment),
    )  # fmt: skip
    return bytes(out + table + end + comment)
