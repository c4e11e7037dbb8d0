"""Teaching a network: its head on features computed once, then everything.

Needs TensorFlow; a CPU worker never imports this module.
"""

from __future__ import annotations

import json
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import keras
import numpy as np
import tensorflow as tf
from numpy.typing import NDArray

from ml.augmentation import Augmentation
from ml.dataset import Sample
from ml.errors import MlError
from ml.images import Pixels
from ml.loading import Labelled, Report
from ml.model import FEATURES
from ml.recipes.recipe import Recipe

# Keras would compile with XLA, which on a CPU is ten times slower than oneDNN for this network.
JIT = False


class TrainingFailed(MlError):
    """Training could not start, or came to nothing; the message says what to do."""


@dataclass(frozen=True)
class Run:
    """What one training run is made of and where it goes."""

    recipe: Recipe
    samples: Sequence[Sample]
    out: Path
    weights: Path | None
    seed: int
    report: Report


def train_head(run: Run, network: keras.Model, learn: Labelled, check: Labelled) -> None:
    """Train the head alone; the base does not change, so its features are computed only once."""
    recipe = run.recipe
    features = network.get_layer(FEATURES).output
    base, head = keras.Model(network.input, features), keras.Model(features, network.output)
    head.compile(
        optimizer=keras.optimizers.Adam(recipe.head_rate),
        loss=keras.losses.CategoricalCrossentropy(label_smoothing=recipe.smoothing),
        metrics=["accuracy"],
        jit_compile=JIT,
    )
    known = _features(base, learn.images, run, "features")
    unknown = _features(base, check.images, run, "validation features")
    head.fit(
        known,
        _one_hot(learn, recipe),
        batch_size=recipe.batch,
        epochs=recipe.head_passes,
        validation_data=(unknown, _one_hot(check, recipe)),
        callbacks=[_Passes(run, "head", recipe.head_passes)],
        verbose=0,
    )


def _features(
    base: keras.Model, images: Pixels, run: Run, stage: str, batch: int = 64
) -> NDArray[np.float32]:
    """float32 (N, …): what the base makes of each image."""
    compute = tf.function(lambda chunk: base(chunk, training=False), reduce_retracing=True)
    features = np.empty((len(images), *base.output_shape[1:]), np.float32)
    for start in range(0, len(images), batch):
        chunk = images[start : start + batch]
        features[start : start + batch] = compute(tf.constant(chunk, tf.float32)).numpy()
        run.report(stage, (start + len(chunk)) / len(images), "")
    return features


def train_everything(run: Run, network: keras.Model, learn: Labelled, check: Labelled) -> None:
    """Fine-tune every weight; the statistics of the batch norms stay as they are."""
    recipe = run.recipe
    steps = -(-len(learn.images) // recipe.batch) * recipe.passes
    rate = keras.optimizers.schedules.CosineDecay(
        recipe.rate / 10, steps, warmup_target=recipe.rate, warmup_steps=steps // 20
    )
    network.compile(
        optimizer=keras.optimizers.Adam(rate),
        loss=keras.losses.CategoricalCrossentropy(label_smoothing=recipe.smoothing),
        metrics=["accuracy"],
        jit_compile=JIT,
    )
    network.fit(
        batches_of(learn, recipe, run.seed),
        epochs=recipe.passes,
        validation_data=batches_of(check, recipe, None),
        shuffle=False,  # The batches are drawn at random already.
        callbacks=[_Passes(run, "everything", recipe.passes)],
        verbose=0,
    )


def batches_of(data: Labelled, recipe: Recipe, seed: int | None) -> Any:
    """Batches of (images, labels); shuffled and changed where there is a seed."""
    batches = tf.data.Dataset.from_tensor_slices((data.images, _one_hot(data, recipe)))
    if seed is not None:
        batches = batches.shuffle(len(data.images), seed=seed)
    batches = batches.batch(recipe.batch)
    batches = batches.map(lambda images, labels: (tf.cast(images, tf.float32), labels))
    if seed is not None and recipe.jitter is not None:
        change = Augmentation(recipe.jitter)
        batches = batches.map(lambda images, labels: (change(images), labels))
    return batches.prefetch(2)


def _one_hot(data: Labelled, recipe: Recipe) -> NDArray[np.float32]:
    """float32 (N, classes)."""
    rows: NDArray[np.float32] = np.eye(len(recipe.classes), dtype=np.float32)[data.truth]
    return rows


class _Passes(keras.callbacks.Callback):  # type: ignore[misc]
    """Shows progress, and after each pass writes a line of the log and, once the base
    changes too, a checkpoint."""

    def __init__(self, run: Run, stage: str, passes: int) -> None:
        super().__init__()
        self.run, self.stage, self.passes = run, stage, passes
        self.done, self.note, self.started = 0, "", 0.0

    def on_epoch_begin(self, epoch: int, logs: dict[str, float] | None = None) -> None:
        self.started = time.monotonic()

    def on_train_batch_end(self, batch: int, logs: dict[str, float] | None = None) -> None:
        steps = self.params["steps"] or batch + 1
        self.run.report(self.stage, (self.done + (batch + 1) / steps) / self.passes, self.note)

    def on_epoch_end(self, epoch: int, logs: dict[str, float] | None = None) -> None:
        scores = {name: float(value) for name, value in (logs or {}).items()}
        if not np.isfinite(scores["loss"]):
            raise TrainingFailed("The loss is not a number any more; lower the recipe's rate.")
        self.done = epoch + 1
        self.note = f"validation accuracy {scores['val_accuracy']:.3f}"
        seconds = round(time.monotonic() - self.started, 1)
        _log(self.run, {"stage": self.stage, "pass": self.done, "seconds": seconds, **scores})
        if self.stage == "everything":
            name = f"pass-{self.done:02}.weights.h5"
            self.model.save_weights(self.run.out / "checkpoints" / name)


def _log(run: Run, entry: dict[str, Any]) -> None:
    with (run.out / "log.jsonl").open("a", encoding="utf-8") as log:
        log.write(json.dumps(entry) + "\n")
