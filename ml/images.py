"""Bytes of a picture file → uint8 array: the only decoder, for training and for serving.

A network sees the same pixels in training and in serving because both come through `decode`.
Changing what it returns changes what every bundle predicts: raise `DECODER_VERSION` with it.
"""

from __future__ import annotations

import io
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

import numpy as np
import simplejpeg
from numpy.typing import NDArray
from PIL import Image, ImageOps, UnidentifiedImageError

from ml.errors import MlError

DECODER_VERSION = 2
FORMATS = ("JPEG", "PNG", "BMP", "TIFF", "WEBP")
SUFFIXES = (".jpg", ".jpeg", ".png", ".bmp", ".tif", ".tiff", ".webp")
MAX_PIXELS = 50_000_000
# Larger images are brought down to this; the largest cell in a crop still has pixels to spare.
LONGEST_SIDE = 640
_ORIENTATION, _UPRIGHT = 0x0112, 1

Pixels = NDArray[np.uint8]


@dataclass(frozen=True)
class InputShape:
    """What a network takes in, in pixels; the channels are red, green and blue."""

    height: int
    width: int


class UnreadableImage(MlError):
    """A file that can't be used as an image; `code` is for programs, the message for people."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code


def decode(data: bytes, max_pixels: int = MAX_PIXELS) -> Pixels:
    """The picture in `data`, upright, on white, its longer side at most `LONGEST_SIDE`.

    Args:
        data: a whole JPEG, PNG, BMP, TIFF or WebP file.
        max_pixels: the most pixels the file may hold.

    Returns:
        uint8 of shape (height, width, 3), red, green, blue, 0 to 255.

    Raises:
        UnreadableImage: with code empty, not_an_image, too_many_pixels, animated, truncated,
            damaged or unsupported.
    """
    if not data:
        raise UnreadableImage("empty", "The file is empty.")
    try:
        image = _open(data, max_pixels)
        if _is_plain_jpeg(image):
            # The same pixels in half the time. What has any fault is left to Pillow to judge.
            with suppress(ValueError):
                return np.asarray(simplejpeg.decode_jpeg(data), np.uint8)
        # A large JPEG is read at a half, a quarter or an eighth; other formats know no such thing.
        image.draft("RGB" if image.mode == "RGB" else None, (LONGEST_SIDE, LONGEST_SIDE))
        image.load()
        ImageOps.exif_transpose(image, in_place=True)
        rgb = _as_rgb(image)
        rgb.thumbnail((LONGEST_SIDE, LONGEST_SIDE), Image.Resampling.BILINEAR)
        return np.array(rgb, dtype=np.uint8)
    except (UnreadableImage, MemoryError):
        raise
    except Exception as error:
        # Pillow's readers raise more than OSError on damaged files (SyntaxError, struct.error,
        # ValueError …), and one bad image must never fail the batch it came in.
        raise _broken(error) from None


def _open(data: bytes, max_pixels: int) -> Image.Image:
    """The opened file, its header checked, its pixels not yet read."""
    try:
        image = Image.open(io.BytesIO(data), formats=FORMATS)
    except UnidentifiedImageError:
        known = "JPEG, PNG, BMP, TIFF or WebP"
        raise UnreadableImage("not_an_image", f"The file is not a {known} image.") from None
    except (Image.DecompressionBombError, Image.DecompressionBombWarning):
        raise _too_many_pixels(max_pixels) from None
    if image.width * image.height > max_pixels:
        raise _too_many_pixels(max_pixels)
    _require_single(image)
    return image


def _is_plain_jpeg(image: Image.Image) -> bool:
    """Whether it is a JPEG in colour to be taken as it is, upright and not too large."""
    return (
        image.format == "JPEG"
        and image.mode == "RGB"
        and max(image.size) <= LONGEST_SIDE
        and image.getexif().get(_ORIENTATION, _UPRIGHT) == _UPRIGHT
    )


def _require_single(image: Image.Image) -> None:
    """Refuse animations and multi-page files; a phone's MPO only adds a preview to its JPEG."""
    # Counting the pictures of a TIFF would walk all of them, for minutes if it is made so.
    if image.format != "MPO" and getattr(image, "is_animated", False):
        message = "The file holds several pictures; only files with one can be classified."
        raise UnreadableImage("animated", message)


def _as_rgb(image: Image.Image) -> Image.Image:
    if image.mode.startswith("I"):
        return Image.fromarray(_eight_bits(image)).convert("RGB")
    if image.mode in ("F", "LAB", "HSV"):
        message = f"Images of the kind {image.mode!r} can't be read; save it as an RGB image."
        raise UnreadableImage("unsupported", message)
    if image.has_transparency_data:
        return _on_white(image.convert("RGBA"))
    return image if image.mode == "RGB" else image.convert("RGB")


def _eight_bits(image: Image.Image) -> Pixels:
    """16-bit grey (0 to 65535) scaled to 8 bits; Pillow's own conversion would clip it at 255."""
    grey: NDArray[Any] = np.asarray(image).astype(np.int64)
    if grey.min() < 0 or grey.max() > 65535:
        message = "Grey values beyond 16 bits can't be read; save it as an 8-bit image."
        raise UnreadableImage("unsupported", message)
    return ((grey + 128) // 257).astype(np.uint8)


def _on_white(image: Image.Image) -> Image.Image:
    """A transparent picture on white, the colour of an empty slide."""
    white = Image.new("RGBA", image.size, "white")
    return Image.alpha_composite(white, image).convert("RGB")


def _too_many_pixels(max_pixels: int) -> UnreadableImage:
    millions = max_pixels / 1_000_000
    message = f"The image has more than {millions:g} million pixels; crop or shrink it."
    return UnreadableImage("too_many_pixels", message)


def _broken(error: Exception) -> UnreadableImage:
    if "truncated" in str(error).lower():
        message = "The file ends before the image does; copy or export it again."
        return UnreadableImage("truncated", message)
    return UnreadableImage("damaged", "The image data are damaged; export the file again.")
