"""Labelled samples → arrays that a network learns from or is judged by."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ml.dataset import DataError, Sample
from ml.images import InputShape, Pixels, UnreadableImage
from ml.locate import Location
from ml.reading import Preprocessing, Reading, read

# Called with the stage, the share of it that is done (0 to 1) and a note to show.
Report = Callable[[str, float, str], None]


@dataclass(frozen=True)
class Labelled:
    """Samples as the network sees them: images, uint8 (N, height, width, 3), class numbers, int64
    (N,), and where the cells were found."""

    samples: tuple[Sample, ...]
    images: Pixels
    truth: NDArray[np.int64]
    locations: tuple[Location, ...] = ()


def load(
    samples: Sequence[Sample],
    classes: Sequence[str],
    shape: InputShape,
    steps: Preprocessing,
    report: Report,
) -> Labelled:
    """Read every sample as serving does; a class's number is its place in `classes`.

    Raises:
        DataError: if an image can't be read; it names the file.
    """
    images = np.empty((len(samples), shape.height, shape.width, 3), np.uint8)
    locations = []
    with ThreadPoolExecutor() as pool:
        readings = pool.map(lambda sample: _read(sample, shape, steps), samples)
        for place, reading in enumerate(readings):
            images[place] = reading.pixels
            locations.append(reading.location)
            report("reading", (place + 1) / len(samples), f"{len(samples)} images")
    truth = np.array([classes.index(sample.label) for sample in samples], np.int64)
    return Labelled(tuple(samples), images, truth, tuple(locations))


def _read(sample: Sample, shape: InputShape, steps: Preprocessing) -> Reading:
    try:
        return read(sample.path.read_bytes(), shape, steps)
    except (UnreadableImage, OSError) as error:
        raise DataError(f"{sample.path} can't be learned from or judged by: {error}") from error
