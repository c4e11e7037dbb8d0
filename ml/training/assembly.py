"""A trained network and the images it was taught with → the files of a bundle.

Needs TensorFlow; a CPU worker never imports this module.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import keras
import numpy as np
import tensorflow as tf
from numpy.typing import NDArray

from ml.answers import Outputs
from ml.bundle.folder import INT8, ONNX, WEIGHTS
from ml.data import Labelled
from ml.decoding import Pixels
from ml.network.export import export_onnx
from ml.network.model import parts
from ml.serving.explain import write_head
from ml.serving.looking import classify_with_second_looks
from ml.serving.neighbours import choose_references, write_references
from ml.training.batches import middle
from ml.training.quantization import Small
from ml.training.recipes.recipe import Recipe
from ml.trust import TRUST
from ml.trust.fitting import LabelledOutputs, fit_trust
from ml.trust.judge import write_trust
from ml.trust.unfamiliar import Nearest

CHUNK = 64


@dataclass(frozen=True)
class Taught:
    """A folded network, with what it learned from and what it was checked by, unchanged."""

    network: keras.Model
    recipe: Recipe
    learn: Labelled
    check: Labelled


@dataclass(frozen=True)
class Judging:
    """What a bundle judges by: numbers for its metadata, arrays for a file."""

    numbers: dict[str, Any]
    arrays: dict[str, NDArray[Any]]


def outputs(taught: Taught, images: Pixels) -> Outputs:
    """What the network gives of images, uint8 (N, height, width, 3), seen in their middle."""
    maps, head = parts(taught.network)
    recipe = taught.recipe

    def compute(batch: Any) -> tuple[Any, Any]:
        feature_map = maps(batch, training=False)
        return head(feature_map, training=False), tf.reduce_mean(feature_map, (1, 2))

    signature = tf.TensorSpec((None, *taught.network.input_shape[1:]), tf.float32)
    compiled = tf.function(compute, input_signature=[signature])

    def classify(batch: Pixels) -> Outputs:
        tensors = compiled(tf.constant(batch, tf.float32))
        return Outputs(*(np.asarray(tensor, np.float32) for tensor in tensors))

    chunks = (images[start : start + CHUNK] for start in range(0, len(images), CHUNK))
    answers = [
        classify_with_second_looks(
            classify, np.stack([middle(image, recipe.shape) for image in chunk]), recipe.doubt
        )
        for chunk in chunks
    ]
    logits, features = (
        [getattr(answer, name) for answer in answers] for name in ("logits", "features")
    )
    return Outputs(np.concatenate(logits), np.concatenate(features))


def judging(taught: Taught, learned: Outputs) -> Judging:
    """When to believe the network, measured on the validation images in which it saw one cell.

    Raises:
        TooFewCells: if there are too few images to say.
    """
    recipe, learn = taught.recipe, taught.learn
    check = taught.check.at(taught.check.one_cell)
    checked = LabelledOutputs(
        outputs(taught, check.images),
        check.truth,
        _photographs(check),
        [sample.source for sample in check.samples],
    )
    gate = Nearest.fit(learned, learn.truth, _photographs(learn))
    return Judging(*fit_trust(checked, recipe.classes, gate, few_shot=recipe.few_shot))


def fill(
    folder: Path,
    taught: Taught,
    learned: Outputs | None,
    judged: Judging | None,
    small: Small | None,
) -> None:
    """Write every file of the bundle but its metadata."""
    write_network(folder, taught.network, small)
    if judged is not None:
        write_trust(folder / TRUST, judged.arrays)
    if learned is not None and taught.recipe.references:
        _write_references(folder, taught, learned)


def write_network(folder: Path, network: keras.Model, small: Small | None) -> None:
    """Write a folded network in every form that a bundle has it in."""
    network.save_weights(folder / WEIGHTS)
    export_onnx(network, folder / ONNX)
    write_head(folder, network)
    if small is not None and small.fitness.fit:
        (folder / INT8).write_bytes(small.network)


def _write_references(folder: Path, taught: Taught, learned: Outputs) -> None:
    """One image of each photograph may be chosen: its copies would only repeat it."""
    learn, recipe = taught.learn, taught.recipe
    candidates = np.unique(_photographs(learn), return_index=True)[1]
    chosen = candidates[
        choose_references(
            learned.features[candidates],
            learn.truth[candidates],
            learned.logits[candidates].argmax(axis=1),
            recipe.references,
        )
    ]
    write_references(
        folder,
        learned.features[chosen],
        [learn.samples[index].label for index in chosen],
        [middle(learn.images[index], recipe.shape) for index in chosen],
        [learn.samples[index].source for index in chosen],
        recipe.attribution,
    )


def _photographs(data: Labelled) -> Sequence[str]:
    return [f"{sample.source}/{sample.group}" for sample in data.samples]
