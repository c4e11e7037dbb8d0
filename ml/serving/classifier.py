"""What every backend is: the network of a bundle, ready to classify."""

from __future__ import annotations

from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from ml.answers import Outputs
from ml.bundle import Bundle
from ml.decoding import Pixels
from ml.trust import Trust


class Classifier(Protocol):
    """A bundle made ready to classify; every backend passes the same contract tests."""

    @property
    def bundle(self) -> Bundle:
        """The bundle whose network this runs."""

    @property
    def backend(self) -> str:
        """What computes: onnxruntime, onnxruntime int8 (in 8 bits) or tensorflow."""

    @property
    def device(self) -> str:
        """Where it computes: cpu or gpu."""

    @property
    def trust(self) -> Trust:
        """What turns the network's outputs into predictions."""

    def classify(self, batch: Pixels) -> Outputs:
        """uint8 (N, height, width, 3) in the bundle's shape → logits and features of N images.

        Raises:
            ValueError: if the batch is of another shape or dtype.
        """

    def activations(self, batch: Pixels) -> NDArray[np.float32]:
        """uint8 (N, height, width, 3) → the last feature map, float32 (N, channels, h, w)."""


def check_batch(bundle: Bundle, batch: Pixels) -> None:
    """Refuse a batch that the bundle's network was not made for.

    Raises:
        ValueError: if `batch` is not uint8 (N, height, width, 3) in the bundle's shape.
    """
    shape = bundle.metadata.shape
    expected = (shape.height, shape.width, 3)
    if batch.dtype != np.uint8 or batch.ndim != 4 or batch.shape[1:] != expected:
        message = f"The network takes uint8 (N, {shape.height}, {shape.width}, 3), "
        raise ValueError(message + f"not {batch.dtype} {batch.shape}.")
