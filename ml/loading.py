"""Labelled samples → arrays that a network learns from or is judged by."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ml.dataset import DataError, Sample
from ml.images import InputShape, Pixels, UnreadableImage, decode

# Called with the stage, the share of it that is done (0 to 1) and a note to show.
Report = Callable[[str, float, str], None]


@dataclass(frozen=True)
class Labelled:
    """Decoded samples: their images, uint8 (N, height, width, 3), and class numbers, int64 (N,)."""

    samples: tuple[Sample, ...]
    images: Pixels
    truth: NDArray[np.int64]


def load(
    samples: Sequence[Sample], classes: Sequence[str], shape: InputShape, report: Report
) -> Labelled:
    """Decode every sample as serving does; a class's number is its place in `classes`.

    Raises:
        DataError: if an image can't be read; it names the file.
    """
    images = np.empty((len(samples), shape.height, shape.width, 3), np.uint8)
    with ThreadPoolExecutor() as pool:
        decoded = pool.map(lambda sample: _decode(sample, shape), samples)
        for place, image in enumerate(decoded):
            images[place] = image
            report("reading", (place + 1) / len(samples), f"{len(samples)} images")
    truth = np.array([classes.index(sample.label) for sample in samples], np.int64)
    return Labelled(tuple(samples), images, truth)


def _decode(sample: Sample, shape: InputShape) -> Pixels:
    try:
        return decode(sample.path.read_bytes(), shape)
    except (UnreadableImage, OSError) as error:
        raise DataError(f"{sample.path} can't be learned from or judged by: {error}") from error
