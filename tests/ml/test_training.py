"""A tiny real training run, and how training refuses to start."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from pathlib import Path

import h5py
import keras
import numpy as np
import pytest
from numpy.typing import NDArray

from ml.bundle import NOTICE, Bundle
from ml.dataset import DataError, LeakingSplit, Sample, group_of, read_folder
from ml.fitting import Run, TrainingFailed, train_everything
from ml.inference import load_classifier
from ml.loading import Labelled, load
from ml.recipes import load_recipe
from ml.training import split, train

RECIPE = load_recipe("wbc4")


def silent(stage: str, done: float, note: str) -> None:
    """Show no progress."""


def log(run: Path) -> list[dict[str, float | str]]:
    return [json.loads(line) for line in (run / "log.jsonl").read_text().splitlines()]


def normalizations(path: Path) -> list[list[NDArray[np.float32]]]:
    """Gamma, beta, mean and variance of every batch norm of a weights file, in its order."""
    with h5py.File(path) as file:
        layers = file["layers"]
        names = [name for name in layers if "normalization" in name]
        order = sorted(names, key=lambda name: int((re.findall(r"\d+$", name) or ["0"])[0]))
        return [[layers[name]["vars"][str(i)][()] for i in range(4)] for name in order]


def test_a_run_leaves_a_bundle_that_classifies(tiny_run: Path) -> None:
    bundle = Bundle.load(tiny_run / "bundle")
    shape = bundle.metadata.shape
    batch = np.zeros((3, shape.height, shape.width, 3), np.uint8)
    assert load_classifier(bundle, device="cpu").classify(batch).shape == (3, 4)


def test_a_bundle_records_how_it_was_made(tiny_run: Path) -> None:
    metadata = Bundle.load(tiny_run / "bundle").metadata
    assert metadata.recipe["passes"] == 2
    assert metadata.recipe["shape"] == {"height": 64, "width": 64}
    assert metadata.recipe["seed"] == 0
    assert sum(metadata.data["training"].values()) == 32
    assert sum(metadata.data["validation"].values()) == 16
    assert len(metadata.data["sha256"]) == 64
    assert 0 <= metadata.scores["validation"]["accuracy"] <= 1
    assert metadata.libraries["keras"] == keras.__version__
    assert metadata.notice == NOTICE


def test_every_pass_is_logged_and_kept(tiny_run: Path) -> None:
    passes = [entry["pass"] for entry in log(tiny_run) if entry["stage"] == "everything"]
    kept = sorted(path.name for path in (tiny_run / "checkpoints").iterdir())
    assert passes == [1, 2]
    assert kept == [f"pass-{number:02}.weights.h5" for number in passes]


def test_training_teaches_the_network_something(tiny_run: Path) -> None:
    losses = [float(entry["loss"]) for entry in log(tiny_run) if entry["stage"] == "head"]
    assert losses[-1] < losses[0]


def test_training_moves_gamma_and_beta_but_no_statistic(tiny_run: Path, imagenet: Path) -> None:
    trained = normalizations(tiny_run / "checkpoints" / "pass-02.weights.h5")
    before = normalizations(imagenet)
    assert len(trained) == len(before) == 52
    for (gamma, beta, mean, variance), old in zip(trained, before, strict=True):
        assert not np.array_equal(gamma, old[0])
        assert not np.array_equal(beta, old[1])
        assert np.array_equal(mean, old[2])
        assert np.array_equal(variance, old[3])


def test_no_photograph_is_both_learned_from_and_checked_by(bccd4: list[Sample], data: Path) -> None:
    training, validation = split(RECIPE, [*bccd4, *read_folder(data / "pbc8")], seed=0)
    assert not {group_of(s) for s in training} & {group_of(s) for s in validation}
    assert {s.split for s in training} == {"train"}
    assert {s.split for s in validation} == {"train", "val"}
    assert {s.label for s in training} == {s.label for s in validation} == set(RECIPE.classes)


def test_images_of_unknown_photographs_are_not_trained_on(bccd4: list[Sample]) -> None:
    with pytest.raises(LeakingSplit, match="unknown which photograph"):
        split(RECIPE, [replace(sample, group=None) for sample in bccd4], seed=0)


def test_a_missing_class_is_named_before_anything_is_written(
    small_set: Path, tmp_path: Path
) -> None:
    samples = [s for s in read_folder(small_set) if s.label != "monocyte"]
    out = tmp_path / "run"
    with pytest.raises(DataError, match="no images of monocyte"):
        train(Run(RECIPE, samples, out, None, 0, silent))
    assert not out.exists()


def test_a_run_never_overwrites_another(small_set: Path, tmp_path: Path) -> None:
    with pytest.raises(TrainingFailed, match="exists already"):
        train(Run(RECIPE, read_folder(small_set), tmp_path, None, 0, silent))


def test_an_unreadable_training_image_is_named(small_set: Path, tmp_path: Path) -> None:
    bad = tmp_path / "bad.jpg"
    bad.write_bytes(b"")
    sample = replace(read_folder(small_set)[0], path=bad)
    with pytest.raises(DataError, match=r"bad\.jpg can't be learned from .* The file is empty"):
        load([sample], RECIPE.classes, RECIPE.shape, silent)


def test_a_loss_that_is_no_number_ends_the_run(tmp_path: Path, small_set: Path) -> None:
    (tmp_path / "checkpoints").mkdir()
    recipe = replace(RECIPE, jitter=None, passes=1)
    run = Run(recipe, [], tmp_path, None, 0, silent)
    image = keras.Input((8, 8, 3))
    network = keras.Model(image, keras.layers.Dense(4)(keras.layers.Flatten()(image)) * np.nan)
    samples = tuple(read_folder(small_set)[:4])
    data = Labelled(samples, np.zeros((4, 8, 8, 3), np.uint8), np.arange(4))
    with pytest.raises(TrainingFailed, match="not a number"):
        train_everything(run, network, data, data)
