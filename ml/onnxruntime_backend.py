"""The classifier for CPU workers: ONNX Runtime and nothing heavier."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import onnxruntime
from numpy.typing import NDArray

from ml.bundle import Bundle
from ml.images import Pixels
from ml.inference import Outputs, check_batch
from ml.trust import Trust


class OnnxClassifier:
    """A bundle's ONNX network on the CPU; see `ml.inference.Classifier`."""

    backend = "onnxruntime"
    device = "cpu"

    def __init__(self, bundle: Bundle, threads: int = 0) -> None:
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = threads
        options.inter_op_num_threads = 1
        self.bundle = bundle
        self.trust = Trust.load(bundle)
        self._session = onnxruntime.InferenceSession(
            str(bundle.onnx), options, providers=["CPUExecutionProvider"]
        )

    def classify(self, batch: Pixels) -> Outputs:
        """uint8 (N, height, width, 3) → logits (N, classes) and features (N, channels)."""
        return Outputs(*self._run(["logits", "features"], batch))

    def activations(self, batch: Pixels) -> NDArray[np.float32]:
        """uint8 (N, height, width, 3) → float32 (N, channels, h, w)."""
        return self._run(["activations"], batch)[0]

    def _run(self, names: Sequence[str], batch: Pixels) -> list[NDArray[np.float32]]:
        check_batch(self.bundle, batch)
        found = self._session.run(list(names), {"image": batch})
        return [np.asarray(one, dtype=np.float32) for one in found]
