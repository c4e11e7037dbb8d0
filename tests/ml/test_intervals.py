"""Intervals from resampled photographs: about the score, as wide as photographs are few."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from ml.metrics import (
    AT_ONCE,
    accuracy,
    auroc,
    balanced_accuracy,
    bounds,
    class_intervals,
    confusion_matrix,
    macro_f1,
    photograph_matrices,
    resample,
    score_intervals,
    share_bounds,
)

Matrices = NDArray[np.int64]
SEEDS = st.integers(0, 10_000)


def photographs(count: int, seed: int, right: float = 0.8, classes: int = 3) -> Matrices:
    """One confusion matrix per photograph of one to six copies, of every class alike."""
    rng = np.random.default_rng(seed)
    matrices = np.zeros((count, classes, classes), np.int64)
    for number in range(count):
        truth = number % classes
        wrong = (truth + rng.integers(1, classes)) % classes
        predicted = truth if rng.random() < right else wrong
        matrices[number, truth, predicted] = rng.integers(1, 7)
    return matrices


@settings(max_examples=20, deadline=None)
@given(SEEDS, st.integers(12, 80))
def test_an_interval_contains_the_score_that_was_measured(seed: int, count: int) -> None:
    matrices = photographs(count, seed)
    intervals, _ = score_intervals(matrices)
    whole = matrices.sum(axis=0)
    for name, of in (
        ("accuracy", accuracy), ("balanced_accuracy", balanced_accuracy), ("macro_f1", macro_f1),
    ):  # fmt: skip
        interval = intervals[name]
        assert interval.low - 1e-9 <= float(of(whole)) <= interval.high + 1e-9
        assert 0 <= interval.low <= interval.high <= 1
        assert interval.units == count


def test_four_times_the_photographs_halve_the_interval() -> None:
    widths = []
    for count in (45, 180, 720):
        # The same share of photographs of each class is right, so that only the number differs.
        matrices = np.zeros((count, 3, 3), np.int64)
        for number in range(count):
            truth = number % 3
            matrices[number, truth, truth if number // 3 % 5 else (truth + 1) % 3] = 1
        interval = score_intervals(matrices)[0]["accuracy"]
        widths.append(interval.high - interval.low)
    assert widths[0] / widths[1] == pytest.approx(2, rel=0.15)
    assert widths[1] / widths[2] == pytest.approx(2, rel=0.15)


def test_the_same_photographs_have_the_same_interval_every_time() -> None:
    matrices = photographs(40, 1)
    (first, sums), (second, again) = score_intervals(matrices), score_intervals(matrices)
    assert first == second
    assert np.array_equal(sums, again)
    others = resample(matrices, matrices.sum(axis=2).argmax(axis=1), seed=1)
    assert not np.array_equal(sums, others)


@pytest.mark.parametrize("draws", [1, AT_ONCE - 1, AT_ONCE, AT_ONCE + 1, 2 * AT_ONCE + 3])
def test_every_draw_takes_as_many_photographs_as_there_are(draws: int) -> None:
    counts = np.ones((30, 2), np.int64)
    counts[:, 1] = np.arange(30) // 15
    sums = resample(counts, counts[:, 1], draws=draws)
    assert sums.shape == (draws, 2)
    assert (sums[:, 0] == 30).all()
    assert (sums[:, 1] == 15).all(), "of each stratum as many as it has"


@settings(max_examples=20, deadline=None)
@given(SEEDS)
def test_draws_scatter_about_what_was_counted(seed: int) -> None:
    counts = np.random.default_rng(seed).integers(0, 9, (25, 3))
    sums = resample(counts, np.zeros(25, np.int64), seed=seed)
    spread = np.sqrt(25 * counts.var(axis=0))
    assert np.abs(sums.mean(axis=0) - counts.sum(axis=0)).max() <= 6 * spread.max() / np.sqrt(2000)
    assert sums.std(axis=0) == pytest.approx(spread, rel=0.12)


@given(
    st.lists(
        st.tuples(st.integers(0, 5), st.integers(0, 2), st.integers(0, 2)), min_size=1, max_size=60
    )
)
def test_the_matrices_of_photographs_add_up_to_that_of_all(
    seen: list[tuple[int, int, int]],
) -> None:
    numbers, truth, predicted = np.array(seen, np.int64).T
    matrices = photograph_matrices(numbers, truth, predicted, 3)
    assert matrices.shape == (numbers.max() + 1, 3, 3)
    assert np.array_equal(matrices.sum(axis=0), confusion_matrix(truth, predicted, 3))
    assert matrices.sum(axis=(1, 2)).tolist() == np.bincount(numbers).tolist()


def test_without_photographs_there_are_no_matrices() -> None:
    nothing = np.empty(0, np.int64)
    assert photograph_matrices(nothing, nothing, nothing, 3).shape == (0, 3, 3)


@settings(max_examples=15, deadline=None)
@given(SEEDS)
def test_the_interval_of_a_class_contains_its_own_scores(seed: int) -> None:
    matrices = photographs(60, seed)
    _, sums = score_intervals(matrices)
    whole = matrices.sum(axis=0)
    for place, (label, ours) in enumerate(class_intervals(matrices, sums, "abc").items()):
        assert label == "abc"[place]
        recall = whole[place, place] / whole[place].sum()
        precision = whole[place, place] / whole[:, place].sum()
        f1 = 2 * recall * precision / (recall + precision)
        for name, value in (("recall", recall), ("precision", precision), ("f1", f1)):
            assert ours[name].low - 1e-9 <= value <= ours[name].high + 1e-9
        assert ours["recall"].units == 20


@given(st.integers(1, 400))
def test_faultless_photographs_leave_room_for_a_fault_and_less_the_more_they_are(
    count: int,
) -> None:
    few, more = share_bounds([1.0], count), share_bounds([1.0], count + 1)
    assert few.high == more.high == 1
    assert 0 < few.low < more.low < 1


def test_a_share_that_varies_keeps_the_interval_of_its_resamples() -> None:
    values = np.linspace(0.7, 1.0, 401)
    assert share_bounds(values, 50) == bounds(values, 50)
    assert (bounds(values, 50).low, bounds(values, 50).high) == pytest.approx((0.7075, 0.9925))


NUMBERS = st.lists(st.integers(-20, 20), min_size=1, max_size=30)


@given(NUMBERS, NUMBERS)
def test_the_area_under_the_curve_hangs_on_ranks_alone(one: list[int], other: list[int]) -> None:
    higher, lower = np.array(one, np.float64), np.array(other, np.float64)
    area = auroc(higher, lower)
    assert auroc(np.exp(higher / 4), np.exp(lower / 4)) == pytest.approx(area)
    assert auroc(lower, higher) == pytest.approx(1 - area)
    assert auroc(higher, higher) == pytest.approx(0.5)
