"""A recipe, labelled photographs and ImageNet weights → a bundle.

    OUT/bundle/        the result (see `ml.bundle`)
    OUT/run.json       what the run is made of; a resumed run must be made of the same
    OUT/log.jsonl      one line per pass: stage, loss, validation scores, seconds
    OUT/checkpoints/   what an interrupted run needs to continue

Needs TensorFlow; a CPU worker never imports this module.
"""

from __future__ import annotations

import json
import platform
import uuid
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, replace
from importlib.metadata import version
from typing import Any

import keras
import numpy as np
from numpy.typing import NDArray

from ml.bundle import Bundle, Metadata, write_bundle
from ml.data import Labelled, Sample
from ml.data.dataset import RANDOM_SHARE, counts, data_hash, group_of
from ml.data.loading import load
from ml.decoding import InputShape
from ml.metrics import photograph_matrices, score, score_intervals
from ml.network.model import build, build_folded, fold, load_imagenet
from ml.reading import Preprocessing
from ml.training.assembly import Taught, fill, judging, outputs
from ml.training.fitting import (
    LAST,
    Course,
    Interrupted,
    TrainingFailed,
    TrainingRun,
    ValidationScore,
    train_everything,
    train_head,
    validation_score,
)
from ml.training.protocols import split
from ml.training.quantization import small_of
from ml.training.recipes.recipe import Recipe
from ml.training.runs import logged
from ml.trust.calibration import softmax

LIBRARIES = (
    "hematovision",
    "keras",
    "numpy",
    "onnx",
    "opencv-python-headless",
    "pillow",
    "simplejpeg",
    "tensorflow",
)
RECORD = "run.json"
# The name of the scores of the random protocol, so that nobody takes them for validation scores.
LEAKING_SCORES = "random_split_that_leaks"
NOT_A_PRODUCT = (
    "None: it was trained with a split that leaks, to repeat published figures. Its scores say "
    "nothing about new photographs."
)


def train(run: TrainingRun) -> Bundle:
    """Train by the recipe and write the bundle; however it ends, the run is logged.

    Raises:
        TrainingFailed: if `run.out` exists already (or, to resume, holds no such run), the loss
            is no longer a number, or a person interrupted it.
        DataError: if the samples can't be split so that no photograph is on both sides.
        WeightsUnavailable: if there are no ImageNet weights.
    """
    _require_place(run)
    training, validation = split(run.recipe, run.samples, run.seed)
    keras.utils.set_random_seed(run.seed)
    network = _network(run)
    learn = _load(run, training, run.recipe.stored_shape)
    check = _load(run, validation, run.recipe.shape)
    record = _recorded(run, _facts(run, [*training, *validation]))
    with _interruptible(), logged(run.log or run.out.parent / "log.jsonl", record) as entry:
        entry |= _teach(run, network, learn, check)
        bundle, score = _write(run, network, learn, check)
        entry |= {"scores": asdict(score), "bundle": bundle.digest}
    for features in run.checkpoints.glob("*.npy"):
        features.unlink()
    return bundle


def _require_place(run: TrainingRun) -> None:
    """A new run needs a new folder, a resumed one the folder of a run that has not ended."""
    begun, ended = (run.out / RECORD).exists(), (run.out / "bundle").exists()
    if run.resume and ended:
        raise TrainingFailed(f"The run in {run.out} is finished: its bundle is already there.")
    if run.resume and not begun:
        raise TrainingFailed(f"There is no run to resume in {run.out}. Leave out --resume.")
    if run.out.exists() and not run.resume:
        hint = ", or continue it with --resume" if begun and not ended else ""
        message = f"{run.out} already exists. Choose another folder for this run{hint}."
        raise TrainingFailed(message)


@contextmanager
def _interruptible() -> Iterator[None]:
    try:
        yield
    except KeyboardInterrupt:
        message = (
            "Interrupted. The finished passes are kept. To continue, add --resume to the same "
        )
        raise Interrupted(message + "command.") from None


def _network(run: TrainingRun) -> keras.Model:
    recipe = run.recipe
    classes, style = len(recipe.classes), recipe.style
    network = build(recipe.architecture, recipe.shape, classes, recipe.dropout, style)
    load_imagenet(network, run.weights, recipe.architecture.alpha)
    return network


def _load(run: TrainingRun, samples: Sequence[Sample], shape: InputShape) -> Labelled:
    steps = preprocessing(run.recipe).widened(shape.height / run.recipe.shape.height)
    return load(samples, run.recipe.classes, shape, steps, run.report)


def _facts(run: TrainingRun, samples: Sequence[Sample]) -> dict[str, Any]:
    """What a run is made of, as JSON knows it."""
    return {
        "recipe": json.loads(json.dumps(asdict(run.recipe))),
        "data": data_hash(samples),
        "seed": run.seed,
        "out": run.out.name,
        "libraries": _libraries(),
        "leaking": run.recipe.protocol == "random",
    }


