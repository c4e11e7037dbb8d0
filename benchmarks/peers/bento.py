"""The same network behind a model server, BentoML, with adaptive batching; see `benchmarks.others`.

It runs in an environment of its own, which needs bentoml, numpy, onnxruntime, pillow,
simplejpeg and opencv-python-headless beside this repository on PYTHONPATH.
"""

from __future__ import annotations

import os
from pathlib import Path

import bentoml  # type: ignore[import-not-found]  # of an environment of its own
import cv2
import numpy as np

from ml.bundle import Bundle, default_bundle_path
from ml.reading import read
from ml.serving import classify_readings, load_classifier


@bentoml.service(
    workers=len(os.sched_getaffinity(0)), traffic={"timeout": 300, "max_concurrency": 10_000}
)
class Cells:
    """A worker per core, the network on one core in each."""

    def __init__(self) -> None:
        cv2.setNumThreads(1)
        bundle = Bundle.load(Path(os.environ.get("BENCH_BUNDLE") or default_bundle_path()))
        self._classifier = load_classifier(bundle, threads=1, device="cpu")
        self._metadata = bundle.metadata

    @bentoml.api(batchable=True, max_batch_size=16, max_latency_ms=5000)  # type: ignore[untyped-decorator]
    def classify(self, images: list[Path]) -> np.ndarray:
        """Files → the probabilities of the classes, float32 (N, classes)."""
        shape, steps = self._metadata.shape, self._metadata.preprocessing
        readings = [read(path.read_bytes(), shape, steps) for path in images]
        verdicts = classify_readings(self._classifier, readings)
        return np.array([verdict.probabilities for verdict in verdicts], np.float32)
