"""Scores against values worked out by hand, published ones and scikit-learn's, and properties that
hold for all inputs."""

from __future__ import annotations

import warnings
from math import comb

import numpy as np
import pytest
import sklearn.metrics
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
    mcnemar,
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
    scores = score(truth, predicted, LABELS)
    a, b, c, d = scores.classes
    assert (a.precision, a.recall, a.f1, a.support) == (3 / 4, 3 / 4, 3 / 4, 4)
    assert (b.precision, b.recall, b.support) == (1 / 3, 1 / 2, 2)
    assert b.f1 == pytest.approx(0.4)
    assert (c.precision, c.recall, c.support) == (2 / 3, 1 / 2, 4)
    assert (d.precision, d.recall, d.f1, d.support) == (0, 0, 0, 0)
    assert scores.accuracy == 0.6
    assert scores.balanced_accuracy == pytest.approx((3 / 4 + 1 / 2 + 1 / 2) / 3)
    assert scores.macro_f1 == pytest.approx((3 / 4 + 2 / 5 + 4 / 7) / 3)
    assert scores.matrix == ((3, 1, 0, 0), (0, 1, 1, 0), (1, 1, 2, 0), (0, 0, 0, 0))


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
    scores = score(truth, predicted, LABELS)
    matrix = confusion_matrix(truth, predicted, 4)
    assert scores.accuracy == pytest.approx(accuracy(matrix))
    assert scores.balanced_accuracy == pytest.approx(balanced_accuracy(matrix))
    assert scores.macro_f1 == pytest.approx(macro_f1(matrix))


@given(PAIRS)
def test_scores_are_those_of_scikit_learn(pairs: list[tuple[int, int]]) -> None:
    truth, predicted = columns(pairs)
    scores = score(truth, predicted, LABELS)
    by_class = sklearn.metrics.precision_recall_fscore_support(
        truth, predicted, labels=range(4), zero_division=0
    )
    for part, expected in zip(("precision", "recall", "f1", "support"), by_class, strict=True):
        assert [getattr(entry, part) for entry in scores.classes] == pytest.approx(expected)
    expected = sklearn.metrics.confusion_matrix(truth, predicted, labels=range(4))
    assert scores.matrix == tuple(map(tuple, expected.tolist()))
    assert scores.accuracy == pytest.approx(sklearn.metrics.accuracy_score(truth, predicted))
    present = np.unique(truth)
    f1 = sklearn.metrics.f1_score(
        truth, predicted, labels=present, average="macro", zero_division=0
    )
    assert scores.macro_f1 == pytest.approx(f1)
    with warnings.catch_warnings():
        # It warns of classes that are predicted and not there.
        warnings.simplefilter("ignore", UserWarning)
        balanced = sklearn.metrics.balanced_accuracy_score(truth, predicted)
    assert scores.balanced_accuracy == pytest.approx(balanced)


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
    scores = score(truth, truth, LABELS)
    assert scores.accuracy == scores.balanced_accuracy == scores.macro_f1 == 1


def photographs(copies: int) -> NDArray[np.int64]:
    """20 photographs of each of two classes, three in four of them right, so many copies each."""
    matrices = np.zeros((40, 2, 2), np.int64)
    for number in range(40):
        truth = number // 20
        predicted = truth if number % 4 else 1 - truth
        matrices[number, truth, predicted] = copies
    return matrices


KINDS = np.arange(40) // 20


def test_an_interval_holds_the_score_and_is_as_wide_as_its_photographs_say() -> None:
    interval = bounds(accuracy(resample(photographs(1), KINDS)), 40)
    spread = 1.96 * np.sqrt(0.75 * 0.25 / 40)
    assert interval.low < 0.75 < interval.high
    assert interval.units == 40
    assert interval.high - interval.low == pytest.approx(2 * spread, rel=0.15)


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
    intervals = class_intervals(matrices, sums, ("a", "b", "c"))
    assert list(intervals) == ["a", "b"]
    assert intervals["a"]["recall"].low < 2 / 3 < intervals["a"]["recall"].high
    assert intervals["a"]["recall"].units == 30
    assert (intervals["a"]["precision"].high, intervals["a"]["precision"].units) == (1, 20)
    assert (intervals["b"]["recall"].high, intervals["b"]["recall"].units) == (1, 10)
    assert intervals["b"]["precision"].low < 0.5 < intervals["b"]["precision"].high
    assert intervals["b"]["f1"].units == 10


