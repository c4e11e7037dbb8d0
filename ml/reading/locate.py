"""Finds the cell in an image: its place, or that there are no cells or several.

Optical density tells a nucleus from all else on a stained smear: it takes in red and green light
and lets blue through, where a red cell takes in green and blue. The density is measured against
the background, so that no white balance need go before. Two thresholds part background, red cells
and nuclei (N. Otsu, IEEE Trans. SMC 9, 1979). The nucleus that stands out most is taken, with the
lobes that belong to it, and the box of its cell is drawn from it.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

import cv2
import numpy as np
from numpy.typing import NDArray

from lexicon.verdicts import Box
from ml.reading.nuclei import Nucleus, joined, patches
from ml.reading.stain import Mask, Slide

LOCATOR_VERSION = 3

# How much of the density of red, green and blue counts.
_WEIGHTS = np.array([1.0, 1.0, -0.5], np.float32)
_DENSITIES = -np.log((np.arange(256, dtype=np.float32) + 1) / 256)
_DENSEST, _BINS = 3.2, 64
_LEVELS, _DISORDERED = np.arange(_BINS), np.tri(_BINS, dtype=bool)
# A nucleus is at least this dense, and a pixel of it at least this share of the density that the
# last one's part of its pixels stays below.
_LEAST, _SHARE, _PART = 0.45, 0.64, 0.7
# No cell fills more than this share of an image.
_LARGEST = 0.5
# A cell's side as a multiple of its nucleus' (the median over the boxes of bccd4).
_CELL = 1.37
# Another nucleus that stands out by this share of the first one makes several cells; so do two that
# are this large and dense beside it, wherever they lie, or others that are larger all together.
_RIVAL = 0.55
_ALIKE_AREA, _ALIKE_DENSITY, _CROWD = 0.4, 0.75, 1.5
_SPECK = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (3, 3))

Plane = NDArray[np.float32]


class Sight(StrEnum):
    """How many cells were seen in an image, or that it shows no stained smear at all."""

    FOREIGN = "foreign"
    ONE = "one"
    NONE = "none"
    SEVERAL = "several"


@dataclass(frozen=True)
class Location:
    """What was seen, and the box of the cell; of several cells, that of the most prominent one.

    `extent` is the share of the nucleus' own box that is nucleus.
    """

    sight: Sight
    box: Box | None
    extent: float = 1.0


NOWHERE = Location(Sight.NONE, None)


def locate(slide: Slide) -> Location:
    """Find the cell on `slide`."""
    if slide.foreign:
        return Location(Sight.FOREIGN, None)
    nuclei = find_nuclei(slide)
    if not nuclei:
        return NOWHERE
    sight = Sight.SEVERAL if _crowded(nuclei) else Sight.ONE
    return Location(sight, _cell_box(nuclei[0]), nuclei[0].extent)


def find_nuclei(slide: Slide) -> list[Nucleus]:
    """Every nucleus seen, the most prominent first; none if it would fill the image."""
    if cv2.countNonZero(slide.lit) < slide.lit.size // 20:
        return []
    density = _density(slide)
    threshold = max(_upper_threshold(density, slide.lit), _LEAST)
    rough = patches(_above(density, threshold), density)
    if not rough:
        return []
    # Red cells that lie close are let in by the first threshold, not by one that is set by the
    # nucleus itself.
    threshold = max(threshold, _SHARE * quantile(rough[0].pixels(density), _PART))
    nuclei = joined(patches(_above(density, threshold), density))
    return [] if nuclei and nuclei[0].area > _LARGEST * slide.lit.size else nuclei


def _crowded(nuclei: list[Nucleus]) -> bool:
    first, others = nuclei[0], nuclei[1:]
    if any(other.prominence > _RIVAL * first.prominence for other in others):
        return True
    alike = [
        other
        for other in others
        if other.area > _ALIKE_AREA * first.area and other.density > _ALIKE_DENSITY * first.density
    ]
    return len(alike) > 1 or sum(other.area for other in others) > _CROWD * first.area


def _density(slide: Slide) -> Plane:
    """float32 (height, width), 0 to `_DENSEST`: how much of a nucleus' light each pixel takes."""
    against = _DENSITIES[slide.light.astype(np.int64)]
    table = (_DENSITIES[:, np.newaxis] - against) * _WEIGHTS
    channels = cv2.LUT(slide.image, table.reshape(1, 256, 3))
    density = cv2.transform(channels, np.ones((1, 3), np.float32))
    smooth = cv2.GaussianBlur(density, (5, 5), 0.9)
    return np.asarray(np.clip(smooth, 0, _DENSEST) * slide.lit, np.float32)


def _upper_threshold(density: Plane, slide: Mask) -> float:
    """The upper one of the two densities that part the pixels into three classes best."""
    counts = cv2.calcHist([density], [0], slide, [_BINS], [0, _DENSEST]).ravel().astype(np.float64)
    share = counts / counts.sum()
    weight, moment = share.cumsum(), (share * _LEVELS).cumsum()
    between = (
        _spread(weight, moment)[:, np.newaxis]
        + _spread(
            weight[np.newaxis] - weight[:, np.newaxis], moment[np.newaxis] - moment[:, np.newaxis]
        )
        + _spread(1 - weight, moment[-1] - moment)[np.newaxis]
    )
    between[_DISORDERED] = -1
    upper = int(between.argmax()) % _BINS
    return (upper + 1) * _DENSEST / _BINS


def quantile(values: NDArray[np.float32], share: float) -> float:
    """What `numpy.quantile` gives of one row, at least one value, for one share; the generality of
    that takes several times as long as the sorting."""
    rank = share * (len(values) - 1)
    lower = int(rank)
    upper = min(lower + 1, len(values) - 1)
    low, high = np.partition(values, (lower, upper))[[lower, upper]].tolist()
    return float(low + (high - low) * (rank - lower))


def _spread(weight: NDArray[np.float64], moment: NDArray[np.float64]) -> NDArray[np.float64]:
    """A class's part of the variance between classes, but for the mean of all."""
    return moment**2 / (np.abs(weight) + 1e-9)


def _above(density: Plane, threshold: float) -> Mask:
    """Where it is dense, without specks."""
    mask = (density > threshold).view(np.uint8)
    return np.asarray(cv2.morphologyEx(mask, cv2.MORPH_OPEN, _SPECK), np.uint8)


def _cell_box(nucleus: Nucleus) -> Box:
    """The box of the cell round its nucleus, inside the image."""
    height, width = nucleus.labels.shape
    x, y = (nucleus.left + nucleus.right) / 2, (nucleus.top + nucleus.bottom) / 2
    across = (nucleus.right - nucleus.left) * _CELL / 2
    down = (nucleus.bottom - nucleus.top) * _CELL / 2
    # A thin nucleus lies in a rounder cell.
    across, down = max(across, 0.75 * down), max(down, 0.75 * across)
    return Box(
        max(0.0, (x - across) / width),
        max(0.0, (y - down) / height),
        min(1.0, (x + across) / width),
        min(1.0, (y + down) / height),
    )
