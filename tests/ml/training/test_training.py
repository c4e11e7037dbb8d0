"""A tiny whole training run, what it leaves behind, and how training refuses to start."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest
from numpy.typing import NDArray

from lexicon.words import NOTICE
from ml.bundle import Bundle
from ml.data import DataError, read_folder
from ml.data.dataset import data_hash, random_protocol
from ml.data.loading import load
from ml.serving import load_classifier
from ml.training.fitting import LAST, Course, Interrupted, TrainingFailed, TrainingRun
from ml.training.recipes.recipe import Recipe, leaking
from ml.training.runs import read_log
from ml.training.train import LEAKING_SCORES, preprocessing, train


def silent(stage: str, done: float, note: str) -> None:
    """Show no progress."""


def interrupting(stage: str, share: float) -> Callable[[str, float, str], None]:
    """A report that interrupts a run in that stage, after that share of it."""

    def report(now: str, done: float, note: str) -> None:
        if now == stage and done > share:
            raise KeyboardInterrupt

    return report


def passes(run: Path) -> list[dict[str, Any]]:
    """What a run's own log says, but for the time."""
    lines = [json.loads(line) for line in (run / "log.jsonl").read_text().splitlines()]
    return [{name: value for name, value in line.items() if name != "seconds"} for line in lines]


def normalizations(weights: dict[str, NDArray[Any]]) -> list[list[NDArray[np.float32]]]:
    """Gamma, beta, mean and deviation of every convolution."""
    names = sorted({name.rsplit("/", 1)[0] for name in weights if re.search("gamma$", name)})
    parts = ("gamma", "beta", "mean", "deviation")
    return [[weights[f"{name}/{part}"] for part in parts] for name in names]


def test_a_run_leaves_a_bundle_that_classifies(tiny_run: Path) -> None:
    bundle = Bundle.load(tiny_run / "bundle")
    shape = bundle.metadata.shape
    batch = np.zeros((3, shape.height, shape.width, 3), np.uint8)
    assert load_classifier(bundle, device="cpu").classify(batch).logits.shape == (3, 4)


def test_a_bundle_records_how_it_was_made(tiny_run: Path) -> None:
    metadata = Bundle.load(tiny_run / "bundle").metadata
    assert metadata.recipe["passes"] == 2
    assert metadata.recipe["shape"] == {"height": 32, "width": 32}
    assert metadata.recipe["seed"] == 0
    assert sum(metadata.data["training"].values()) == 32
    assert sum(metadata.data["validation"].values()) == 16
    assert len(metadata.data["sha256"]) == 64
    assert metadata.data["leaking"] is False
    assert metadata.data["split"]["protocol"] == "grouped"
    assert 0 <= metadata.scores["validation"]["accuracy"] <= 1
    assert metadata.libraries["keras"] == keras.__version__
    assert metadata.notice == NOTICE


def test_a_run_is_logged_with_all_that_the_table_needs(tiny_run: Path, recipe: Recipe) -> None:
    bundle = Bundle.load(tiny_run / "bundle")
    (entry,) = read_log(tiny_run.parent / "log.jsonl")
    assert entry["state"] == "finished"
    assert entry["recipe"] == json.loads(json.dumps(asdict(recipe)))
    assert entry["data"] == bundle.metadata.data["sha256"]
    assert entry["bundle"] == bundle.digest
    assert entry["scores"]["accuracy"] == bundle.metadata.scores["validation"]["accuracy"]
    assert (entry["seed"], entry["passes"], entry["out"]) == (0, 2, "tiny")


def test_every_pass_is_logged_and_the_last_is_kept(tiny_run: Path) -> None:
    stages = [(entry["stage"], entry["pass"]) for entry in passes(tiny_run)]
    assert stages == [("head", 1), ("head", 2), ("everything", 1), ("everything", 2)]
    assert [path.name for path in (tiny_run / "checkpoints").iterdir()] == [LAST]
    assert Course.load(tiny_run / "checkpoints").done == 2


def test_training_moves_gamma_and_beta_but_no_statistic(tiny_run: Path) -> None:
    state = Course.load(tiny_run / "checkpoints").state
    trained = normalizations(state)
    assert len(trained) == 52
    for gamma, beta, mean, deviation in trained:
        # As the small weights have it.
        assert not np.array_equal(gamma, np.full_like(gamma, 4))
        assert not np.array_equal(beta, np.zeros_like(beta))
        assert np.array_equal(mean, np.zeros_like(mean))
        assert np.array_equal(deviation, np.full_like(deviation, np.sqrt(1.001)))


