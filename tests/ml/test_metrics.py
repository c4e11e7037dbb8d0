"""Scores against values worked out by hand, and properties that hold for all inputs."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from ml.metrics import (
    accuracy,
    auroc,
    balanced_accuracy,
    bounds,
    class_intervals,
    confusion_matrix,
    macro_f1,
    resample,
    score,
    share_bounds,
)

PAIRS = st.lists(st.tuples(st.integers(0, 3), st.integers(0, 3)), min_size=1, max_size=80)
LABELS = ("a", "b", "c", "d")


def columns(pairs: list[tuple[int, int]]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """The true and the predicted classes."""
    both = np.array(pairs, dtype=np.int64)
    return both[:, 0], both[:, 1]


def test_scores_of_a_worked_example() -> None:
    """Of 4 a's 3 are found, of 2 b's 1, of 4 c's 2; 'd' is nowhere."""
    truth = np.array([0, 0, 0, 0, 1, 1, 2, 2, 2, 2])
    predicted = np.array([0, 0, 0, 1, 1, 2, 2, 2, 0, 1])
    found = score(truth, predicted, LABELS)
    a, b, c, d = found.classes
    assert (a.precision, a.recall, a.f1, a.support) == (3 / 4, 3 / 4, 3 / 4, 4)
    assert (b.precision, b.recall, b.support) == (1 / 3, 1 / 2, 2)
    assert b.f1 == pytest.approx(0.4)
    assert (c.precision, c.recall, c.support) == (2 / 3, 1 / 2, 4)
    assert (d.precision, d.recall, d.f1, d.support) == (0, 0, 0, 0)
    assert found.accuracy == 0.6
    assert found.balanced_accuracy == pytest.approx((3 / 4 + 1 / 2 + 1 / 2) / 3)
    assert found.macro_f1 == pytest.approx((3 / 4 + 2 / 5 + 4 / 7) / 3)
    assert found.matrix == ((3, 1, 0, 0), (0, 1, 1, 0), (1, 1, 2, 0), (0, 0, 0, 0))


def test_an_empty_set_has_no_scores() -> None:
    with pytest.raises(ValueError, match="at least one"):
        score(np.array([], np.int64), np.array([], np.int64), LABELS)


def test_labels_and_predictions_must_be_as_many() -> None:
    with pytest.raises(ValueError, match="as many"):
        score(np.array([1, 2]), np.array([1]), LABELS)


@given(PAIRS)
def test_the_matrix_counts_every_image_once(pairs: list[tuple[int, int]]) -> None:
    truth, predicted = columns(pairs)
    matrix = confusion_matrix(truth, predicted, 4)
    assert matrix.sum() == len(pairs)
    assert matrix.sum(axis=1).tolist() == np.bincount(truth, minlength=4).tolist()
    assert matrix.sum(axis=0).tolist() == np.bincount(predicted, minlength=4).tolist()


@given(PAIRS)
def test_the_two_ways_to_each_average_agree(pairs: list[tuple[int, int]]) -> None:
    truth, predicted = columns(pairs)
    found = score(truth, predicted, LABELS)
    matrix = confusion_matrix(truth, predicted, 4)
    assert found.accuracy == pytest.approx(accuracy(matrix))
    assert found.balanced_accuracy == pytest.approx(balanced_accuracy(matrix))
    assert found.macro_f1 == pytest.approx(macro_f1(matrix))


@given(PAIRS)
def test_scores_lie_between_nothing_and_one_and_f1_between_its_parts(
    pairs: list[tuple[int, int]],
) -> None:
    for entry in score(*columns(pairs), LABELS).classes:
        low, high = sorted((entry.precision, entry.recall))
        assert 0 <= low <= entry.f1 + 1e-12
        assert entry.f1 <= high + 1e-12 <= 1 + 1e-12


@given(PAIRS)
def test_a_perfect_classifier_scores_one(pairs: list[tuple[int, int]]) -> None:
    truth, _ = columns(pairs)
    found = score(truth, truth, LABELS)
    assert found.accuracy == found.balanced_accuracy == found.macro_f1 == 1