def test_faultless_photographs_do_not_prove_that_there_are_no_faults() -> None:
    """None in 10: up to 1 - 0.025 ** 0.1 may have one, by Clopper and Pearson's table 0.308."""
    interval = share_bounds([1.0, 1.0], 10)
    assert interval.low == pytest.approx(1 - 0.308, abs=0.001)
    assert interval.high == 1
    interval = share_bounds([0.0, 0.0], 10)
    assert interval.low == 0
    assert interval.high == pytest.approx(0.308, abs=0.001)
    assert share_bounds([0.4, 0.5], 10) == bounds([0.4, 0.5], 10)


def test_the_exact_interval_is_the_published_one() -> None:
    """None in 20, by Clopper and Pearson: 0 to 0.1684 (Newcombe, Statistics in Medicine 1998)."""
    interval = share_bounds([0.0, 0.0], 20)
    assert (interval.low, round(interval.high, 4)) == (0, 0.1684)


@given(st.integers(1, 5000))
def test_the_exact_interval_leaves_one_chance_in_forty(photographs: int) -> None:
    """With as many faults as it allows at most, none in so many is seen one time in forty."""
    none, every = share_bounds([0.0], photographs), share_bounds([1.0], photographs)
    assert (1 - none.high) ** photographs == pytest.approx(0.025)
    assert every.low == pytest.approx(1 - none.high)


@given(
    st.lists(st.integers(0, 9), min_size=1, max_size=30),
    st.lists(st.integers(0, 9), min_size=1, max_size=30),
)
def test_the_area_under_the_curve_counts_every_pair(higher: list[int], lower: list[int]) -> None:
    pairs = [(a > b) + (a == b) / 2 for a in higher for b in lower]
    area = auroc(np.array(higher, np.float64), np.array(lower, np.float64))
    assert area == pytest.approx(sum(pairs) / len(pairs))


@given(
    st.lists(st.floats(0, 1), min_size=1, max_size=30),
    st.lists(st.floats(0, 1), min_size=1, max_size=30),
)
def test_the_area_under_the_curve_is_that_of_scikit_learn(
    higher: list[float], lower: list[float]
) -> None:
    truth = [1] * len(higher) + [0] * len(lower)
    expected = sklearn.metrics.roc_auc_score(truth, higher + lower)
    assert auroc(np.array(higher), np.array(lower)) == pytest.approx(expected)


def test_the_area_under_the_curve_of_nothing_is_refused() -> None:
    with pytest.raises(ValueError, match="at least one"):
        auroc(np.array([]), np.array([1.0]))


def test_mcnemar_is_the_two_sided_binomial_test() -> None:
    """2 · (1 + 10 + 45) / 1,024; of 6 against 0, 2 / 64; a tie is no evidence at all."""
    assert mcnemar(2, 8) == pytest.approx(112 / 1024)
    assert mcnemar(6, 0) == 2 / 64
    assert mcnemar(5, 5) == 1
    assert mcnemar(0, 0) == 1


def test_mcnemar_is_as_published() -> None:
    """The example of R's exact2x2 (Fay, 2010): 2 against 9 discordant pairs."""
    assert round(mcnemar(2, 9), 5) == 0.06543


@given(st.integers(0, 60), st.integers(0, 60))
def test_mcnemar_counts_the_throws_that_fall_as_unevenly(b: int, c: int) -> None:
    throws, fewer = b + c, min(b, c)
    as_few = sum(comb(throws, heads) for heads in range(fewer + 1))
    assert mcnemar(b, c) == pytest.approx(min(1.0, 2 * as_few / 2**throws))
    assert 0 < mcnemar(b, c) == mcnemar(c, b) <= 1


def test_mcnemar_takes_many_images() -> None:
    assert mcnemar(4000, 6000) < 1e-80
