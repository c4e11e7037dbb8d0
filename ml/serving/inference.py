"""Batches of pixels → predictions, by TensorFlow on a GPU or ONNX Runtime on the CPU.

Importing this loads neither; `load_classifier` loads the one that it chooses, and TensorFlow
only where a GPU can be there at all.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from ml.bundle import Bundle
from ml.errors import MlError
from ml.serving.classifier import Classifier


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
        from ml.serving.tensorflow_backend import TensorFlowClassifier

        return TensorFlowClassifier(bundle, device="gpu")
    if device == "gpu":
        raise NoGpu(
            "TensorFlow finds no GPU on this machine. Run it on a CPU or install the extra 'gpu'."
        )
    from ml.serving.onnxruntime_backend import OnnxClassifier

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