def photographs(copies: int) -> NDArray[np.int64]:
    """20 photographs of each of two classes, three in four of them right, so many copies each."""
    matrices = np.zeros((40, 2, 2), np.int64)
    for place in range(40):
        truth = place // 20
        predicted = truth if place % 4 else 1 - truth
        matrices[place, truth, predicted] = copies
    return matrices


KINDS = np.arange(40) // 20


def test_an_interval_holds_the_score_and_is_as_wide_as_its_photographs_say() -> None:
    found = bounds(accuracy(resample(photographs(1), KINDS)), 40)
    spread = 1.96 * np.sqrt(0.75 * 0.25 / 40)
    assert found.low < 0.75 < found.high
    assert found.units == 40
    assert found.high - found.low == pytest.approx(2 * spread, rel=0.15)


def test_more_copies_of_the_same_photographs_make_no_interval_narrower() -> None:
    once = accuracy(resample(photographs(1), KINDS))
    assert accuracy(resample(photographs(50), KINDS)) == pytest.approx(once)


def test_a_resample_is_the_same_every_time_and_another_with_another_seed() -> None:
    first = resample(photographs(1), KINDS, draws=250, seed=3)
    assert (resample(photographs(1), KINDS, draws=250, seed=3) == first).all()
    assert (resample(photographs(1), KINDS, draws=250, seed=4) != first).any()


def test_each_class_keeps_its_photographs_in_every_resample() -> None:
    assert (resample(photographs(1), KINDS).sum(axis=2) == 20).all()


def test_a_class_has_an_interval_of_its_own_over_its_photographs() -> None:
    """Class 0 has 30 photographs, a third of them wrong; class 1 has 10, all right; 2 has none."""
    matrices = np.zeros((40, 3, 3), np.int64)
    matrices[:20, 0, 0] = matrices[20:30, 0, 1] = matrices[30:, 1, 1] = 1
    sums = resample(matrices, np.repeat([0, 1], [30, 10]))
    found = class_intervals(matrices, sums, ("a", "b", "c"))
    assert list(found) == ["a", "b"]
    assert found["a"]["recall"].low < 2 / 3 < found["a"]["recall"].high
    assert found["a"]["recall"].units == 30
    assert (found["a"]["precision"].high, found["a"]["precision"].units) == (1, 20)
    assert (found["b"]["recall"].high, found["b"]["recall"].units) == (1, 10)
    assert found["b"]["precision"].low < 0.5 < found["b"]["precision"].high
    assert found["b"]["f1"].units == 10


def test_faultless_photographs_do_not_prove_that_there_are_no_faults() -> None:
    """None in 10: up to 1 - 0.025 ** 0.1 may have one, by Clopper and Pearson's table 0.308."""
    found = share_bounds([1.0, 1.0], 10)
    assert found.low == pytest.approx(1 - 0.308, abs=0.001)
    assert found.high == 1
    found = share_bounds([0.0, 0.0], 10)
    assert found.low == 0
    assert found.high == pytest.approx(0.308, abs=0.001)
    assert share_bounds([0.4, 0.5], 10) == bounds([0.4, 0.5], 10)


@given(
    st.lists(st.integers(0, 9), min_size=1, max_size=30),
    st.lists(st.integers(0, 9), min_size=1, max_size=30),
)
def test_the_area_under_the_curve_counts_every_pair(higher: list[int], lower: list[int]) -> None:
    pairs = [(a > b) + (a == b) / 2 for a in higher for b in lower]
    found = auroc(np.array(higher, np.float64), np.array(lower, np.float64))
    assert found == pytest.approx(sum(pairs) / len(pairs))


def test_the_area_under_the_curve_of_nothing_is_refused() -> None:
    with pytest.raises(ValueError, match="at least one"):
        auroc(np.array([]), np.array([1.0]))