@pytest.mark.usefixtures("uncompiled")
@pytest.mark.parametrize(("stage", "done"), [("head", 0), ("everything", 1)])
def test_an_interrupted_run_is_resumed_to_the_same_bundle(
    tiny_run: Path,
    small_set: Path,
    small_weights: Path,
    recipe: Recipe,
    tmp_path: Path,
    stage: str,
    done: int,
) -> None:
    report, small = interrupting(stage, 0.5), replace(recipe, int8=True)
    run = TrainingRun(small, read_folder(small_set), tmp_path / "run", small_weights, 0, report)
    with pytest.raises(Interrupted, match="add --resume to the same command"):
        train(run)
    assert not (run.out / "bundle").exists()
    assert done == 0 or Course.load(run.checkpoints).done == done
    train(replace(run, report=silent, resume=True))
    ours, whole = (Course.load(out / "checkpoints").state for out in (run.out, tiny_run))
    assert all(np.array_equal(ours[name], whole[name]) for name in whole)
    assert passes(run.out)[-1] == passes(tiny_run)[-1]
    scores = [Bundle.load(out / "bundle").metadata.scores for out in (run.out, tiny_run)]
    assert scores[0] == scores[1]
    made = Bundle.load(run.out / "bundle")
    assert made.metadata.int8["images"] == sum(made.metadata.data["validation"].values())
    assert (made.int8 is not None) == made.metadata.int8["used"]
    (entry,) = read_log(tmp_path / "log.jsonl")
    assert entry["state"] == "finished"
    with pytest.raises(TrainingFailed, match="is finished"):
        train(replace(run, resume=True))


@pytest.mark.usefixtures("uncompiled")
def test_a_run_is_not_resumed_with_another_recipe_or_seed(
    small_set: Path, small_weights: Path, recipe: Recipe, tmp_path: Path
) -> None:
    report = interrupting("features", 0)
    run = TrainingRun(recipe, read_folder(small_set), tmp_path / "run", small_weights, 0, report)
    with pytest.raises(Interrupted):
        train(run)
    with pytest.raises(TrainingFailed, match=r"already exists. .* or continue it with --resume"):
        train(run)
    other = replace(run, resume=True, recipe=replace(recipe, rate=0.1), seed=1)
    with pytest.raises(TrainingFailed, match="another recipe and another seed"):
        train(other)


def test_only_a_run_that_was_begun_is_resumed(
    small_set: Path, recipe: Recipe, tmp_path: Path
) -> None:
    run = TrainingRun(
        recipe, read_folder(small_set), tmp_path / "run", None, 0, silent, resume=True
    )
    with pytest.raises(TrainingFailed, match="no run to resume"):
        train(run)


@pytest.mark.usefixtures("uncompiled")
def test_a_bundle_by_the_leaking_protocol_can_not_be_taken_for_a_product(
    small_set: Path, small_weights: Path, recipe: Recipe, tmp_path: Path
) -> None:
    samples = read_folder(small_set)
    published = leaking(replace(recipe, passes=0, head_passes=1))
    bundle = train(TrainingRun(published, samples, tmp_path / "run", small_weights, 3, silent))
    held = random_protocol(samples, recipe.classes, 3)[1]
    assert bundle.metadata.name == "tiny-leaking"
    assert bundle.metadata.data["leaking"] is True
    assert bundle.metadata.data["split"] == {
        "protocol": "random",
        "share": 0.3,
        "seed": 3,
        "held_out_sha256": data_hash(held),
    }
    assert list(bundle.metadata.scores) == [LEAKING_SCORES]
    assert "leaks" in bundle.metadata.intended_use
    (entry,) = read_log(tmp_path / "log.jsonl")
    assert entry["leaking"] is True


def test_a_missing_class_is_named_before_anything_is_written(
    small_set: Path, recipe: Recipe, tmp_path: Path
) -> None:
    samples = [s for s in read_folder(small_set) if s.label != "monocyte"]
    out = tmp_path / "run"
    with pytest.raises(DataError, match="no images of monocyte"):
        train(TrainingRun(recipe, samples, out, None, 0, silent))
    assert not out.exists()


def test_a_run_never_overwrites_another(small_set: Path, recipe: Recipe, tmp_path: Path) -> None:
    with pytest.raises(TrainingFailed, match="already exists"):
        train(TrainingRun(recipe, read_folder(small_set), tmp_path, None, 0, silent))


def test_an_unreadable_training_image_is_named(
    small_set: Path, recipe: Recipe, tmp_path: Path
) -> None:
    bad = tmp_path / "bad.jpg"
    bad.write_bytes(b"")
    sample = replace(read_folder(small_set)[0], path=bad)
    with pytest.raises(DataError, match=r"bad\.jpg can't be used: The file is empty"):
        load([sample], recipe.classes, recipe.shape, preprocessing(recipe), silent)
