"""Labelled samples → arrays that a network learns from or is judged by."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ml.data.dataset import DataError, Sample
from ml.decoding import InputShape, Pixels, UnreadableImage
from ml.reading import Location, Preprocessing, Reading, Sight, read

# Called with the stage, the share of it that is done (0 to 1), and a note to show.
Report = Callable[[str, float, str], None]


@dataclass(frozen=True)
class Labelled:
    """Samples as the network sees them: images, uint8 (N, height, width, 3), class numbers, int64
    (N,), and where the cells were found."""

    samples: tuple[Sample, ...]
    images: Pixels
    truth: NDArray[np.int64]
    locations: tuple[Location, ...] = ()

    def at(self, rows: NDArray[np.int64]) -> Labelled:
        """Those of them alone."""
        return Labelled(
            tuple(self.samples[row] for row in rows),
            self.images[rows],
            self.truth[rows],
            tuple(self.locations[row] for row in rows) if self.locations else (),
        )

    @property
    def one_cell(self) -> NDArray[np.int64]:
        """int64: the rows of the images in which just one cell was found."""
        seen = [location.sight == Sight.ONE for location in self.locations]
        return np.flatnonzero(np.array(seen, bool))


def joined(parts: Sequence[Labelled]) -> Labelled:
    """All of them, one after another, at least one part and images of one size; where their cells
    were found is left out."""
    return Labelled(
        tuple(sample for part in parts for sample in part.samples),
        np.concatenate([part.images for part in parts]),
        np.concatenate([part.truth for part in parts]),
    )


def load(
    samples: Sequence[Sample],
    classes: Sequence[str],
    shape: InputShape,
    steps: Preprocessing,
    report: Report,
) -> Labelled:
    """Read every sample as serving does; a class's number is its index in `classes`, and -1 is
    that of a sample without a label.

    Raises:
        DataError: if an image can't be read; it names the file.
    """
    images = np.empty((len(samples), shape.height, shape.width, 3), np.uint8)
    locations = []
    with ThreadPoolExecutor() as pool:
        readings = pool.map(lambda sample: _read(sample, shape, steps), samples)
        for index, reading in enumerate(readings):
            images[index] = reading.pixels
            locations.append(reading.location)
            report("reading", (index + 1) / len(samples), f"{len(samples)} images")
    truth = np.array([classes.index(s.label) if s.label else -1 for s in samples], np.int64)
    return Labelled(tuple(samples), images, truth, tuple(locations))


def _read(sample: Sample, shape: InputShape, steps: Preprocessing) -> Reading:
    try:
        return read(sample.path.read_bytes(), shape, steps)
    except (UnreadableImage, OSError) as error:
        raise DataError(f"{sample.path} can't be used: {error}") from error
