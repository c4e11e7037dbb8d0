"""The classifier for CPU workers: ONNX Runtime and nothing heavier."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import onnxruntime
from numpy.typing import NDArray

from ml.answers import Outputs
from ml.bundle import Bundle
from ml.decoding import Pixels
from ml.serving.classifier import check_batch
from ml.trust import Trust

CPU_FACTS = Path("/proc/cpuinfo")
_VNNI = frozenset({"avx512_vnni", "avx_vnni"})


class OnnxClassifier:
    """A bundle's ONNX network on the CPU, in 8 bits where the bundle has it and the processor gains
    by it; see `ml.serving.Classifier`. With `exact` it is the float network in any case, with
    `small` the one in 8 bits, which the bundle must have."""

    device = "cpu"

    def __init__(
        self, bundle: Bundle, threads: int = 0, *, exact: bool = False, small: bool = False
    ) -> None:
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = threads
        options.inter_op_num_threads = 1
        self.bundle = bundle
        self.trust = Trust.load(bundle)
        int8 = bundle.int8 if small or (not exact and gains_by_int8()) else None
        self.backend = "onnxruntime int8" if int8 else "onnxruntime"
        self._session = onnxruntime.InferenceSession(
            str(int8 or bundle.onnx), options, providers=["CPUExecutionProvider"]
        )

    def classify(self, batch: Pixels) -> Outputs:
        """uint8 (N, height, width, 3) → logits (N, classes) and features (N, channels)."""
        return Outputs(*self._run(["logits", "features"], batch))

    def activations(self, batch: Pixels) -> NDArray[np.float32]:
        """uint8 (N, height, width, 3) → float32 (N, channels, h, w)."""
        return self._run(["activations"], batch)[0]

    def _run(self, names: Sequence[str], batch: Pixels) -> list[NDArray[np.float32]]:
        check_batch(self.bundle, batch)
        arrays = self._session.run(list(names), {"image": batch})
        return [np.asarray(array, dtype=np.float32) for array in arrays]


def gains_by_int8(facts: Path = CPU_FACTS) -> bool:
    """Whether the processor multiplies bytes into sums of 32 bits (VNNI). One that does not is no
    faster in 8 bits than in float, and ONNX Runtime's 16-bit sums overflow on it.

    Args:
        facts: what Linux says of the processor; where it says nothing, the answer is no.
    """
    try:
        lines = facts.read_text(encoding="utf-8").splitlines()
    except OSError:
        return False
    flags = next((line for line in lines if line.startswith("flags")), "")
    return not _VNNI.isdisjoint(flags.split())
