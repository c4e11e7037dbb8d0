"""HEIC, what telephones make → upright pixels."""

from __future__ import annotations

import io

import numpy as np
from pi_heif import HeifFile, open_heif

from ml.decoding.refusals import refused, require_pixels
from ml.decoding.shrinking import Pixels, shrunk_samples

_BRANDS = (b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"hevm", b"hevs", b"mif1", b"msf1")
# Of more than 8 bits a sample, whose planes take twice the memory.
_MOST_DEEP_PIXELS = 25_000_000
# Transfer characteristics of high dynamic range, PQ and HLG: their white is no paper's white.
_BEYOND_WHITE = (16, 18)


def is_heif(data: bytes) -> bool:
    """Whether the bytes begin like a HEIF file whose picture is packed by HEVC."""
    size = int.from_bytes(data[:4])
    brands = {data[start : start + 4] for start in (8, *range(16, min(size, 256), 4))}
    return data[4:8] == b"ftyp" and b"avif" not in brands and not brands.isdisjoint(_BRANDS)


def decode_heif(data: bytes, max_pixels: int) -> Pixels:
    """The one picture in it, see `ml.decoding.decode`.

    The library itself turns it upright, and puts it together where it is a grid of tiles.

    Raises:
        UnreadableImage, or one of `ml.decoding.refusals.FAULTS` if the file is damaged.
    """
    _require_readable_words(data)
    file: HeifFile = open_heif(io.BytesIO(data), convert_hdr_to_8bit=True)
    if len(file) > 1:
        raise refused("animated")
    width, height = file.size
    most = max_pixels if file.info.get("bit_depth", 8) <= 8 else _MOST_DEEP_PIXELS
    require_pixels(width * height, max_pixels, most)
    if (file.info.get("nclx_profile") or {}).get("transfer_characteristics") in _BEYOND_WHITE:
        raise refused("unsupported", what="A picture of high dynamic range")
    samples, profile = np.asarray(file), file.info.get("icc_profile")
    if samples.dtype == np.uint16:
        # Grey of more than 8 bits is brought to 16 by the library, and not to 8 as colours are.
        return shrunk_samples(samples, profile, white=2**16 - 1)
    return shrunk_samples(samples, profile, white=255, mode=file.mode)


def _require_readable_words(data: bytes) -> None:
    """Refuse a list of contents with words in it that are no text: the library falls over them.

    An entry has version, flags and numbers first, then its kind in four letters and its name.
    """
    start = data.find(b"iinf")
    listed = data[start : start - 4 + int.from_bytes(data[start - 4 : start])]
    at = listed.find(b"infe")
    while at >= 0:
        size, version = int.from_bytes(listed[at - 4 : at]), listed[at + 4]
        words = listed[at + (14 if version > 2 else 12) : at - 4 + size]
        if not words[:4].isascii() or "\ufffd" in words.decode(errors="replace"):
            raise refused("damaged")
        at = listed.find(b"infe", at + 4)
