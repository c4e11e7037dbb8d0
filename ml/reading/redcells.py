"""Measures the red cells of an image: they are the ruler on every blood smear.

White blood cells differ in size, but how large they appear in a crop depends on microscope and
camera. Red cells measure about 7.5 µm in every laboratory, so lengths in red-cell diameters can be
compared.
"""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from lexicon.verdicts import Box
from ml.reading.stain import Mask, Slide

# Densities of green above this one are a nucleus', and count no more than this in the threshold.
_DENSEST = 1.2
# A pixel of a red cell takes in at least this density of green.
_LEAST = 0.06
# The pale middle of a red cell is no larger than this share of the image.
_PALLOR = 0.012
# How much wider than its box the cell is cut out, so that its cytoplasm is no red cell.
_CUT = 1.05
# Red cells have at least this radius, in pixels of a slide, and their middles lie this much of it
# apart.
_SMALLEST, _APART = 3.0, 0.8
# A threshold between background and cells is drawn from at least so many pixels.
_FEWEST_PIXELS = 200
_SPECK = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (3, 3))
_NEAR = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (9, 9))

Plane = NDArray[np.float32]


def diameter(slide: Slide, cell: Box) -> float | None:
    """The diameter of the red cells round `cell`, as a share of the image's longer side.

    It is twice the typical depth of the patches that are stained but are not the cell: how far
    their innermost pixels are from their edge, which for a round cell is its radius, even where
    neighbours touch or the image's edge cuts it. Against drawn boxes (`benchmarks.locate`) it is
    some 4 to 14 % too small; pale rings that the threshold breaks open make it smaller still.

    Returns:
        None where no whole red cell is seen.
    """
    free = _without(slide.lit.shape, cell)
    stained = _stained(slide, free)
    if stained is None:
        return None
    cells = cv2.bitwise_and(stained, free)
    depth = np.asarray(cv2.distanceTransform(cells, cv2.DIST_L2, 5), np.float32)
    # A red cell cut by the hole of the white cell has lost its middle.
    beside = cv2.distanceTransform(free, cv2.DIST_L2, 5) > depth + 1
    radii = _radii(depth, beside)
    return 2 * _typical(radii) / max(slide.lit.shape) if radii else None


def _without(shape: tuple[int, ...], cell: Box) -> Mask:
    """uint8 (height, width): 0 on the cell, 1 elsewhere."""
    height, width = shape
    free = np.ones((height, width), np.uint8)
    middle = ((cell.left + cell.right) / 2 * width, (cell.top + cell.bottom) / 2 * height)
    sides = ((cell.right - cell.left) * width, (cell.bottom - cell.top) * height)
    axes = tuple(max(4.0, side * _CUT) for side in sides)
    cv2.ellipse(free, (middle, axes, 0.0), 0, -1)
    return free


def _stained(slide: Slide, free: Mask) -> Mask | None:
    """uint8 (height, width): 1 on red cells and all else that is stained, pale middles filled."""
    density = cv2.GaussianBlur(slide.green, (3, 3), 0.8)
    looked = density[cv2.bitwise_and(slide.lit, free).view(np.bool_)]
    if len(looked) < _FEWEST_PIXELS:
        return None
    levels = np.clip(looked * (255 / _DENSEST), 0, 255).astype(np.uint8)
    threshold = cv2.threshold(levels, 0, 255, cv2.THRESH_OTSU)[0] * _DENSEST / 255
    dense = (density > max(threshold, _LEAST)).view(np.uint8)
    mask = np.asarray(cv2.bitwise_and(dense, slide.lit), np.uint8)
    filled = cv2.bitwise_or(mask, _holes(mask, slide.lit))
    return np.asarray(cv2.morphologyEx(filled, cv2.MORPH_OPEN, _SPECK), np.uint8)


def _holes(mask: Mask, lit: Mask) -> Mask:
    """uint8 (height, width): 1 in the small holes of `mask`."""
    height, width = mask.shape
    empty = cv2.bitwise_and((mask == 0).view(np.uint8), lit)
    _, numbers, boxes, _ = cv2.connectedComponentsWithStats(empty, connectivity=4, ltype=cv2.CV_16U)
    left, top, across, down, area = boxes.T
    inside = (left > 0) & (top > 0) & (left + across < width) & (top + down < height)
    small = inside & (area < _PALLOR * mask.size)
    small[0] = False
    labels = np.asarray(numbers, np.uint16)
    return np.asarray(np.take(small.view(np.uint8), labels), np.uint8)


def _radii(depth: Plane, allowed: NDArray[np.bool_]) -> list[float]:
    """The depths of the innermost pixels, the deepest first, one for each cell."""
    innermost = (depth >= cv2.dilate(depth, _NEAR) - 1e-4) & (depth > _SMALLEST) & allowed
    indices = np.flatnonzero(innermost)
    depths = depth.ravel()[indices]
    order = np.argsort(-depths, kind="stable")
    rows, columns = np.divmod(indices[order], depth.shape[1])
    middles: list[tuple[int, int]] = []
    radii: list[float] = []
    for row, column, radius in zip(
        rows.tolist(), columns.tolist(), depths[order].tolist(), strict=True
    ):
        apart = (_APART * radius) ** 2
        if all((row - y) ** 2 + (column - x) ** 2 > apart for y, x in middles):
            middles.append((row, column))
            radii.append(radius)
    return radii


def _typical(radii: list[float]) -> float:
    """Their median by area: small patches are debris, or what the edge has left of cells."""
    areas = np.cumsum(np.square(radii))
    return radii[int(np.searchsorted(areas, areas[-1] / 2))]
