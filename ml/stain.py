"""The light of a slide: where an image shows any, and the colour of its empty background."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from ml.images import Pixels

# A pixel is unlit (the black rim that a rotation leaves) if no channel is brighter than this.
_BLACK = 28
# The background is as bright as this share of the lit pixels are at most.
_BACKGROUND = 0.9
_RIM = cv2.getStructuringElement(cv2.MORPH_RECT, (3, 3))

Mask = NDArray[np.uint8]
Color = NDArray[np.float32]


def lit(image: Pixels) -> Mask:
    """uint8 (height, width): 1 where `image` shows the slide, 0 on and beside black rims."""
    red, green, blue = cv2.split(image)
    brightest = np.asarray(cv2.max(cv2.max(red, green), blue))
    black = (brightest <= _BLACK).view(np.uint8)
    return np.asarray(cv2.dilate(black, _RIM) == 0).view(np.uint8)


def background(image: Pixels, where: Mask) -> Color:
    """float32 (3,), 0 to 255: the colour of the light that reaches the camera past the cells."""
    found = np.empty(3, np.float32)
    for channel in range(3):
        counts = cv2.calcHist([image], [channel], where, [256], [0, 256]).ravel().cumsum()
        found[channel] = np.searchsorted(counts, _BACKGROUND * counts[-1])
    return np.maximum(found, 1.0)


def shrunk(image: Pixels, side: int) -> Pixels:
    """`image` with its longer side brought down to `side` pixels; a smaller one is left alone."""
    height, width = image.shape[:2]
    factor = max(height, width) / side
    if factor <= 1:
        return image
    whole = int(factor)
    if whole > 1:
        # Averaging whole blocks is many times faster than OpenCV's fractional areas.
        image = np.asarray(image[: height // whole * whole, : width // whole * whole])
        size = (width // whole, height // whole)
        image = np.asarray(cv2.resize(image, size, interpolation=cv2.INTER_AREA), np.uint8)
    size = (max(1, round(width / factor)), max(1, round(height / factor)))
    return np.asarray(cv2.resize(image, size, interpolation=cv2.INTER_LINEAR), np.uint8)
