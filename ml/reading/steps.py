"""The bytes of a file → what a network sees of it: the one way in, for training and serving."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from PIL import Image

from lexicon.formats import MOST_PIXELS
from lexicon.verdicts import Box
from ml.decoding import DECODER_VERSION, InputShape, Pixels, decode
from ml.reading.cropping import crop
from ml.reading.locate import LOCATOR_VERSION, Location, Sight, locate
from ml.reading.redcells import diameter
from ml.reading.stain import Slide

# A network that takes whole images in is never told where the cell is.
UNLOOKED = Location(Sight.ONE, None)
# However large the red cells seem, the crop's side is from this to that multiple of the margin.
_CLOSEST, _FARTHEST = 0.85, 2.3
# The last locator that took clusters for cells: bundles taught with it go on as they were.
_BEFORE_CLUSTERS = 2
_LOCATORS = (0, _BEFORE_CLUSTERS, LOCATOR_VERSION)
# A cell wider than so many red cells, some 38 µm, is none: a cluster was taken for one nucleus, and
# fills little of its box and much of the image. Two of three are not enough, for pale red cells
# are measured too small.
_WIDEST, _SPARSE, _LARGE = 5.0, 0.42, 0.45


@dataclass(frozen=True)
class Reading:
    """What a network sees of a file, uint8 (height, width, 3), and where the cell was found."""

    pixels: Pixels
    location: Location


@dataclass(frozen=True)
class Preprocessing:
    """How a file becomes the network's input; `locator` 0 stretches the whole image.

    `span` is the side of the crop in diameters of the red cells round the cell, so that a cell's
    size can be seen in it, and a cluster of cells is not taken for one; where none are seen, or
    the span is 0, the side is `margin` times the cell's longer side. An image with no class as
    probable as `doubt` is looked at from more sides (see `ml.serving.looking`).
    """

    decoder: int = DECODER_VERSION
    locator: int = 0
    margin: float = 1.0
    doubt: float = 0.0
    span: float = 0.0

    @classmethod
    def located(cls, margin: float, doubt: float = 0.0, span: float = 0.0) -> Preprocessing:
        """Find the cell, and crop round it."""
        return cls(DECODER_VERSION, LOCATOR_VERSION, margin, doubt, span)

    @classmethod
    def of(cls, document: Mapping[str, Any]) -> Preprocessing:
        """Read it from a bundle's metadata.

        Raises:
            ValueError: if it is of a version that this program does not have, or is not understood.
        """
        try:
            steps = cls(**document)
        except TypeError as error:
            raise ValueError(f"its preprocessing is not understood: {error}") from error
        if steps.decoder != DECODER_VERSION or steps.locator not in _LOCATORS:
            raise ValueError("its images are read in a way that this program no longer has")
        return steps

    def widened(self, share: float) -> Preprocessing:
        """The same with a crop whose side is `share` times as long."""
        return replace(self, margin=self.margin * share, span=self.span * share)


def read(
    data: bytes, shape: InputShape, steps: Preprocessing, max_pixels: int = MOST_PIXELS
) -> Reading:
    """Decode a file and bring it into the network's shape.

    Raises:
        UnreadableImage: see `ml.decoding.decode`.
    """
    return see(decode(data, max_pixels), shape, steps)


def see(image: Pixels, shape: InputShape, steps: Preprocessing) -> Reading:
    """Bring what `ml.decoding.decode` gave, uint8 (height, width, 3), into the network's shape."""
    if not steps.locator:
        return Reading(_stretched(image, shape), UNLOOKED)
    slide = Slide.of(image)
    location, margin = _measured(slide, locate(slide), steps)
    return Reading(crop(image, slide.light, location.box, shape.height, margin), location)


def _measured(slide: Slide, location: Location, steps: Preprocessing) -> tuple[Location, float]:
    """Lay the ruler beside the cell: is it one, and how many of its sides does the crop take?"""
    red = diameter(slide, location.box) if steps.span and location.box else None
    if red is None or location.box is None:
        return location, steps.margin
    longer = _longer_side(slide, location.box)
    margin = min(max(steps.span * red / longer, _CLOSEST * steps.margin), _FARTHEST * steps.margin)
    clustered = longer > max(_WIDEST * red, _LARGE) and location.extent < _SPARSE
    if steps.locator > _BEFORE_CLUSTERS and clustered:
        location = replace(location, sight=Sight.SEVERAL)
    return location, margin


def _longer_side(slide: Slide, box: Box) -> float:
    """The cell's longer side as a share of the image's."""
    height, width = slide.lit.shape
    across, down = (box.right - box.left) * width, (box.bottom - box.top) * height
    return float(max(across, down) / max(height, width))


def _stretched(image: Pixels, shape: InputShape) -> Pixels:
    size = (shape.width, shape.height)
    resized = Image.fromarray(image).resize(size, Image.Resampling.BILINEAR)
    return np.array(resized, dtype=np.uint8)
