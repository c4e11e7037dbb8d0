"""JPEG 2000, as a file or as a bare codestream → upright pixels.

The colours of a file are named by a number or by a profile; those of a codestream are not, and are
taken for grey or sRGB by how many channels there are.
"""

from __future__ import annotations

import imagecodecs

from ml.decoding.refusals import refused, require_pixels
from ml.decoding.shrinking import Pixels, shrunk_samples

_FILE, _CODESTREAM = b"jP  \r\n\x87\n", b"\xff\x4f\xff\x51"
# Its decoder holds every sample in four bytes.
_MOST_PIXELS = 16_000_000
_BY_NUMBER, _BY_PROFILE = b"\1", b"\2"
_YCC, _CHANNELS = 18, {16: (3, 4), 17: (1, 2)}
_FULL = 15  # one less than the bits of a sample, as the codestream counts them


def is_jpeg_2000(data: bytes) -> bool:
    """Whether the bytes begin like a JPEG 2000 file or codestream."""
    return data[4:12] == _FILE or data.startswith(_CODESTREAM)


def decode_jpeg_2000(data: bytes, max_pixels: int) -> Pixels:
    """The picture in it, see `ml.decoding.decode`.

    Raises:
        UnreadableImage, or one of `ml.decoding.refusals.FAULTS` if the file is damaged.
    """
    start = data.find(_CODESTREAM)
    sides = [int.from_bytes(data[start + at : start + at + 4]) for at in (8, 12, 16, 20)]
    bits = data[start + 42 : start + 43]
    if start < 0 or not bits:
        raise refused("damaged")
    require_pixels((sides[0] - sides[2]) * (sides[1] - sides[3]), max_pixels, _MOST_PIXELS)
    if bits[0] > _FULL:
        raise refused("unsupported", what="A JPEG 2000 with negative numbers or more than 16 bits")
    samples = imagecodecs.jpeg2k_decode(data)
    profile, mode = _colours(data[:start], 1 if samples.ndim == 2 else samples.shape[2])
    white = 2 ** (bits[0] + 1) - 1 if bits[0] < _FULL else None
    return shrunk_samples(samples, profile, white, mode)


def _colours(head: bytes, channels: int) -> tuple[bytes | None, str | None]:
    """The profile and Pillow's word for the channels, where the file has any.

    Raises:
        UnreadableImage: unsupported, if it can't be told what the channels are.
    """
    body = _box(head, b"colr")
    if not _is_in_order(_box(head, b"cdef")):
        raise refused("unsupported", what="A JPEG 2000 with channels in an unusual order")
    if not body and channels in (1, 3):
        return None, None
    if body[:1] == _BY_PROFILE and channels in (1, 2, 3, 4):
        return body[3:], "CMYK" if body[19:23] == b"CMYK" else None
    number = int.from_bytes(body[3:7])
    if body[:1] == _BY_NUMBER and number == _YCC and channels == 3:
        return None, "YCbCr"
    if body[:1] == _BY_NUMBER and channels in _CHANNELS.get(number, ()):
        return None, None
    raise refused("unsupported", what=f"A JPEG 2000 with {channels} channels of unknown colours")


def _is_in_order(definitions: bytes) -> bool:
    """Whether the channels, where they are described, are the colours and then the opacity.

    After their number, each has its own, its kind (0 is a colour) and the colour that it is.
    """
    words = [int.from_bytes(definitions[at : at + 2]) for at in range(2, len(definitions), 2)]
    described = zip(words[::3], words[1::3], words[2::3], strict=False)
    return all(kind or number + 1 == colour for number, kind, colour in described)


def _box(head: bytes, name: bytes) -> bytes:
    """The contents of the first box of that name; nothing if there is none."""
    at = head.find(name)
    if at < 0:
        return b""
    return head[at + 4 : at - 4 + int.from_bytes(head[at - 4 : at])]
