"""What a picture file says of itself in its first bytes: its format, its sides, how many pictures.

The web takes files in and decodes none, so it needs no decoder. Here each format's header is walked
by itself, in bounded time and memory whatever it claims: a part that is counted by the file is
passed over, not read, and there is a most to every chain. What is told is not to be relied on.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import BinaryIO

_MOST_PARTS = 4096
_MOST_PAGES = 64
_LONGEST_START = 32

# JPEG: markers of frames, and those that stand alone.
_FRAMES = frozenset(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}
_ALONE = frozenset({0x01, *range(0xD0, 0xD9)})
# TIFF: NewSubfileType and SubfileType, width, height; reduced copies and masks are no pictures.
_SUBFILE, _OLD_SUBFILE, _WIDTH, _HEIGHT = 254, 255, 256, 257
_REDUCED_OR_MASK, _OLD_REDUCED = 0b101, 2
_SHORT, _LONG, _LONG8 = 3, 4, 16
# ISO media files: boxes that hold boxes, and how many bytes stand before those.
_HOLDERS = {b"meta": 4, b"iprp": 0, b"ipco": 0, b"jp2h": 0}
_HEVC = frozenset(
    (b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"hevm", b"hevs", b"mif1", b"msf1")
)
_ANIMATED_WEBP = 0x02


@dataclass(frozen=True, slots=True)
class Header:
    """A format's name, the picture's sides in pixels, and whether there are several pictures."""

    format: str
    width: int
    height: int
    several: bool = False


class _File:
    """A file that is read at offsets; what lies beyond its end is an error."""

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        self.size = file.seek(0, 2)

    def read(self, offset: int, count: int) -> bytes:
        if offset + count > self.size:
            raise EOFError
        self._file.seek(offset)
        return self._file.read(count)

    def unpack(self, offset: int, layout: str) -> tuple[int, ...]:
        return struct.unpack(layout, self.read(offset, struct.calcsize(layout)))


def header_of(stream: BinaryIO) -> Header | None:
    """Look at the beginning of a file; None if it is not a picture of a format that is known."""
    file = _File(stream)
    start = file.read(0, min(_LONGEST_START, file.size))
    for begins, look in _FORMATS:
        if begins(start):
            try:
                return look(file)
            except (EOFError, OSError, ValueError, struct.error):
                return None
    return None


def _jpeg(file: _File) -> Header | None:
    offset = 2
    for _ in range(_MOST_PARTS):
        lead, marker = file.unpack(offset, ">BB")
        if lead != 0xFF or marker in (0x00, 0xFF):
            offset += 1
        elif marker in _ALONE:
            offset += 2
        elif marker in _FRAMES:
            height, width = file.unpack(offset + 5, ">HH")
            return Header("JPEG", width, height)
        else:
            offset += 2 + file.unpack(offset + 2, ">H")[0]
    return None


def _png(file: _File) -> Header | None:
    width, height = file.unpack(16, ">II")
    several, offset = False, 8
    for _ in range(_MOST_PARTS):
        size, name = struct.unpack(">I4s", file.read(offset, 8))
        if name == b"acTL":
            several = file.unpack(offset + 8, ">I")[0] > 1
        if name == b"IDAT":
            return Header("PNG", width, height, several)
        offset += 12 + size
    return None


def _bmp(file: _File) -> Header:
    (size,) = file.unpack(14, "<I")
    width, height = file.unpack(18, "<HH" if size == 12 else "<ii")
    return Header("BMP", abs(width), abs(height))


def _webp(file: _File) -> Header | None:
    name = file.read(12, 4)
    if name == b"VP8 ":
        width, height = file.unpack(26, "<HH")
        return Header("WebP", width & 0x3FFF, height & 0x3FFF)
    if name == b"VP8L":
        (bits,) = file.unpack(21, "<I")
        return Header("WebP", (bits & 0x3FFF) + 1, (bits >> 14 & 0x3FFF) + 1)
    if name != b"VP8X":
        return None
    width, height = (int.from_bytes(file.read(offset, 3), "little") + 1 for offset in (24, 27))
    moving = bool(file.read(20, 1)[0] & _ANIMATED_WEBP)
    return Header("WebP", width, height, several=moving and _webp_frames(file) > 1)


def _webp_frames(file: _File) -> int:
    frames, offset = 0, 12
    for _ in range(_MOST_PARTS):
        if frames > 1 or offset + 8 > file.size:
            break
        name, size = struct.unpack("<4sI", file.read(offset, 8))
        frames += name == b"ANMF"
        offset += 8 + size + size % 2
    return frames


def _tiff(file: _File) -> Header | None:
    """The page at full resolution, beside which there may be reduced copies and masks."""
    pictures: list[tuple[int, int]] = []
    others: list[tuple[int, int]] = []
    for width, height, aside in _tiff_pages(file):
        (others if aside else pictures).append((width, height))
        if len(pictures) > 1 or len(others) > _MOST_PAGES:
            break
    pages = pictures or others
    if not pages:
        return None
    return Header("TIFF", *pages[0], several=len(pages) > 1 or len(others) > _MOST_PAGES)


def _tiff_pages(file: _File) -> Iterator[tuple[int, int, bool]]:
    """Yield width, height, and whether it is a reduced copy or a mask, of each page once."""
    order = "<" if file.read(0, 2) == b"II" else ">"
    big = file.unpack(2, order + "H") == (43,)
    count_layout, entry_layout, next_layout = ("Q", "HHQ", "Q") if big else ("H", "HHI", "I")
    entry_size = 20 if big else 12
    (offset,) = file.unpack(8 if big else 4, order + next_layout)
    seen: set[int] = set()
    while offset and offset not in seen:
        seen.add(offset)
        (count,) = file.unpack(offset, order + count_layout)
        if count > _MOST_PARTS:
            return
        offset += struct.calcsize(count_layout)
        table = file.read(offset, count * entry_size)
        tags = dict(_tiff_tags(table, order, entry_layout, entry_size))
        aside = tags.get(_SUBFILE, 0) & _REDUCED_OR_MASK or tags.get(_OLD_SUBFILE) == _OLD_REDUCED
        yield tags.get(_WIDTH, 0), tags.get(_HEIGHT, 0), bool(aside)
        (offset,) = file.unpack(offset + len(table), order + next_layout)


def _tiff_tags(table: bytes, order: str, layout: str, size: int) -> Iterator[tuple[int, int]]:
    """Yield those tags that are one whole number, in the order of the directory."""
    head = struct.calcsize("=" + layout)
    kinds = {_SHORT: "H", _LONG: "I", _LONG8: "Q"}
    for offset in range(0, len(table), size):
        tag, kind, count = struct.unpack_from(order + layout, table, offset)
        if count == 1 and kind in kinds and head + struct.calcsize("=" + kinds[kind]) <= size:
            yield tag, struct.unpack_from(order + kinds[kind], table, offset + head)[0]


def _iso(file: _File) -> Header | None:
    """HEIC and AVIF: the largest of the sizes given there, for tiles and previews have theirs."""
    brands = file.read(8, min(file.unpack(0, ">I")[0], 256) - 8)
    names = {brands[offset : offset + 4] for offset in range(0, len(brands), 4)}
    if not names & {b"avif", b"avis"} and not names & _HEVC:
        return None
    sizes = [file.unpack(body + 4, ">II") for name, body in _boxes(file) if name == b"ispe"]
    width, height = max(sizes, key=lambda sides: sides[0] * sides[1], default=(0, 0))
    return Header("AVIF" if names & {b"avif", b"avis"} else "HEIC", width, height)


def _jpeg_2000(file: _File) -> Header | None:
    for name, body in _boxes(file):
        if name == b"ihdr":
            height, width = file.unpack(body, ">II")
            return Header("JPEG2000", width, height)
    return None


def _codestream(file: _File) -> Header:
    right, lower, left, upper = file.unpack(8, ">IIII")
    return Header("JPEG2000", max(right - left, 0), max(lower - upper, 0))


def _boxes(file: _File) -> Iterator[tuple[bytes, int]]:
    """Yield each box's name and where its body begins, those within other boxes too."""
    offset = 0
    for _ in range(_MOST_PARTS):
        if offset + 8 > file.size:
            return
        size, name = struct.unpack(">I4s", file.read(offset, 8))
        body = offset + 8
        if size == 1:
            (size,), body = file.unpack(body, ">Q"), body + 8
        yield name, body
        if name in _HOLDERS:
            offset = body + _HOLDERS[name]
        elif size < body - offset:  # 0: up to the end of the file
            return
        else:
            offset += size


_FORMATS: tuple[tuple[Callable[[bytes], bool], Callable[[_File], Header | None]], ...] = (
    (lambda start: start.startswith(b"\xff\xd8\xff"), _jpeg),
    (lambda start: start.startswith(b"\x89PNG\r\n\x1a\n"), _png),
    (lambda start: start.startswith(b"BM"), _bmp),
    (lambda start: start[:4] == b"RIFF" and start[8:12] == b"WEBP", _webp),
    (lambda start: start[:4] in (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+"), _tiff),
    (lambda start: start[4:8] == b"ftyp", _iso),
    (lambda start: start[4:12] == b"jP  \r\n\x87\n", _jpeg_2000),
    (lambda start: start.startswith(b"\xff\x4f\xff\x51"), _codestream),
)
