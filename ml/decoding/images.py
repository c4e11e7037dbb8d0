"""Bytes of an image file → uint8 array: the only decoder, for training and for serving.

A network sees the same pixels in training and in serving because both come through `decode`.
Changing what it returns changes what every bundle predicts: raise `DECODER_VERSION` with it.
"""

from __future__ import annotations

import io
from contextlib import suppress
from dataclasses import dataclass

import imagecodecs
import numpy as np
import simplejpeg
from PIL import Image, ImageChops, UnidentifiedImageError

from lexicon.formats import FORMATS, MOST_PIXELS
from ml.decoding import refusals
from ml.decoding.colour import to_rgb
from ml.decoding.heif import decode_heif, is_heif
from ml.decoding.jpeg import END, LOSSLESS, frame_of, is_held_whole, is_jpeg, lacks_only_its_end
from ml.decoding.jpeg2000 import decode_jpeg_2000, is_jpeg_2000
from ml.decoding.png import bare, bits_of, is_png
from ml.decoding.refusals import FAULTS, UnreadableImage
from ml.decoding.shrinking import LONGEST_SIDE, UPRIGHT, Pixels, shrunk, shrunk_samples
from ml.decoding.tiff import decode_tiff, is_tiff

__all__ = [
    "DECODER_VERSION",
    "LONGEST_SIDE",
    "InputShape",
    "Pixels",
    "UnreadableImage",
    "decode",
]

DECODER_VERSION = 2
_PILLOW_S = tuple(known.name.upper() for known in FORMATS if known.pillow)
# What decoders hold of a whole picture grows with its channels, or is several times the picture: of
# a JPEG in several scans all coefficients, two bytes each, beside the pixels.
_MOST_SAMPLES, _MOST_DEEP_SAMPLES, _MOST_AVIF_PIXELS = 150_000_000, 120_000_000, 25_000_000
_ORIENTATION = 0x0112


@dataclass(frozen=True)
class InputShape:
    """What a network takes in, in pixels; the channels are red, green and blue."""

    height: int
    width: int


def decode(data: bytes, max_pixels: int = MOST_PIXELS) -> Pixels:
    """The picture in `data`, upright, in sRGB on white, its longer side at most `LONGEST_SIDE`.

    Of more than 8 bits, white is what `levels` says. Colours are converted by the profile that
    the file carries, see `colour`.

    Args:
        data: a whole file of one of `lexicon.formats`.
        max_pixels: the most pixels the file may hold.

    Returns:
        uint8 of shape (height, width, 3), red, green, blue, 0 to 255.

    Raises:
        UnreadableImage: with code empty, not_an_image, too_many_pixels, animated, truncated,
            damaged or unsupported.
    """
    if not data:
        raise refusals.refused("empty")
    try:
        if is_tiff(data):
            return decode_tiff(data, max_pixels)
        if is_heif(data):
            return decode_heif(data, max_pixels)
        if is_jpeg_2000(data):
            return decode_jpeg_2000(data, max_pixels)
        if is_jpeg(data):
            return _jpeg(data, max_pixels)
        return _other(bare(data) if is_png(data) else data, max_pixels)
    except FAULTS as error:
        raise refusals.broken(error) from None


def _jpeg(data: bytes, max_pixels: int) -> Pixels:
    frame = frame_of(data)
    if frame is not None:
        most = _MOST_DEEP_SAMPLES if is_held_whole(data, frame) else _MOST_SAMPLES
        refusals.require_pixels(
            frame.width * frame.height, max_pixels, most // len(frame.components)
        )
    if frame and (frame.bits > 8 or frame.marker == LOSSLESS):
        return shrunk_samples(imagecodecs.jpeg_decode(data), white=2**frame.bits - 1)
    with _open(data, max_pixels) as image:
        if _is_plain(image):
            # The same pixels in half the time. What has any fault is left to Pillow to judge.
            with suppress(ValueError):
                return np.asarray(simplejpeg.decode_jpeg(data), np.uint8)
        # A large one is read at a half, a quarter or an eighth; other formats know no such thing.
        image.draft("RGB" if image.mode == "RGB" else None, (LONGEST_SIDE, LONGEST_SIDE))
        try:
            return _loaded(image)
        except OSError:
            if data.endswith(END) or not lacks_only_its_end(data):
                raise
    return _jpeg(data + END, max_pixels)


def _other(data: bytes, max_pixels: int) -> Pixels:
    with _open(data, max_pixels) as image:
        pixels, profile = image.width * image.height, image.info.get("icc_profile")
        if image.format == "PNG" and bits_of(data) > 8:
            refusals.require_pixels(pixels, _MOST_DEEP_SAMPLES // len(image.getbands()))
            return shrunk_samples(imagecodecs.png_decode(data), profile)
        if image.format == "WEBP":
            # Pillow would keep four copies of it, for its next frames.
            samples = imagecodecs.webp_decode(data)
            return shrunk_samples(samples, profile, 255, orientation=_orientation(image))
        if image.format == "AVIF":
            refusals.require_pixels(pixels, _MOST_AVIF_PIXELS)
        return _loaded(image)


def _open(data: bytes, max_pixels: int) -> Image.Image:
    """The opened file, its header checked, its pixels not yet read."""
    try:
        image = Image.open(io.BytesIO(data), formats=_PILLOW_S)
    except UnidentifiedImageError:
        raise refusals.refused("not_an_image") from None
    except (Image.DecompressionBombError, Image.DecompressionBombWarning):
        raise refusals.too_many_pixels(max_pixels) from None
    refusals.require_pixels(image.width * image.height, max_pixels)
    # A phone's MPO only adds a preview to its JPEG.
    if image.format != "MPO" and getattr(image, "is_animated", False):
        raise refusals.refused("animated")
    return image


def _is_plain(image: Image.Image) -> bool:
    """Whether a JPEG is in sRGB, to be taken as it is, upright and not too large."""
    return (
        image.format == "JPEG"
        and image.mode == "RGB"
        and max(image.size) <= LONGEST_SIDE
        and "icc_profile" not in image.info
        and _orientation(image) == UPRIGHT
    )


def _orientation(image: Image.Image) -> int:
    """How the picture lies; where what is written about it is damaged, upright."""
    try:
        return int(image.getexif().get(_ORIENTATION, UPRIGHT))
    except FAULTS:
        return UPRIGHT


def _loaded(image: Image.Image) -> Pixels:
    image.load()
    if image.format == "BMP" and image.mode == "RGBA" and not image.getchannel("A").getbbox():
        # Most programs write a fourth byte without meaning an opacity.
        image = image.convert("RGB")
    profile = image.info.get("icc_profile")
    # Pillow takes the inks of every JPEG for inverted, which only Adobe's are.
    negative = (
        image.mode == "CMYK" and image.format in ("JPEG", "MPO") and "adobe" not in image.info
    )

    def strip(top: int, bottom: int) -> Image.Image:
        part = image.crop((0, top, image.width, bottom))
        return to_rgb(ImageChops.invert(part) if negative else part, profile)

    return shrunk(image.size, strip, _orientation(image))
