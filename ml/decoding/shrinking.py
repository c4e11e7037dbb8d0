"""A decoded picture → upright pixels of the size that is worked with, a strip at a time.

An image of fifty million pixels is several hundred megabytes in some of its forms; it is brought
into colour and reduced strip by strip, so that there is never a second whole copy of it.
"""

from __future__ import annotations

from collections.abc import Callable
from math import ceil, floor

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from ml.decoding.colour import to_rgb
from ml.decoding.levels import Samples, to_eight, white_of

# Larger images are brought down to this; the largest cell in a crop still has pixels to spare.
LONGEST_SIDE = 640
UPRIGHT = 1
_PIXELS_AT_ONCE = 1_000_000
_ROWS_AT_ONCE = 256
_MODES = {1: "L", 2: "LA", 3: "RGB", 4: "RGBA"}
# How a picture is turned upright, by the number that EXIF and TIFF give its orientation.
_TURNS = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
_SIDEWAYS = (5, 6, 7, 8)

Pixels = NDArray[np.uint8]
Size = tuple[int, int]


def shrunk(
    size: Size, strip: Callable[[int, int], Image.Image], orientation: int = UPRIGHT
) -> Pixels:
    """The picture upright, its longer side at most `LONGEST_SIDE`.

    Args:
        size: width and height as stored, before it is turned.
        strip: gives the rows from the first number up to the second, in RGB.
        orientation: 1 to 8, as in EXIF; anything else is taken for upright.
    """
    sideways = orientation in _SIDEWAYS
    turned = (size[1], size[0]) if sideways else size
    target = _fitting(turned)
    # Pillow's own way of making thumbnails: whole pixels are averaged first, so that twice the
    # target's size is left, and the rest is interpolated.
    across, down = (max(1, int(turned[i] / target[i] / 2)) for i in (0, 1))
    factor = (down, across) if sideways else (across, down)
    reduced = _reduced(size, strip, factor)
    turn = _TURNS.get(orientation)
    if turn is not None:
        reduced = reduced.transpose(turn)
    if reduced.size != target:
        # Blocks at the far edges may be incomplete. Once turned they can be at the near ones, and
        # are then taken as whole, which moves nothing by as much as a pixel of the result.
        box = None if turn else (0, 0, size[0] / across, size[1] / down)
        reduced = reduced.resize(target, Image.Resampling.BILINEAR, box)
    return np.array(reduced, dtype=np.uint8)


def shrunk_samples(
    samples: Samples,
    profile: bytes | None = None,
    white: float | None = None,
    mode: str | None = None,
    orientation: int = UPRIGHT,
) -> Pixels:
    """The picture that an array of samples is, as a decoding library gives it: as `shrunk`.

    Args:
        samples: (height, width) or (height, width, channels), the opacity last.
        profile: what the colours are, where the file says so.
        white: the number that is white; it is looked for unless it is known.
        mode: Pillow's word for the channels, unless they are grey or RGB.
        orientation: 1 to 8, as in EXIF.

    Raises:
        UnreadableImage: unsupported, if it can't be told what is white.
    """
    samples = samples.reshape(*samples.shape[:2], -1)
    height, width, channels = samples.shape
    mode = mode or _MODES[channels]
    colours = channels - mode.endswith("A")
    if white is None:
        tops = range(0, height, _ROWS_AT_ONCE)
        white = white_of(samples[top : top + _ROWS_AT_ONCE, :, :colours] for top in tops)
    opaque = np.iinfo(samples.dtype).max if white > 255 else white
    eight, opacity = to_eight(white), to_eight(opaque)

    def strip(top: int, bottom: int) -> Image.Image:
        part = samples[top:bottom]
        shown = np.concatenate([eight(part[..., :colours]), opacity(part[..., colours:])], axis=-1)
        return to_rgb(Image.frombytes(mode, (width, bottom - top), shown.tobytes()), profile)

    return shrunk((width, height), strip, orientation)


def _reduced(size: Size, strip: Callable[[int, int], Image.Image], factor: Size) -> Image.Image:
    """The picture with blocks of ``factor`` (across, down) pixels averaged into one."""
    (width, height), (across, down) = size, factor
    rows = max(1, _PIXELS_AT_ONCE // width // down) * down
    if rows >= height:
        return strip(0, height).reduce(factor)
    reduced = Image.new("RGB", (ceil(width / across), ceil(height / down)))
    for top in range(0, height, rows):
        part = strip(top, min(top + rows, height))
        reduced.paste(part.reduce(factor), (0, top // down))
    return reduced


def _fitting(size: Size) -> Size:
    """The size with the same proportions whose longer side fits, as `Image.thumbnail` rounds it."""
    width, height = size
    if max(size) <= LONGEST_SIDE:
        return size
    aspect = width / height
    if aspect <= 1:
        narrow = LONGEST_SIDE * aspect
        return _nearer(narrow, lambda side: abs(aspect - side / LONGEST_SIDE)), LONGEST_SIDE
    low = LONGEST_SIDE / aspect
    return LONGEST_SIDE, _nearer(
        low, lambda side: 0 if side == 0 else abs(aspect - LONGEST_SIDE / side)
    )


def _nearer(side: float, error: Callable[[int], float]) -> int:
    return max(min(floor(side), ceil(side), key=error), 1)
