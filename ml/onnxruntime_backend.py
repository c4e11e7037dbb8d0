"""The classifier for CPU workers: ONNX Runtime and nothing heavier."""

from __future__ import annotations

import numpy as np
import onnxruntime

from ml.bundle import Bundle
from ml.images import Pixels
from ml.inference import Probabilities, check_batch


class OnnxClassifier:
    """A bundle's ONNX network on the CPU; see `ml.inference.Classifier`."""

    backend = "onnxruntime"
    device = "cpu"

    def __init__(self, bundle: Bundle, threads: int = 0) -> None:
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = threads
        options.inter_op_num_threads = 1
        self.bundle = bundle
        self._session = onnxruntime.InferenceSession(
            str(bundle.onnx), options, providers=["CPUExecutionProvider"]
        )

    def classify(self, batch: Pixels) -> Probabilities:
        """uint8 (N, height, width, 3) → float32 (N, classes)."""
        check_batch(self.bundle, batch)
        if len(batch) == 0:
            return np.empty((0, len(self.bundle.metadata.classes)), np.float32)
        outputs = self._session.run(["probabilities"], {"image": batch})
        return np.asarray(outputs[0], dtype=np.float32)
