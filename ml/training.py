"""A recipe, labelled photographs and ImageNet weights → a bundle.

    OUT/bundle/        the result (see `ml.bundle`)
    OUT/log.jsonl      one line a pass: stage, losses, accuracies, seconds
    OUT/checkpoints/   the weights after each pass over everything

Needs TensorFlow; a CPU worker never imports this module.
"""

from __future__ import annotations

import platform
from collections.abc import Sequence
from dataclasses import asdict
from importlib.metadata import version
from pathlib import Path
from typing import Any

import keras

from ml.bundle import ONNX, WEIGHTS, Bundle, Metadata, write_bundle
from ml.dataset import (
    Sample,
    counts,
    data_hash,
    grouped_split,
    of_classes,
    require_grouped,
    spread,
)
from ml.export import export_onnx
from ml.fitting import Run, TrainingFailed, batches_of, train_everything, train_head
from ml.images import DECODER_VERSION
from ml.loading import Labelled, load
from ml.metrics import score
from ml.model import OFFSET, SCALE, build, build_folded, fold, load_imagenet
from ml.recipes.recipe import Recipe

LIBRARIES = ("keras", "numpy", "onnx", "pillow", "tensorflow")


def train(run: Run) -> Bundle:
    """Train by the recipe and write the bundle.

    Raises:
        TrainingFailed: if `run.out` exists already, or the loss is no longer a number.
        DataError: if the samples can't be split so that no photograph is on both sides.
        WeightsUnavailable: if there are no ImageNet weights.
    """
    if run.out.exists():
        raise TrainingFailed(f"{run.out} exists already; choose another folder for this run.")
    keras.utils.set_random_seed(run.seed)
    training, validation = split(run.recipe, run.samples, run.seed)
    recipe = run.recipe
    network = build(recipe.architecture, recipe.shape, len(recipe.classes), recipe.dropout)
    load_imagenet(network, run.weights)
    learn = load(training, recipe.classes, recipe.shape, run.report)
    check = load(validation, recipe.classes, recipe.shape, run.report)
    (run.out / "checkpoints").mkdir(parents=True)
    train_head(run, network, learn, check)
    if recipe.passes:
        train_everything(run, network, learn, check)
    return _write(run, network, learn, check)


def split(
    recipe: Recipe, samples: Sequence[Sample], seed: int
) -> tuple[list[Sample], list[Sample]]:
    """The samples to learn from and those to check by; samples marked as test are left out.

    A data folder with a split called val is checked by it; of the others, whole photographs are
    held out.

    Raises:
        DataError: if a class is missing or can't be split.
    """
    usable = of_classes([s for s in samples if s.split in ("", "train", "val")], recipe.classes)
    training: list[Sample] = []
    validation: list[Sample] = []
    for source in sorted({sample.source for sample in usable}):
        kept, held = _split_source([s for s in usable if s.source == source], recipe, seed)
        training += spread(kept, recipe.per_class or len(kept), seed)
        validation += spread(held, recipe.per_class or len(held), seed)
    require_grouped(training, validation)
    return training, validation


def _split_source(
    samples: list[Sample], recipe: Recipe, seed: int
) -> tuple[list[Sample], list[Sample]]:
    held = [sample for sample in samples if sample.split == "val"]
    if held:
        return [sample for sample in samples if sample.split != "val"], held
    return grouped_split(samples, recipe.validation, seed)


def _write(run: Run, network: keras.Model, learn: Labelled, check: Labelled) -> Bundle:
    recipe = run.recipe
    folded = build_folded(recipe.architecture, recipe.shape, len(recipe.classes))
    fold(network, folded)

    def fill(folder: Path) -> None:
        folded.save_weights(folder / WEIGHTS)
        export_onnx(folded, folder / ONNX)

    return write_bundle(run.out / "bundle", _metadata(run, folded, learn, check), fill)


def _metadata(run: Run, folded: keras.Model, learn: Labelled, check: Labelled) -> Metadata:
    recipe = run.recipe
    return Metadata(
        name=recipe.name,
        version=recipe.version,
        classes=recipe.classes,
        shape=recipe.shape,
        architecture=recipe.architecture,
        preprocessing=preprocessing(),
        recipe={**asdict(recipe), "seed": run.seed},
        data=_data_facts(learn, check),
        scores=_validation_scores(folded, recipe, check),
        libraries={"python": platform.python_version(), **{n: version(n) for n in LIBRARIES}},
        intended_use=recipe.intended_use,
    )


def preprocessing() -> dict[str, Any]:
    """How a file becomes the network's input; the scaling is part of the network itself."""
    return {
        "decoder": DECODER_VERSION,
        "resize": "bilinear with antialiasing, stretched",
        "scale": SCALE,
        "offset": OFFSET,
    }


def _data_facts(learn: Labelled, check: Labelled) -> dict[str, Any]:
    samples = [*learn.samples, *check.samples]
    return {
        "sources": sorted({sample.source for sample in samples}),
        "sha256": data_hash(samples),
        "training": counts(learn.samples),
        "validation": counts(check.samples),
    }


def _validation_scores(folded: keras.Model, recipe: Recipe, check: Labelled) -> dict[str, Any]:
    probabilities = folded.predict(batches_of(check, recipe, None), verbose=0)
    found = score(check.truth, probabilities.argmax(axis=1), recipe.classes)
    return {"validation": asdict(found)}
