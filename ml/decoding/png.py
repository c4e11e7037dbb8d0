"""The parts of a PNG: how many bits its samples have, and the file without its texts."""

from __future__ import annotations

from collections.abc import Iterator

_SIGNATURE = b"\x89PNG\r\n\x1a\n"
_TEXTS, _LAST = (b"tEXt", b"zTXt", b"iTXt"), b"IEND"
_END = b"\0\0\0\0IEND\xae\x42\x60\x82"
_BITS_AT = 24  # in the first chunk, which is always the same
_AROUND = 12  # length, name and checksum of a chunk


def is_png(data: bytes) -> bool:
    """Whether the bytes begin like a PNG."""
    return data.startswith(_SIGNATURE)


def bits_of(data: bytes) -> int:
    """How many bits a sample has; 0 if the file breaks off before it says so."""
    return data[_BITS_AT] if len(data) > _BITS_AT else 0


def bare(data: bytes) -> bytes:
    """The same picture without what is written in it, and with its end where only that is missing.

    Programs keep their whole state in texts, and readers take files with more than so much of it
    for bombs, which packed texts can be.
    """
    chunks = list(_chunks(data))
    needed = [chunk for name, chunk in chunks if name not in (*_TEXTS, _LAST)]
    return b"".join((_SIGNATURE, *needed, _END))


def _chunks(data: bytes) -> Iterator[tuple[bytes, bytes]]:
    """Every chunk's name, and the whole of it; one that breaks off is given as far as it goes."""
    start = len(_SIGNATURE)
    while start < len(data):
        end = start + _AROUND + int.from_bytes(data[start : start + 4])
        name = data[start + 4 : start + 8]
        yield name, data[start:end]
        if name == _LAST:
            return
        start = end
