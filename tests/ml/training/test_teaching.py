"""Teaching a network of a few weights: averages, patience, and going on after a break."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest
from numpy.typing import NDArray

from ml.data import Labelled, Sample
from ml.decoding import InputShape
from ml.training.fitting import (
    LAST,
    Course,
    TrainingFailed,
    TrainingRun,
    features,
    train_everything,
    train_head,
)
from ml.training.recipes.recipe import Recipe
from ml.training.teacher import (
    CheckpointUnreadable,
    Teacher,
    falling,
    restore_checkpoint,
    save_checkpoint,
)


def silent(stage: str, done: float, note: str) -> None:
    """Show no progress."""


@pytest.fixture
def short(recipe: Recipe) -> Recipe:
    """Six passes over images of 8 by 8."""
    return replace(recipe, shape=InputShape(8, 8), jitter=None, passes=6, rate=0.01, head_rate=0.01)


@pytest.fixture
def data(recipe: Recipe) -> Labelled:
    """48 images, each of its class's colour with noise."""
    rng = np.random.default_rng(0)
    truth = np.arange(48, dtype=np.int64) % 4
    colours = np.array([[200, 50, 50], [50, 200, 50], [50, 50, 200], [200, 200, 50]])
    images = colours[truth][:, None, None] + rng.integers(-50, 50, (48, 8, 8, 3))
    names = [recipe.classes[number] for number in truth]
    samples = [Sample(Path("x"), f"{n}", name, "a", "", f"{n}") for n, name in enumerate(names)]
    return Labelled(tuple(samples), images.astype(np.uint8), truth)


def network(scale: float = 1 / 255) -> keras.Model:
    """A scaling, a hidden layer, dropout and a softmax; the same weights each time."""
    keras.utils.set_random_seed(0)
    image = keras.Input((8, 8, 3))
    flat = keras.layers.Flatten(name="flat")(keras.layers.Rescaling(scale)(image))
    hidden = keras.layers.Dense(8, activation="relu", name="hidden")(flat)
    dropped = keras.layers.Dropout(0.3)(hidden)
    return keras.Model(image, keras.layers.Dense(4, activation="softmax", name="head")(dropped))


def taught(
    run: TrainingRun, data: Labelled, course: Course | None = None, net: keras.Model | None = None
) -> keras.Model:
    """A network after all passes over everything."""
    net = net or network()
    run.checkpoints.mkdir(parents=True, exist_ok=True)
    train_everything(run, net, data, data, course or Course())
    return net


def weights(net: keras.Model) -> NDArray[np.float32]:
    return np.concatenate([np.ravel(weight) for weight in net.get_weights()])


def logged(out: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (out / "log.jsonl").read_text().splitlines()]


def stopping(passes: int) -> Callable[[str, float, str], None]:
    """A report that interrupts a run of six passes in the middle of the one after so many."""

    def report(stage: str, done: float, note: str) -> None:
        if done > (passes + 0.5) / 6:
            raise KeyboardInterrupt

    return report


def test_training_teaches_the_network_something(
    short: Recipe, data: Labelled, tmp_path: Path
) -> None:
    taught(TrainingRun(replace(short, rate=0.03), [], tmp_path, None, 0, silent), data)
    entries = logged(tmp_path)
    assert [entry["pass"] for entry in entries] == [1, 2, 3, 4, 5, 6]
    assert entries[-1]["loss"] < 0.8 * entries[0]["loss"]
    assert entries[-1]["recall"] > 0.9
    assert entries[-1]["sources"]["a"]["monocyte"]["support"] == 12


def test_a_resumed_run_ends_with_the_weights_of_an_unbroken_one(
    short: Recipe, data: Labelled, tmp_path: Path
) -> None:
    recipe = replace(short, average=0.9, mix=0.5, patience=5)
    whole = taught(TrainingRun(recipe, [], tmp_path / "whole", None, 0, silent), data)
    broken = TrainingRun(recipe, [], tmp_path / "broken", None, 0, stopping(3))
    with pytest.raises(KeyboardInterrupt):
        taught(broken, data)
    course = Course.load(broken.checkpoints)
    assert course.done == 3
    resumed = taught(replace(broken, report=silent), data, course)
    assert np.array_equal(weights(resumed), weights(whole))
    passes = [
        [{k: v for k, v in entry.items() if k != "seconds"} for entry in logged(tmp_path / name)]
        for name in ("whole", "broken")
    ]
    assert passes[0] == passes[1]


def test_another_seed_gives_other_weights(short: Recipe, data: Labelled, tmp_path: Path) -> None:
    first, second = (
        taught(TrainingRun(short, [], tmp_path / str(seed), None, seed, silent), data)
        for seed in (0, 1)
    )
    assert not np.allclose(weights(first), weights(second))


def test_training_stops_when_nothing_gets_better_and_keeps_the_best(
    short: Recipe, data: Labelled, tmp_path: Path
) -> None:
    recipe = replace(short, passes=40, rate=1.0, patience=3)
    run = TrainingRun(recipe, [], tmp_path, None, 0, silent)
    net = taught(run, data)
    course = Course.load(run.checkpoints)
    assert course.done == course.best_pass + 3 < 40
    scores = [(entry["recall"], -entry["nll"]) for entry in logged(tmp_path)]
    assert max(scores) == scores[course.best_pass - 1]
    for weight in net.weights:
        assert np.array_equal(weight.numpy(), course.best_weights[weight.path])


