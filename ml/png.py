"""The parts of a PNG: how many bits its samples have, and the file without its texts."""

from __future__ import annotations

from collections.abc import Iterator

_SIGNATURE = b"\x89PNG\r\n\x1a\n"
_TEXTS = (b"tEXt", b"zTXt", b"iTXt")
_BITS_AT = 24  # in the first chunk, which is always the same
_AROUND = 12  # length, name and checksum of a chunk


def is_png(data: bytes) -> bool:
    """Whether the bytes begin like a PNG."""
    return data.startswith(_SIGNATURE)


def bits_of(data: bytes) -> int:
    """How many bits a sample has; 0 if the file breaks off before it says so."""
    return data[_BITS_AT] if len(data) > _BITS_AT else 0


def without_text(data: bytes) -> bytes:
    """The same picture without what is written in it.

    Programs keep their whole state in there, and readers take files with more than so much of it
    for bombs, which packed texts can be.
    """
    chunks = list(_chunks(data))
    if not any(name in _TEXTS for name, _ in chunks):
        return data
    return _SIGNATURE + b"".join(chunk for name, chunk in chunks if name not in _TEXTS)


def _chunks(data: bytes) -> Iterator[tuple[bytes, bytes]]:
    place = len(_SIGNATURE)
    while place < len(data):
        end = place + _AROUND + int.from_bytes(data[place : place + 4])
        yield data[place + 4 : place + 8], data[place:end]
        place = end
