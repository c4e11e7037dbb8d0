"""HEIC, what telephones make → upright pixels."""

from __future__ import annotations

import io

import numpy as np
from pi_heif import HeifFile, open_heif
from PIL import Image

from ml.colour import to_rgb
from ml.refusals import several_pictures, too_many_pixels, unsupported
from ml.shrinking import Pixels, shrunk

_BRANDS = (b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"hevm", b"hevs", b"mif1", b"msf1")
# Transfer characteristics of high dynamic range, PQ and HLG: their white is no paper's white.
_BEYOND_WHITE = (16, 18)


def is_heif(data: bytes) -> bool:
    """Whether the bytes begin like a HEIF file whose picture is packed by HEVC."""
    size = int.from_bytes(data[:4])
    brands = {data[place : place + 4] for place in (8, *range(16, min(size, 256), 4))}
    return data[4:8] == b"ftyp" and b"avif" not in brands and not brands.isdisjoint(_BRANDS)


def decode_heif(data: bytes, max_pixels: int) -> Pixels:
    """The one picture in it, see `ml.images.decode`.

    The library itself turns it upright, and puts it together where it is a grid of tiles.

    Raises:
        UnreadableImage, or one of `ml.refusals.FAULTS` if the file is damaged.
    """
    file: HeifFile = open_heif(io.BytesIO(data), convert_hdr_to_8bit=True)
    if len(file) > 1:
        raise several_pictures()
    width, height = file.size
    if width * height > max_pixels:
        raise too_many_pixels(max_pixels)
    if file.info.get("nclx_profile", {}).get("transfer_characteristics") in _BEYOND_WHITE:
        raise unsupported("A picture of high dynamic range")
    pixels, mode, profile = np.asarray(file), file.mode, file.info.get("icc_profile")

    def strip(top: int, bottom: int) -> Image.Image:
        rows = np.ascontiguousarray(pixels[top:bottom])
        return to_rgb(Image.frombytes(mode, (width, bottom - top), rows.tobytes()), profile)

    return shrunk((pixels.shape[1], pixels.shape[0]), strip)
