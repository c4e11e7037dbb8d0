"""Changes of the last layer mend what a new laboratory shifts, and touch no class it has not."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from ml.adaptation.refitting import Cells, best_turned, minimum, recalibrated, turned
from ml.answers import Outputs

WIDTH, COUNT = 24, 4
Floats = NDArray[np.float64]


def layer() -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """A last layer that reads class k off feature k."""
    return (6 * np.eye(WIDTH, COUNT)).astype(np.float32), np.zeros(COUNT, np.float32)


def cells(count: int, seed: int, classes: int = 3, temperature: float = 1.0) -> Cells:
    """Cells of the first classes in another light: the features of class 1 look like those of
    class 0, but for another feature."""
    rng = np.random.default_rng(seed)
    truth = np.arange(count) % classes
    features = np.eye(COUNT, WIDTH)[truth] + 0.15 * rng.normal(size=(count, WIDTH))
    features[truth == 1] += 1.2 * np.eye(WIDTH)[0] + 0.8 * np.eye(WIDTH)[9]
    kernel, bias = layer()
    logits = (features @ kernel + bias).astype(np.float32)
    photographs = tuple(f"{number // 6}/{number % classes}" for number in range(count))
    outputs = Outputs(logits, features.astype(np.float32))
    return Cells(outputs, truth.astype(np.int64), photographs, temperature)


def right(logits: NDArray[np.float32], truth: NDArray[np.int64]) -> float:
    """The share that is classified rightly."""
    return float((logits.argmax(axis=1) == truth).mean())


def test_the_minimum_of_a_crooked_bowl_is_found() -> None:
    rng = np.random.default_rng(0)
    turn = np.linalg.qr(rng.normal(size=(30, 30)))[0]
    bowl = turn @ np.diag(np.logspace(-1, 1.5, 30)) @ turn.T
    bottom = rng.normal(size=30)

    def slope(point: Floats) -> tuple[float, Floats]:
        away = point - bottom
        return float(away @ bowl @ away) / 2, bowl @ away

    assert minimum(slope, np.zeros(30)) == pytest.approx(bottom, abs=1e-3)


def test_a_start_at_the_bottom_stays() -> None:
    assert not minimum(lambda point: (0.0, np.zeros(3)), np.zeros(3)).any()


def test_recalibration_finds_more_of_a_class_that_is_overlooked() -> None:
    new = cells(300, 1)
    change = recalibrated(cells(90, 0))
    before, after = new.outputs.logits, change.logits(new.outputs)
    assert right(before, new.truth) < 0.8
    assert right(after, new.truth) > right(before, new.truth) + 0.1


def test_a_turned_head_finds_what_recalibration_can_not() -> None:
    new, few = cells(300, 1), cells(90, 0)
    folds = np.array([hash_of % 3 for hash_of in np.arange(90) // 6])
    change = best_turned(few, folds)
    assert right(change.logits(new.outputs), new.truth) > 0.97


def test_a_stronger_pull_changes_less() -> None:
    few = cells(60, 0)
    lengths = [np.linalg.norm(turned(few, spread).kernel) for spread in (0.1, 1.0, 10.0)]
    assert lengths[0] < lengths[1] < lengths[2]
    assert np.abs(turned(few, 1e-4).kernel).max() < 1e-4


@pytest.mark.parametrize("temperature", [1.0, 2.5])
def test_a_changed_layer_gives_what_the_change_says(temperature: float) -> None:
    few = cells(60, 0, temperature=temperature)
    for change in (recalibrated(few), turned(few, 3.0)):
        kernel, bias = change.layer(*layer())
        by_layer = few.outputs.features @ kernel + bias
        assert by_layer == pytest.approx(change.logits(few.outputs), abs=1e-3)


def test_a_class_without_cells_neither_gains_nor_loses() -> None:
    few = cells(60, 0)
    scaled, head = recalibrated(few), turned(few, 3.0)
    for bias in (scaled.bias, head.bias):
        assert bias[3] == 0
        assert bias.sum() == pytest.approx(0, abs=1e-6)
    assert not head.kernel[:, 3].any()
    assert np.abs(head.kernel.sum(axis=1)).max() < 1e-6


def test_cells_are_weighed_by_classes_and_photographs() -> None:
    outputs = Outputs(np.zeros((4, 2), np.float32), np.zeros((4, 2), np.float32))
    few = Cells(outputs, np.array([0, 0, 0, 1]), ("a", "a", "b", "c"))
    assert few.weights.tolist() == pytest.approx([0.5, 0.5, 1, 2])
