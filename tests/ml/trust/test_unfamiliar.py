"""Gates tell strangers from cells, come back from a file as they were, and refuse damaged ones."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from benchmarks.gates import Energy, Fitted, Mahalanobis
from ml.answers import Outputs
from ml.metrics import auroc
from ml.trust import TooFewCells, TrustMismatch
from ml.trust.unfamiliar import MOST_REFERENCES, Nearest, gate_of

WIDTH = 40
Arrays = dict[str, NDArray[Any]]
Cells = tuple[Outputs, NDArray[np.int64], list[str]]


def cells(count: int, seed: int, spread: float = 0.3) -> Cells:
    """Cells of three classes, each around a direction of its own, each of its own photograph."""
    rng = np.random.default_rng(seed)
    truth = rng.integers(0, 3, count)
    features = np.eye(3, WIDTH)[truth] * 5 + rng.normal(size=(count, WIDTH)) * spread
    logits = features[:, :3] * 2
    names = [f"photograph {number}" for number in range(count)]
    return outputs(logits, features), truth, names


def strangers(count: int) -> Outputs:
    """Images whose features point elsewhere and speak for no class."""
    features = np.random.default_rng(9).normal(size=(count, WIDTH))
    features[:, :3] = 0
    return outputs(features[:, :3], features)


def outputs(logits: NDArray[Any], features: NDArray[Any]) -> Outputs:
    """What a network would give."""
    return Outputs(logits.astype(np.float32), features.astype(np.float32))


@pytest.fixture
def nearest() -> Nearest:
    """The gate that bundles carry, fitted on some cells."""
    return Nearest.fit(*cells(300, 0))


@pytest.fixture(params=["nearest", "mahalanobis", "energy"])
def gate(request: pytest.FixtureRequest, nearest: Nearest) -> Fitted:
    """The gate that bundles carry and those that it is compared with, fitted on the same cells."""
    learned, truth, _ = cells(300, 0)
    gates: dict[str, Fitted] = {
        "nearest": nearest,
        "mahalanobis": Mahalanobis.fit(learned, truth),
        "energy": Energy(),
    }
    return gates[request.param]


def test_strangers_lie_farther_than_new_cells(gate: Fitted) -> None:
    near, far = gate.distance(cells(200, 1)[0]), gate.distance(strangers(200))
    assert near.dtype == np.float32
    assert near.shape == (200,)
    assert auroc(far.astype(np.float64), near.astype(np.float64)) > 0.99


def test_an_image_is_as_far_in_any_company(gate: Fitted) -> None:
    answers = cells(20, 1)[0]
    alone = [
        gate.distance(
            Outputs(answers.logits[index : index + 1], answers.features[index : index + 1])
        )
        for index in range(20)
    ]
    assert np.allclose(np.concatenate(alone), gate.distance(answers), rtol=1e-4)


def test_no_images_have_no_distances(gate: Fitted) -> None:
    answers = cells(1, 1)[0]
    none = Outputs(answers.logits[:0], answers.features[:0])
    assert gate.distance(none).shape == (0,)


def test_a_gate_comes_back_from_its_arrays_to_the_last_digit(nearest: Nearest) -> None:
    again = gate_of(nearest.kind, nearest.arrays())
    answers = cells(50, 2)[0]
    assert again.distance(answers).tolist() == nearest.distance(answers).tolist()


def test_an_unknown_gate_is_named() -> None:
    with pytest.raises(TrustMismatch, match=r"no gate 'guess'. This program knows nearest"):
        gate_of("guess", {})


def test_features_of_another_network_are_refused(nearest: Nearest) -> None:
    other = outputs(np.zeros((2, 3)), np.zeros((2, WIDTH + 1)))
    with pytest.raises(TrustMismatch, match="40 features and the network gives 41"):
        nearest.distance(other)


def test_features_that_are_all_zero_have_a_finite_distance(gate: Fitted) -> None:
    assert np.isfinite(gate.distance(outputs(np.zeros((1, 3)), np.zeros((1, WIDTH))))).all()


def test_length_of_features_says_nothing() -> None:
    fitted = Nearest.fit(*cells(100, 0))
    answers = cells(20, 1)[0]
    longer = Outputs(answers.logits, answers.features * 7)
    assert np.allclose(fitted.distance(longer), fitted.distance(answers), rtol=1e-3)


def test_a_loose_set_does_not_open_the_gate_round_a_tight_one() -> None:
    """Half the cells lie ten times closer together; what lies a little off them is a stranger."""
    rng = np.random.default_rng(0)

    def around(axis: int, spread: float, count: int) -> NDArray[np.float64]:
        return np.asarray(np.eye(WIDTH)[axis] * 5 + rng.normal(size=(count, WIDTH)) * spread)

    learned = np.concatenate([around(0, 0.05, 150), around(1, 0.5, 150)])
    truth = np.repeat([0, 1], 150)
    names = [str(number) for number in range(300)]
    fitted = Nearest.fit(outputs(learned[:, :2], learned), truth, names)
    features = np.concatenate([around(0, 0.05, 200), around(1, 0.5, 200)])
    off = around(0, 0.25, 200)
    threshold = np.quantile(fitted.distance(outputs(features[:, :2], features)), 0.95)
    assert (fitted.distance(outputs(off[:, :2], off)) > threshold).mean() > 0.99


def test_copies_of_one_photograph_are_no_neighbours_of_each_other() -> None:
    """Twelve copies of each cell, with nothing between them, leave the spreads as they were."""
    once, truth, names = cells(60, 0)
    many = outputs(np.repeat(once.logits, 12, 0), np.repeat(once.features, 12, 0))
    fitted = Nearest.fit(many, np.repeat(truth, 12), np.repeat(names, 12).tolist())
    assert fitted.spreads.min() > 0.05


def test_references_of_too_few_photographs_are_refused() -> None:
    answers, truth, _ = cells(60, 0)
    with pytest.raises(TooFewCells, match="more than 10 photographs"):
        Nearest.fit(answers, truth, ["one", "two"] * 30)


def test_the_references_stay_small_and_no_rare_class_is_crowded_out() -> None:
    answers, truth, names = cells(MOST_REFERENCES + 300, 0)
    truth = np.where(np.arange(len(truth)) < 20, 3, truth)
    few = outputs(answers.logits, answers.features)
    few.features[:20] = np.eye(WIDTH)[20] + np.random.default_rng(0).normal(size=(20, WIDTH)) / 50
    fitted = Nearest.fit(few, truth, names)
    assert len(fitted.references) == MOST_REFERENCES
    rare = Outputs(few.logits[:20], few.features[:20])
    assert fitted.distance(rare).max() < 2


@pytest.mark.parametrize(
    ("name", "change"),
    [
        ("centre", lambda array: array[:-1]),
        ("axes", lambda array: array[:, :-1]),
        ("axes", lambda array: array.ravel()),
        ("references", lambda array: array[:-1]),
        ("references", lambda array: array[:, :-1]),
        ("references", lambda array: array.astype(np.int16)),
        ("spreads", lambda array: -array),
        ("spreads", lambda array: array * np.nan),
        ("neighbours", lambda array: np.array([5, 5])),
        ("neighbours", lambda array: np.array(0)),
        ("neighbours", lambda array: np.array(10_000)),
        ("neighbours", lambda array: np.array("5")),
    ],
)
def test_arrays_of_another_kind_are_refused(
    name: str, change: Callable[[NDArray[Any]], NDArray[Any]]
) -> None:
    arrays: Arrays = Nearest.fit(*cells(100, 0)).arrays()
    with pytest.raises(TrustMismatch, match="Fetch the bundle again"):
        gate_of("nearest", {**arrays, name: change(arrays[name])})


def test_a_missing_array_is_named(nearest: Nearest) -> None:
    arrays: Arrays = nearest.arrays()
    for name in arrays:
        rest = {other: array for other, array in arrays.items() if other != name}
        with pytest.raises(TrustMismatch, match=name):
            gate_of("nearest", rest)
