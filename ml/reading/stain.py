"""The light of a slide: where an image shows any, the colour of its empty background, and whether
the colours on it are those of a blood smear.

Light that passes a stained cell is short of green: eosin and haemoglobin take in green and blue,
the azures green and red, and nothing on the slide takes in blue alone.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import cv2
import numpy as np
from numpy.typing import NDArray

from ml.decoding import Pixels

# Light is measured on a copy whose longer side is this many pixels.
SIDE = 144
# A pixel is unlit (the black rim that a rotation leaves) if no channel is brighter than this.
_BLACK = 28
# The background is as bright as this share of the lit pixels are at most.
_BACKGROUND = 0.9
# A pixel is of no stained smear if it is denser in blue than in green by this much. On cells of
# five sets up to 1.1 % of an image's pixels are; on photographs of other things 15 % or more.
_EXCESS, _MOST_FOREIGN = 0.15, 0.05
# Lifted by this, the densities of the darkest levels, which are mostly noise, stay low.
_LIFT = 8.0
_DENSITIES = -np.log((np.arange(256, dtype=np.float32) + _LIFT) / (255 + _LIFT))
_RIM = cv2.getStructuringElement(cv2.MORPH_RECT, (3, 3))

Mask = NDArray[np.uint8]
Color = NDArray[np.float32]
Density = NDArray[np.float32]


@dataclass(frozen=True)
class Slide:
    """A small copy of an image, uint8 (height, width, 3), where it is lit, uint8 (height, width),
    and the colour of its background, float32 (3,)."""

    image: Pixels
    lit: Mask
    light: Color

    @classmethod
    def of(cls, image: Pixels) -> Slide:
        """The slide that `image`, uint8 (height, width, 3), shows."""
        small = shrunk(image, SIDE)
        where = lit(small)
        return cls(small, where, background(small, where))

    @cached_property
    def green(self) -> Density:
        """float32 (height, width): how much green light the slide takes in, as a natural logarithm;
        0 on the background, and on what is brighter."""
        return self._taken_in(1)

    @property
    def foreign(self) -> bool:
        """Whether its colours are unlike those of a stained blood smear."""
        yellow = self._taken_in(2) > self.green + _EXCESS
        coloured = cv2.countNonZero(cv2.bitwise_and(yellow.view(np.uint8), self.lit))
        return coloured > _MOST_FOREIGN * max(1, cv2.countNonZero(self.lit))

    def _taken_in(self, channel: int) -> Density:
        table = _DENSITIES - _DENSITIES[int(self.light[channel])]
        plane = cv2.extractChannel(self.image, channel)
        return np.asarray(cv2.LUT(plane, np.maximum(table, 0)), np.float32)


def lit(image: Pixels) -> Mask:
    """uint8 (height, width): 1 where `image` shows the slide, 0 on and beside black rims."""
    black = cv2.inRange(image, (0, 0, 0), (_BLACK, _BLACK, _BLACK))
    return np.asarray(cv2.dilate(black, _RIM) == 0).view(np.uint8)


def background(image: Pixels, where: Mask) -> Color:
    """float32 (3,), 0 to 255: the colour of the light that reaches the camera past the cells."""
    light = np.empty(3, np.float32)
    for channel in range(3):
        counts = cv2.calcHist([image], [channel], where, [256], [0, 256]).ravel().cumsum()
        light[channel] = np.searchsorted(counts, _BACKGROUND * counts[-1])
    return np.maximum(light, 1.0)


def shrunk(image: Pixels, side: int) -> Pixels:
    """`image` with its longer side brought down to `side` pixels; a smaller one is left alone."""
    height, width = image.shape[:2]
    factor = max(height, width) / side
    if factor <= 1:
        return image
    # A strip that is thinner than such a block has no block to average.
    whole = min(int(factor), height, width)
    if whole > 1:
        # Averaging whole blocks is many times faster than OpenCV's fractional areas.
        image = np.asarray(image[: height // whole * whole, : width // whole * whole])
        size = (width // whole, height // whole)
        image = np.asarray(cv2.resize(image, size, interpolation=cv2.INTER_AREA), np.uint8)
    size = (max(1, round(width / factor)), max(1, round(height / factor)))
    return np.asarray(cv2.resize(image, size, interpolation=cv2.INTER_LINEAR), np.uint8)
