"""What a JPEG's markers say beyond what Pillow tells, and whether only its end is missing."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import simplejpeg

END = b"\xff\xd9"
LOSSLESS = 0xC3
_START_OF_SCAN, _PROGRESSIVE = 0xDA, 0xC2
# All frames but those of 0xC4, 0xC8 and 0xCC, which are tables.
_FRAMES = frozenset(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}
_ALONE = frozenset({0x00, 0x01, *range(0xD0, 0xD9), 0xFF})
_COEFFICIENTS = 64


@dataclass(frozen=True)
class Frame:
    """How the picture is stored: the marker's number, bits a sample, sides, and components' ids."""

    marker: int
    bits: int
    height: int
    width: int
    components: tuple[int, ...]


def is_jpeg(data: bytes) -> bool:
    """Whether the bytes begin like a JPEG."""
    return data.startswith(b"\xff\xd8\xff")


def frame_of(data: bytes) -> Frame | None:
    """The first frame's header; None if there is none."""
    for marker, body in _segments(data):
        if marker in _FRAMES and len(body) >= 6:
            height, width = int.from_bytes(body[1:3]), int.from_bytes(body[3:5])
            return Frame(marker, body[0], height, width, tuple(body[6::3][: body[5]]))
    return None


def is_held_whole(data: bytes, frame: Frame) -> bool:
    """Whether a decoder keeps all coefficients, two bytes each: the picture is in several scans."""
    return frame.marker == _PROGRESSIVE or data.count(bytes((0xFF, _START_OF_SCAN))) > 1


def lacks_only_its_end(data: bytes) -> bool:
    """Whether all of the picture is there, though the file has no end-of-image marker."""
    frame = frame_of(data)
    if frame is None or (frame.marker == _PROGRESSIVE and not _is_complete(data, frame)):
        return False
    space = {1: "GRAY", 4: "CMYK"}.get(len(frame.components), "RGB")
    try:
        # Strict, which Pillow can't be: a place that is filled up without data is an error.
        simplejpeg.decode_jpeg(data + END, space, min_height=1, min_width=1)
    except ValueError:
        return False
    return True


def _is_complete(data: bytes, frame: Frame) -> bool:
    """Whether the scans of a progressive picture bring every coefficient to its last bit.

    A file that was cut between two scans is decoded without complaint, only coarser.
    """
    missing = {
        (component, number) for component in frame.components for number in range(_COEFFICIENTS)
    }
    for marker, body in _segments(data):
        if marker == _START_OF_SCAN and body and len(body) >= 4 + 2 * body[0]:
            ids, (first, last, bits) = body[1 : 1 + 2 * body[0] : 2], body[1 + 2 * body[0] :][:3]
            if not bits & 0x0F:
                missing -= {
                    (component, number) for component in ids for number in range(first, last + 1)
                }
    return not missing


def _segments(data: bytes) -> Iterator[tuple[int, bytes]]:
    """Every marker that has a body, with it; what lies between them is passed over."""
    at = data.find(b"\xff")
    while 0 <= at < len(data) - 3:
        marker = data[at + 1]
        if marker in _ALONE:
            at = data.find(b"\xff", at + 1 + (marker != 0xFF))
            continue
        if marker == END[1]:
            return
        size = int.from_bytes(data[at + 2 : at + 4])
        yield marker, data[at + 4 : at + 2 + size]
        at = data.find(b"\xff", at + 2 + size)
