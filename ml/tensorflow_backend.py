"""The classifier for GPU workers: the bundle's Keras weights under TensorFlow."""

from __future__ import annotations

import numpy as np
import tensorflow as tf

from ml.bundle import Bundle
from ml.images import Pixels
from ml.inference import Probabilities, check_batch
from ml.model import build_folded


class TensorFlowClassifier:
    """A bundle's Keras network; see `ml.inference.Classifier`."""

    backend = "tensorflow"

    def __init__(self, bundle: Bundle, device: str) -> None:
        _grow_memory()
        metadata = bundle.metadata
        shape = (metadata.shape.height, metadata.shape.width, 3)
        network = build_folded(metadata.architecture, metadata.shape, len(metadata.classes))
        network.load_weights(bundle.weights)
        self.bundle = bundle
        self.device = device
        # One signature for every batch size, so that the last, smaller batch traces nothing anew.
        signature = [tf.TensorSpec((None, *shape), tf.uint8)]
        self._run = tf.function(
            lambda batch: network(tf.cast(batch, tf.float32), training=False),
            input_signature=signature,
        )

    def classify(self, batch: Pixels) -> Probabilities:
        """uint8 (N, height, width, 3) → float32 (N, classes)."""
        check_batch(self.bundle, batch)
        return np.asarray(self._run(tf.constant(batch)).numpy(), dtype=np.float32)


def _grow_memory() -> None:
    """Let TensorFlow take GPU memory as it needs it, so that two processes can share a GPU."""
    for gpu in tf.config.list_physical_devices("GPU"):
        try:
            tf.config.experimental.set_memory_growth(gpu, True)
        except RuntimeError:
            # The GPU was set up earlier in this process, and its memory can't be changed now.
            continue
