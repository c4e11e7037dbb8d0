"""An image, its light and the place of its cell → the square that a network sees."""

from __future__ import annotations

import cv2
import numpy as np

from lexicon.verdicts import Box
from ml.decoding import Pixels
from ml.reading.stain import Color, lit

# The background's colour is measured on a copy of about this many pixels a side.
_SIDE = 144
# What the background is brought to, in every channel.
_WHITE = 240.0
_LEVELS = np.arange(256, dtype=np.float32)[:, np.newaxis]


def crop(image: Pixels, light: Color, box: Box | None, side: int, margin: float) -> Pixels:
    """A balanced square round the cell, with what lies outside the image filled as background.

    Args:
        image: uint8 (height, width, 3): red, green, blue.
        light: the colour of its background, float32 (3,).
        box: where the cell is; without one, the largest square in the middle is taken.
        side: of the square, in pixels.
        margin: the square's side as a multiple of the box's longer side.

    Returns:
        uint8 (side, side, 3), the background at 240 in every channel.
    """
    piece = _square(image, box, margin, light)
    shrinking = len(piece) > side
    method = cv2.INTER_AREA if shrinking else cv2.INTER_LINEAR
    square = np.asarray(cv2.resize(piece, (side, side), interpolation=method), np.uint8)
    return balanced(square, light)


def balanced(image: Pixels, light: Color) -> Pixels:
    """`image` with each channel scaled so that `light`, the background, is a neutral near-white."""
    table = np.minimum(_LEVELS * (_WHITE / light) + 0.5, 255).astype(np.uint8)
    return np.asarray(cv2.LUT(image, table.reshape(1, 256, 3)), np.uint8)


def _square(image: Pixels, box: Box | None, margin: float, light: Color) -> Pixels:
    """The pixels of the square, filled with `light` where the image has none or is black."""
    left, top, length = _place(image.shape[:2], box, margin)
    height, width = image.shape[:2]
    right, bottom = left + length, top + length
    inside = image[max(top, 0) : min(bottom, height), max(left, 0) : min(right, width)]
    above, below = max(-top, 0), max(bottom - height, 0)
    before, after = max(-left, 0), max(right - width, 0)
    filling = light.tolist()
    where = lit(inside)
    if cv2.countNonZero(where) < where.size:
        inside = inside.copy()
        inside[where == 0] = filling
    border = cv2.BORDER_CONSTANT
    piece = cv2.copyMakeBorder(inside, above, below, before, after, border, value=filling)
    return np.asarray(piece, np.uint8)


def _place(shape: tuple[int, ...], box: Box | None, margin: float) -> tuple[int, int, int]:
    """Left, top and length of the square, in pixels; it may lie partly outside."""
    height, width = shape
    if box is None:
        length = min(height, width)
        return (width - length) // 2, (height - length) // 2, length
    across, down = (box.right - box.left) * width, (box.bottom - box.top) * height
    length = max(8, round(max(across, down) * margin))
    x, y = (box.left + box.right) / 2 * width, (box.top + box.bottom) / 2 * height
    return round(x - length / 2), round(y - length / 2), length
