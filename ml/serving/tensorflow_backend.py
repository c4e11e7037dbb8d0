"""The classifier for GPU workers: the bundle's Keras weights under TensorFlow."""

from __future__ import annotations

import numpy as np
import tensorflow as tf
from numpy.typing import NDArray

from ml.answers import Outputs
from ml.bundle import Bundle
from ml.decoding import Pixels
from ml.network.model import build_folded, parts
from ml.serving.classifier import check_batch
from ml.trust import Trust


class TensorFlowClassifier:
    """A bundle's Keras network; see `ml.serving.Classifier`."""

    backend = "tensorflow"

    def __init__(self, bundle: Bundle, device: str) -> None:
        _grow_memory()
        metadata = bundle.metadata
        shape = (metadata.shape.height, metadata.shape.width, 3)
        network = build_folded(metadata.architecture, metadata.shape, len(metadata.classes))
        network.load_weights(bundle.weights)
        maps, head = parts(network)
        self.bundle = bundle
        self.trust = Trust.load(bundle)
        self.device = device
        # One signature for every batch size, so that the last, smaller batch traces nothing anew.
        signature = [tf.TensorSpec((None, *shape), tf.uint8)]
        self._maps = tf.function(
            lambda batch: maps(tf.cast(batch, tf.float32), training=False),
            input_signature=signature,
        )
        self._widths = (len(metadata.classes), int(maps.output_shape[-1]))
        self._head = tf.function(
            lambda feature_map: head(feature_map, training=False), reduce_retracing=True
        )

    def classify(self, batch: Pixels) -> Outputs:
        """uint8 (N, height, width, 3) → logits (N, classes) and features (N, channels)."""
        check_batch(self.bundle, batch)
        if not len(batch):
            # Some processors' convolutions fail on no images.
            return Outputs(*(np.zeros((0, width), np.float32) for width in self._widths))
        maps = self._maps(tf.constant(batch))
        logits, features = self._head(maps), tf.reduce_mean(maps, axis=(1, 2))
        return Outputs(*(np.asarray(tensor.numpy(), np.float32) for tensor in (logits, features)))

    def activations(self, batch: Pixels) -> NDArray[np.float32]:
        """uint8 (N, height, width, 3) → float32 (N, channels, h, w)."""
        check_batch(self.bundle, batch)
        maps = self._maps(tf.constant(batch)).numpy()
        return np.ascontiguousarray(maps.transpose(0, 3, 1, 2), np.float32)


def _grow_memory() -> None:
    """Let TensorFlow take GPU memory as it needs it, so that two processes can share a GPU."""
    for gpu in tf.config.list_physical_devices("GPU"):
        try:
            tf.config.experimental.set_memory_growth(gpu, True)
        except RuntimeError:
            # The GPU was set up earlier in this process, and its memory can't be changed now.
            continue