def _recorded(run: TrainingRun, facts: dict[str, Any]) -> dict[str, Any]:
    """Begin the run's folder, or make sure that the run in it is made of the same.

    Returns:
        The facts with the run's own mark.

    Raises:
        TrainingFailed: if the recipe, the data or the seed are others.
    """
    path = run.out / RECORD
    if not run.resume:
        run.checkpoints.mkdir(parents=True)
        record = {"run": uuid.uuid4().hex, **facts}
        path.write_text(json.dumps(record, indent=2) + "\n", encoding="utf-8")
        return record
    record = json.loads(path.read_text(encoding="utf-8"))
    other = [name for name in ("recipe", "data", "seed") if record[name] != facts[name]]
    if other:
        message = f"The run in {run.out} was started with another {' and another '.join(other)}. "
        raise TrainingFailed(message + "Resume it with the same, or choose another folder.")
    return {**facts, "run": record["run"]}


def _teach(
    run: TrainingRun, network: keras.Model, learn: Labelled, check: Labelled
) -> dict[str, int]:
    """Teach the network, from the last checkpoint if there is one.

    Returns:
        How many passes over everything were made, and after which of them it stood best.
    """
    broken = (run.checkpoints / LAST).exists()
    course = Course.load(run.checkpoints) if broken else Course()
    if not broken:
        train_head(run, network, learn, check)
    if run.recipe.passes:
        train_everything(run, network, learn, check, course)
    return {"passes": course.done, "best_pass": course.best_pass}


def _write(
    run: TrainingRun, network: keras.Model, learn: Labelled, check: Labelled
) -> tuple[Bundle, ValidationScore]:
    """Write the bundle, and return the network's scores on the validation photographs."""
    recipe = run.recipe
    folded = build_folded(recipe.architecture, recipe.shape, len(recipe.classes))
    fold(network, folded)
    taught = Taught(folded, recipe, learn, check)
    answers = softmax(outputs(taught, check.images).logits).astype(np.float32)
    scores = _scores(check, answers.argmax(axis=1), recipe)
    learned = outputs(taught, learn.images) if recipe.trust or recipe.references else None
    judged = judging(taught, learned) if learned is not None and recipe.trust else None
    small = small_of(folded, learn, check) if recipe.int8 else None
    metadata = replace(
        _metadata(run, learn, check, scores),
        trust=judged.numbers if judged else {},
        int8=small.facts if small else {},
    )
    bundle = write_bundle(
        run.out / "bundle", metadata, lambda folder: fill(folder, taught, learned, judged, small)
    )
    return bundle, validation_score(answers, check, recipe.classes)


def _scores(check: Labelled, guesses: NDArray[np.int64], recipe: Recipe) -> dict[str, Any]:
    """The scores on the images held out, with intervals over their photographs, if it held out
    whole ones."""
    scores = asdict(score(check.truth, guesses, recipe.classes))
    if recipe.protocol == "random":
        return scores
    names = [group_of(sample) for sample in check.samples]
    photographs = np.unique(names, return_inverse=True)[1].astype(np.int64)
    classes = len(recipe.classes)
    intervals = score_intervals(photograph_matrices(photographs, check.truth, guesses, classes))[0]
    return {**scores, "intervals": {name: asdict(interval) for name, interval in intervals.items()}}


def _metadata(
    run: TrainingRun, learn: Labelled, check: Labelled, scores: dict[str, Any]
) -> Metadata:
    recipe = run.recipe
    return Metadata(
        name=recipe.name,
        version=recipe.version,
        classes=recipe.classes,
        shape=recipe.shape,
        architecture=recipe.architecture,
        preprocessing=preprocessing(recipe),
        recipe={**asdict(recipe), "seed": run.seed},
        data=_data_facts(run, learn, check),
        scores={LEAKING_SCORES if recipe.protocol == "random" else "validation": scores},
        libraries=_libraries(),
        intended_use=NOT_A_PRODUCT if recipe.protocol == "random" else recipe.intended_use,
    )


def preprocessing(recipe: Recipe) -> Preprocessing:
    """How a file becomes the network's input; the scaling is part of the network itself."""
    if not recipe.locate:
        return Preprocessing(doubt=recipe.doubt)
    return Preprocessing.located(recipe.margin, recipe.doubt, recipe.span)


def _data_facts(run: TrainingRun, learn: Labelled, check: Labelled) -> dict[str, Any]:
    samples = [*learn.samples, *check.samples]
    leaking = run.recipe.protocol == "random"
    return {
        "sources": sorted({sample.source for sample in samples}),
        "sha256": data_hash(samples),
        "training": counts(learn.samples),
        "validation": counts(check.samples),
        "few_shot": list(run.recipe.few_shot),
        "leaking": leaking,
        "split": {
            "protocol": run.recipe.protocol,
            "share": RANDOM_SHARE if leaking else run.recipe.validation,
            "seed": run.seed,
            "held_out_sha256": data_hash(check.samples),
        },
    }


def _libraries() -> dict[str, str]:
    return {"python": platform.python_version(), **{n: version(n) for n in LIBRARIES}}
