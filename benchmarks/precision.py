"""Accuracy against speed: a bundle's network at several input sizes, in float and in 8 bits.

    python -m benchmarks.precision ../shared/data/bccd4 ../shared/data/pbc8

The same weights run at every size, since the features are averaged over their places. The 8-bit
network of the bundle's own size is the bundle's, if it has one; the others are made by
`ml.training.quantization`, as that one was, on images that the bundle was trained on. All are
judged on the same test images; speed is ONNX Runtime alone on all cores, every network in turn,
several times, in one run. McNemar's exact test is against float at the same size.
"""

from __future__ import annotations

import statistics
import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import click
import numpy as np
import onnxruntime
from numpy.typing import NDArray

from ml.bundle import Bundle, default_bundle_path
from ml.data import Labelled, Sample, read_folder
from ml.data.dataset import of_classes, spread
from ml.data.loading import load
from ml.decoding import InputShape, Pixels
from ml.metrics import balanced_accuracy, confusion_matrix, mcnemar
from ml.network.export import export_onnx
from ml.network.model import build_folded
from ml.training.quantization import CALIBRATION, quantize

BATCH, TURNS = 16, 5


@dataclass(frozen=True)
class Variant:
    """One network: its input's side, its precision, its file and what it answered."""

    side: int
    precision: str
    path: Path
    answers: NDArray[np.float32]
    speed: float


def export(bundle: Bundle, side: int, folder: Path) -> Path:
    """Write the bundle's network for another input size."""
    metadata, shape = bundle.metadata, InputShape(side, side)
    network = build_folded(metadata.architecture, shape, len(metadata.classes))
    network.load_weights(bundle.weights)
    path = folder / f"float-{side}.onnx"
    export_onnx(network, path)
    return path


def quantized(path: Path, images: Pixels) -> Path:
    """Write the network in 8 bits, its ranges measured on `images`."""
    small = path.with_suffix(".int8.onnx")
    quantize(path, small, images)
    return small


def session(path: Path) -> Any:
    """The network on all cores."""
    return onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])


def logits(network: Any, images: Pixels) -> NDArray[np.float32]:
    """float32 (N, classes)."""
    chunks = [images[start : start + BATCH] for start in range(0, len(images), BATCH)]
    rows = [network.run(["logits"], {"image": chunk})[0] for chunk in chunks]
    return np.asarray(np.concatenate(rows), np.float32)


def speeds(networks: Sequence[tuple[Any, Pixels]]) -> list[float]:
    """Images/s of each, the median of turns in which each one runs after the other."""
    turns: list[list[float]] = [[] for _ in networks]
    for _ in range(TURNS):
        for rates, (network, images) in zip(turns, networks, strict=True):
            started = time.perf_counter()
            logits(network, images[: 8 * BATCH])
            rates.append(min(len(images), 8 * BATCH) / (time.perf_counter() - started))
    return [statistics.median(rates) for rates in turns]


def tests_of(folders: Sequence[Path], classes: Sequence[str]) -> list[Sample]:
    """The images that the sets' authors held out as test."""
    samples = [s for folder in folders for s in read_folder(folder) if s.split == "test"]
    return of_classes(samples, [name for name in classes if any(s.label == name for s in samples)])


def rows(
    variants: Sequence[Variant], truth: NDArray[np.int64], classes: int
) -> Iterator[list[str]]:
    """The table's rows."""
    for variant in variants:
        same_side = (v for v in variants if v.side == variant.side)
        reference = next(v for v in same_side if v.precision == "float")
        guesses, others = variant.answers.argmax(axis=1), reference.answers.argmax(axis=1)
        right, before = guesses == truth, others == truth
        chance = mcnemar(int((right & ~before).sum()), int((~right & before).sum()))
        matrix = confusion_matrix(truth, guesses, classes)
        yield [
            str(variant.side),
            variant.precision,
            f"{(guesses == truth).mean():.4f}",
            f"{balanced_accuracy(matrix[np.newaxis])[0]:.4f}",
            f"{variant.speed:.0f}",
            f"{(guesses == others).mean():.4f}",
            f"{chance:.3f}",
        ]


def crops(bundle: Bundle, samples: Sequence[Sample], side: int) -> Labelled:
    """The samples as the network sees them at this size."""
    metadata, shape = bundle.metadata, InputShape(side, side)
    return load(samples, metadata.classes, shape, metadata.preprocessing, lambda *_: None)


@click.command()
@click.argument("folders", nargs=-1, required=True, type=click.Path(path_type=Path, exists=True))
@click.option("--bundle", "path", type=click.Path(path_type=Path, exists=True))
@click.option("--side", "sides", type=int, multiple=True, default=(96, 112, 128, 160, 224))
@click.option("--calibrate", type=int, default=CALIBRATION, show_default=True)
def main(
    folders: tuple[Path, ...], path: Path | None, sides: tuple[int, ...], calibrate: int
) -> None:
    """Print the table for the test images of some data folders."""
    bundle = Bundle.load(path or default_bundle_path())
    classes = bundle.metadata.classes
    judged = tests_of(folders, classes)
    train = [s for folder in folders for s in read_folder(folder) if s.split == "train"]
    calibrating = spread(of_classes(train, classes), max(1, calibrate // len(classes)), seed=0)
    variants, networks = [], []
    with tempfile.TemporaryDirectory() as folder:
        for side in sides:
            data = crops(bundle, judged, side)
            plain = export(bundle, side, Path(folder))
            own = bundle.int8 if side == bundle.metadata.shape.width else None
            for precision, file in (
                ("float", plain),
                ("int8", own or quantized(plain, crops(bundle, calibrating, side).images)),
            ):
                network = session(file)
                answers = logits(network, data.images)
                variants.append(Variant(side, precision, file, answers, 0.0))
                networks.append((network, data.images[: 8 * BATCH]))
        measured = speeds(networks)
    timed = [replace(v, speed=s) for v, s in zip(variants, measured, strict=True)]
    click.echo(f"{bundle.title}: {len(judged)} test images")
    click.echo("side  precision  accuracy  balanced  images/s  agreement  McNemar p")
    for row in rows(timed, data.truth, len(classes)):
        click.echo("  ".join(cell.rjust(8) for cell in row))


if __name__ == "__main__":
    main()
