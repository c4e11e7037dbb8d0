"""The bare loop: what these cores give if nothing is stored, queued or shown.

One process, as many threads as there are cores, ONNX Runtime on one core in each. Of the layouts
tried on two cores (one thread that runs the network on all cores with others decoding ahead, in
batches of 8, 16 and 32; threads that each read and run a batch of their own) this was the fastest
by a fifth, so that the platform is held against the best of them.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TypeVar

import cv2
import numpy as np

from ml.bundle import Bundle
from ml.decoding import Pixels
from ml.reading import read
from ml.serving import Classifier, load_classifier
from ml.serving.looking import outputs_of
from worker.main import available_cores
from worker.pipeline import BATCH


class BareLoop:
    """A bundle's network on all cores of this process."""

    def __init__(self, bundle: Bundle) -> None:
        cv2.setNumThreads(1)
        self.classifier: Classifier = load_classifier(bundle, threads=1, device="cpu")
        self._bundle = bundle

    def files(self, paths: Sequence[Path]) -> float:
        """Images/s of reading, decoding, locating and classifying."""
        return _timed(_parts(paths), lambda part: outputs_of(self.classifier, self.pixels(part)))

    def decoded(self, images: Pixels) -> float:
        """Images/s of the network alone, uint8 (N, height, width, 3) looked at once: the roof."""
        return _timed(_parts(images), self.classifier.classify)

    def pixels(self, paths: Sequence[Path]) -> Pixels:
        """What the network sees of some files, uint8 (N, height, width, 3)."""
        return pixels_of(paths, self._bundle)


def pixels_of(paths: Sequence[Path], bundle: Bundle) -> Pixels:
    """What a bundle's network sees of some files, uint8 (N, height, width, 3)."""
    shape, steps = bundle.metadata.shape, bundle.metadata.preprocessing
    return np.stack([read(path.read_bytes(), shape, steps).pixels for path in paths])


Part = TypeVar("Part", Sequence[Path], Pixels)


def _parts(items: Part) -> list[Part]:
    return [items[start : start + BATCH] for start in range(0, len(items), BATCH)]


def _timed(parts: Sequence[Part], work: Callable[[Part], object]) -> float:
    """Items/s of working through the parts on all cores."""
    started = time.perf_counter()
    with ThreadPoolExecutor(available_cores()) as pool:
        for _ in pool.map(work, parts):
            pass
    return sum(len(part) for part in parts) / (time.perf_counter() - started)
