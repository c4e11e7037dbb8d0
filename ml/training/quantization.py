"""The ONNX network in 8 bits, which a CPU with VNNI runs in some 56 % of the time of 32 bits.

Activations are kept in 8 bits, and so are weights, by channel. The first convolutions stay as they
are: their coarse steps would do nearly all the damage that is done, and they cost next to nothing.
Ranges leave out the outermost activations, so that a rare one does not make every step wide.
Weights of 7 bits, which processors without VNNI would need, made half as much
error again; see `serving.onnxruntime_backend`.

Needs TensorFlow and onnx; a CPU worker never imports this module.
"""

from __future__ import annotations

import io
import tempfile
from collections.abc import Iterator
from contextlib import redirect_stdout
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import keras
import numpy as np
import onnx
import onnxruntime
from numpy.typing import NDArray
from onnxruntime.quantization import (
    CalibrationDataReader,
    CalibrationMethod,
    QuantFormat,
    QuantType,
    quantize_static,
)
from onnxruntime.quantization.shape_inference import quant_pre_process

from ml.data import Labelled
from ml.decoding import InputShape, Pixels
from ml.metrics import mcnemar
from ml.network.export import export_onnx
from ml.training.batches import middle

# Images that the ranges are measured on, and how many of them at a time.
CALIBRATION, _AT_ONCE = 384, 16
# The share of activations, in percent, that lies inside a range.
_INSIDE = 99.99
# Nodes whose names begin so stay in float.
_PRECISE = ("Conv1", "expanded_conv")
_KINDS = ["Conv", "Clip", "Add"]
# With a smaller p of McNemar's test the 8-bit network's answers are others, and it is not used.
LEAST_P = 0.05


@dataclass(frozen=True)
class Fitness:
    """How the answers of the 8-bit network compare with those of the float one, on labelled images.

    `only_int8` and `only_float` count the images that just one of them got right; `p` is that of
    McNemar's exact test, which takes every image as independent.
    """

    images: int
    agreement: float
    only_int8: int
    only_float: int
    p: float

    @property
    def fit(self) -> bool:
        """Whether the difference can be chance."""
        return self.p >= LEAST_P


@dataclass(frozen=True)
class Small:
    """A network in 8 bits: the ONNX file, and how it answers."""

    network: bytes
    fitness: Fitness

    @property
    def facts(self) -> dict[str, Any]:
        """What a bundle says of it, as JSON knows it."""
        return {**asdict(self.fitness), "used": self.fitness.fit}


class _Images(CalibrationDataReader):  # type: ignore[misc]
    """Batches of images, a few of them at a time: all activations of these are held in memory."""

    def __init__(self, images: Pixels) -> None:
        starts = range(0, len(images), _AT_ONCE)
        self._batches = [images[start : start + _AT_ONCE] for start in starts]
        self._waiting: Iterator[Pixels] = iter(self._batches)

    def __len__(self) -> int:
        return len(self._batches)

    def set_range(self, start_index: int, end_index: int) -> None:
        """Give these batches next."""
        self._waiting = iter(self._batches[start_index:end_index])

    def get_next(self) -> dict[str, Pixels] | None:
        """The next batch, or None after the last."""
        batch = next(self._waiting, None)
        return None if batch is None else {"image": batch}


def small_of(network: keras.Model, learn: Labelled, check: Labelled) -> Small:
    """The folded `network` in 8 bits, by images that it learned from, and how it answers on
    those that it is checked by; of both it sees the middle."""
    height, width = network.input_shape[1:3]
    shape = InputShape(height, width)
    with tempfile.TemporaryDirectory() as folder:
        plain, small = Path(folder) / "float.onnx", Path(folder) / "int8.onnx"
        export_onnx(network, plain)
        quantize(plain, small, _middles(learn.images[_typical(learn.truth)], shape))
        compared = fitness(plain, small, _middles(check.images, shape), check.truth)
        return Small(small.read_bytes(), compared)


def quantize(plain: Path, small: Path, images: Pixels) -> None:
    """Write the network at `plain` in 8 bits to `small`.

    Args:
        plain: a network as `ml.network.export` writes it.
        small: where the 8-bit one goes.
        images: uint8 (N, height, width, 3), such as it will see, to measure ranges on.
    """
    # ONNX Runtime prints what it is at.
    with tempfile.TemporaryDirectory() as folder, redirect_stdout(io.StringIO()):
        prepared = Path(folder) / "prepared.onnx"
        quant_pre_process(str(plain), str(prepared), skip_symbolic_shape=True)
        names = [node.name for node in onnx.load(prepared).graph.node]
        quantize_static(
            str(prepared),
            str(small),
            _Images(images),
            quant_format=QuantFormat.QDQ,
            op_types_to_quantize=_KINDS,
            per_channel=True,
            activation_type=QuantType.QUInt8,
            weight_type=QuantType.QInt8,
            nodes_to_exclude=[name for name in names if name.startswith(_PRECISE)],
            calibrate_method=CalibrationMethod.Percentile,
            extra_options={"CalibPercentile": _INSIDE, "CalibStridedMinMax": 1},
        )


def fitness(plain: Path, small: Path, check: Pixels, truth: NDArray[np.int64]) -> Fitness:
    """Hold the 8-bit network against the float one, each looking once.

    Args:
        plain: the float network.
        small: the 8-bit network.
        check: uint8 (N, height, width, 3), at least one image.
        truth: int64 (N,), their class numbers.
    """
    floats, ints = (_answers(path, check) for path in (plain, small))
    right, before = ints == truth, floats == truth
    only_int8, only_float = int((right & ~before).sum()), int((~right & before).sum())
    agreement = float((ints == floats).mean())
    return Fitness(len(check), agreement, only_int8, only_float, mcnemar(only_int8, only_float))


def _answers(path: Path, images: Pixels) -> NDArray[np.int64]:
    """int64 (N,): the number of each image's most probable class."""
    network = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    starts = range(0, len(images), _AT_ONCE)
    chunks = [network.run(["logits"], {"image": images[at : at + _AT_ONCE]})[0] for at in starts]
    return np.asarray(np.concatenate(chunks).argmax(axis=1), np.int64)


def _typical(truth: NDArray[np.int64]) -> NDArray[np.int64]:
    """int64: the rows of `CALIBRATION` images at most, every class alike as far as it goes."""
    rng, classes = np.random.default_rng(0), np.unique(truth)
    share = CALIBRATION // len(classes)
    chosen = [rng.permutation(np.flatnonzero(truth == number))[:share] for number in classes]
    return rng.permutation(np.concatenate(chosen))


def _middles(images: Pixels, shape: InputShape) -> Pixels:
    return np.stack([middle(image, shape) for image in images])
