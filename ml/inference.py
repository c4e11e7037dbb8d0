"""Batches of pixels → predictions, by TensorFlow on a GPU or ONNX Runtime on the CPU.

Importing this loads neither; `load_classifier` loads the one that it chooses, and TensorFlow
only where a GPU can be there at all.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

import numpy as np
from numpy.typing import NDArray

from ml.bundle import Bundle
from ml.errors import MlError
from ml.images import Pixels

if TYPE_CHECKING:
    from ml.trust import Trust


@dataclass(frozen=True)
class Outputs:
    """What a network returns for a batch: `logits`, float32 (N, classes), before the softmax, and
    `features`, float32 (N, channels), the input of its head averaged over the places."""

    logits: NDArray[np.float32]
    features: NDArray[np.float32]


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


class NoGpu(MlError):
    """A GPU was demanded, but there is none."""


def load_classifier(
    bundle: Bundle,
    *,
    threads: int = 0,
    device: str = "auto",
    gpus: Callable[[], Sequence[str]] | None = None,
) -> Classifier:
    """The network of `bundle`, ready to run on the best device there is.

    Args:
        bundle: what to run.
        threads: CPU threads for one batch; 0 takes every core.
        device: auto, cpu or gpu.
        gpus: lists the GPUs; `visible_gpus` unless a test says otherwise.

    Raises:
        NoGpu: if `device` is gpu and there is none.
    """
    if device not in ("auto", "cpu", "gpu"):
        raise ValueError(f"{device!r} is not a device; choose auto, cpu or gpu.")
    if device != "cpu" and (gpus or visible_gpus)():
        from ml.tensorflow_backend import TensorFlowClassifier

        return TensorFlowClassifier(bundle, device="gpu")
    if device == "gpu":
        raise NoGpu(
            "TensorFlow finds no GPU on this machine. Run it on a CPU or install the extra 'gpu'."
        )
    from ml.onnxruntime_backend import OnnxClassifier

    return OnnxClassifier(bundle, threads)


def visible_gpus() -> list[str]:
    """The names of the GPUs that TensorFlow sees; TensorFlow is imported only if one may be."""
    if not gpu_possible(os.environ, Path("/dev")):
        return []
    try:
        import tensorflow as tf
    except ImportError:
        return []
    return [gpu.name for gpu in tf.config.list_physical_devices("GPU")]


def gpu_possible(environment: Mapping[str, str], devices: Path) -> bool:
    """Whether a CUDA device may be there, judged without loading anything heavy.

    Args:
        environment: the process's variables; an empty or -1 CUDA_VISIBLE_DEVICES hides all GPUs.
        devices: the folder of device files; Linux names GPUs nvidia0 …, and dxg under WSL.
    """
    if environment.get("CUDA_VISIBLE_DEVICES", "all").strip() in ("", "-1"):
        return False
    return (devices / "dxg").exists() or any(devices.glob("nvidia[0-9]*"))


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