def test_without_patience_the_last_pass_counts(
    short: Recipe, data: Labelled, tmp_path: Path
) -> None:
    run = TrainingRun(replace(short, passes=8, rate=1.0), [], tmp_path, None, 0, silent)
    net = taught(run, data)
    state = Course.load(run.checkpoints).state
    for weight in net.weights:
        assert np.array_equal(weight.numpy(), state[f"weights/{weight.path}"])


def test_the_average_lags_behind_and_is_what_is_kept(
    short: Recipe, data: Labelled, tmp_path: Path
) -> None:
    run = TrainingRun(replace(short, average=0.9), [], tmp_path, None, 0, silent)
    net = taught(run, data)
    state = Course.load(run.checkpoints).state
    averages = [state[f"average/{n:03}"] for n in range(len(net.trainable_variables))]
    for variable, average in zip(net.trainable_variables, averages, strict=True):
        assert np.array_equal(variable.numpy(), average)
        assert not np.array_equal(variable.numpy(), state[f"weights/{variable.path}"])


def test_an_average_follows_closely_at_first_and_slowly_later() -> None:
    net = network()
    teacher = Teacher(net, 0.1, momentum=0.5)
    batch = (np.ones((2, 8, 8, 3), np.float32), np.eye(4, dtype=np.float32)[:2])
    expected = np.array(net.get_layer("head").bias.numpy())
    for step in range(1, 12):
        teacher.learn(batch)
        share = min(0.5, (1 + step) / (10 + step))
        expected = share * expected + (1 - share) * np.array(net.get_layer("head").bias.numpy())
    with teacher.averaged():
        assert np.array(net.get_layer("head").bias.numpy()) == pytest.approx(expected, abs=1e-5)


def test_the_networks_own_weights_come_back_after_the_averaged_ones() -> None:
    net = network()
    teacher = Teacher(net, 0.1, momentum=0.5)
    teacher.learn((np.ones((2, 8, 8, 3), np.float32), np.eye(4, dtype=np.float32)[:2]))
    before = weights(net)
    with teacher.averaged():
        assert not np.array_equal(weights(net), before)
    assert np.array_equal(weights(net), before)


def test_a_loss_that_is_no_number_ends_the_run_and_leaves_the_last_good_checkpoint(
    short: Recipe, data: Labelled, tmp_path: Path
) -> None:
    run = TrainingRun(short, [], tmp_path, None, 0, silent)
    with pytest.raises(TrainingFailed, match=r"no longer a number \(stage everything, pass 1"):
        taught(run, data, net=network(scale=np.inf))
    assert Course.load(run.checkpoints).done == 0
    assert [path.name for path in run.checkpoints.iterdir()] == [LAST]
    assert not (tmp_path / "log.jsonl").exists()


def test_the_head_learns_from_features_that_are_computed_once(
    short: Recipe, data: Labelled, tmp_path: Path
) -> None:
    run = TrainingRun(replace(short, head_passes=8), [], tmp_path, None, 0, silent)
    run.checkpoints.mkdir()
    net = network()
    before = net.get_layer("hidden").get_weights()
    train_head(run, net, data, data)
    losses = [entry["loss"] for entry in logged(tmp_path) if entry["stage"] == "head"]
    assert losses[-1] < losses[0]
    # The boundary is the flat layer; in this network a hidden layer comes after it.
    assert not np.array_equal(before[0], net.get_layer("hidden").get_weights()[0])
    stored = np.load(run.checkpoints / "features.npy")
    assert stored.dtype == np.float16
    assert stored.shape == (48, 8 * 8 * 3)
    assert stored == pytest.approx(data.images.reshape(48, -1) / 255, abs=1e-3)


def test_features_that_are_there_are_not_computed_again(
    short: Recipe, data: Labelled, tmp_path: Path
) -> None:
    run = TrainingRun(short, [], tmp_path, None, 0, silent)
    run.checkpoints.mkdir()
    np.save(run.checkpoints / "features.npy", np.full((48, 2), 7, np.float16))
    base = network()
    assert np.array_equal(features(run, base, data.images, "features"), np.full((48, 2), 7))


def test_the_rate_rises_and_falls_to_nothing() -> None:
    rate = falling(0.1, 100, 20)
    rates = [float(rate(step)) for step in range(101)]
    assert rates[0] == pytest.approx(0.01)
    assert max(rates) == pytest.approx(0.1) == rates[20]
    assert rates[100] == pytest.approx(0, abs=1e-6)
    assert float(falling(0.1, 100)(0)) == pytest.approx(0.1)


def test_a_rate_falls_no_lower_than_it_is_told_to() -> None:
    half, steady = falling(0.1, 100, 20, 0.5), falling(0.1, 100, 20, 1.0)
    assert float(half(99)) == pytest.approx(0.05, rel=0.01)
    assert [float(steady(step)) for step in (20, 60, 99)] == pytest.approx([0.1] * 3)
    assert float(steady(0)) == pytest.approx(0.01)


def test_a_damaged_checkpoint_is_named(tmp_path: Path) -> None:
    path = tmp_path / LAST
    save_checkpoint(path, {"weights/a": np.ones(3)}, {"done": 1})
    arrays, facts = restore_checkpoint(path)
    assert (arrays["weights/a"].tolist(), facts) == ([1, 1, 1], {"done": 1})
    path.write_bytes(path.read_bytes()[:50])
    with pytest.raises(CheckpointUnreadable, match=r"last\.npz can't be read"):
        restore_checkpoint(path)


def test_a_checkpoint_of_another_network_is_refused(tmp_path: Path) -> None:
    teacher = Teacher(network(), 0.1)
    state = teacher.state()
    state.popitem()
    with pytest.raises(CheckpointUnreadable, match="another network"):
        teacher.take(state)
