"""Sets keep what they promise on data like those they were fitted on, and are never empty."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from ml.trust import TooFewCells
from ml.trust.calibration import softmax
from ml.trust.conformal import (
    FEWEST,
    Quantiles,
    conformal_quantile,
    conforming,
    coverages,
    credible,
    fewest,
    fit_quantiles,
    sets,
)

Drawn = tuple[NDArray[np.float64], NDArray[np.int64]]


def drawn(count: int, seed: int) -> Drawn:
    """Probabilities of three classes, the last of which is often missed, and the true classes."""
    rng = np.random.default_rng(seed)
    truth = rng.integers(0, 3, count)
    logits = rng.normal(size=(count, 3)) * 1.5
    logits[np.arange(count), truth] += np.array([4.0, 3.0, 0.5])[truth]
    return softmax(logits), truth


@pytest.mark.parametrize("coverage", [0.8, 0.9, 0.95])
def test_every_class_is_covered_as_promised_the_hard_one_too(coverage: float) -> None:
    shares = []
    for seed in range(60):
        probabilities, truth = drawn(600, seed)
        quantiles = fit_quantiles(probabilities, truth, coverage)
        new, their = drawn(2000, 1000 + seed)
        within = conforming(new, quantiles)[np.arange(2000), their]
        shares.append([within[their == label].mean() for label in range(3)])
    assert np.abs(np.mean(shares, axis=0) - coverage).max() < 0.012


def test_the_quantile_is_the_one_of_the_finite_sample() -> None:
    scores = np.arange(1, 100) / 100
    assert conformal_quantile(scores, 0.95) == 0.95
    assert conformal_quantile(scores, 0.9) == 0.9
    assert conformal_quantile(scores[:19], 0.95) == 0.19
    assert math.isinf(conformal_quantile(scores[:18], 0.95))


@settings(max_examples=40, deadline=None)
@given(st.floats(0.5, 0.99))
def test_fewer_cells_than_needed_promise_nothing(coverage: float) -> None:
    needed = fewest(coverage)
    scores = np.linspace(0, 1, needed)
    assert math.isfinite(conformal_quantile(scores, coverage))
    assert math.isinf(conformal_quantile(scores[: needed - 1], coverage))


def test_copies_of_one_photograph_promise_no_more_than_the_photograph() -> None:
    scores = np.random.default_rng(0).random(50)
    copies = np.repeat(scores, 7)
    once = conformal_quantile(scores, 0.9)
    assert conformal_quantile(copies, 0.9, np.full(350, 1 / 7)) == once
    assert math.isinf(conformal_quantile(copies[:70], 0.95, np.full(70, 1 / 7)))


def test_photographs_are_counted_within_each_class() -> None:
    probabilities, truth = drawn(600, 3)
    thrice = np.repeat(probabilities, 3, axis=0), np.repeat(truth, 3)
    groups = np.repeat([f"photograph {number}" for number in range(600)], 3).tolist()
    assert fit_quantiles(*thrice, 0.9, groups=groups) == fit_quantiles(probabilities, truth, 0.9)


def test_a_class_with_few_cells_takes_the_limit_of_all_and_says_so() -> None:
    probabilities, truth = drawn(600, 0)
    rows = np.sort(np.concatenate([np.flatnonzero(truth != 2), np.flatnonzero(truth == 2)[:10]]))
    quantiles = fit_quantiles(probabilities[rows], truth[rows], 0.95)
    assert quantiles.pooled == (False, False, True)
    scores = 1 - probabilities[rows, truth[rows]]
    assert quantiles.limits[2] == conformal_quantile(scores, 0.95)


def test_a_class_may_be_called_few_whatever_it_has() -> None:
    quantiles = fit_quantiles(*drawn(600, 0), 0.95, few_shot=[1])
    assert quantiles.pooled == (False, True, False)


def test_a_class_needs_more_cells_for_a_greater_promise() -> None:
    probabilities, truth = drawn(600, 0)
    rows = np.flatnonzero(np.cumsum(truth == 0) <= FEWEST + 10)
    rows = np.union1d(rows, np.flatnonzero(truth != 0))
    assert not fit_quantiles(probabilities[rows], truth[rows], 0.95).pooled[0]
    assert fit_quantiles(probabilities[rows], truth[rows], 0.99).pooled[0]


def test_too_few_cells_in_all_are_refused_with_what_to_do() -> None:
    with pytest.raises(TooFewCells, match=r"12 .* too few to promise 95.0%. Add more"):
        fit_quantiles(*drawn(12, 0), 0.95)


@settings(max_examples=40, deadline=None)
@given(st.lists(st.floats(0, 1), min_size=3, max_size=3), st.integers(0, 200))
def test_no_set_is_empty_or_lacks_the_best_class(limits: list[float], seed: int) -> None:
    probabilities, _ = drawn(40, seed)
    members = sets(probabilities, Quantiles(0.95, tuple(limits), (False,) * 3))
    assert members[np.arange(40), probabilities.argmax(axis=1)].all()


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 200))
def test_a_greater_promise_never_takes_a_class_out(seed: int) -> None:
    probabilities, truth = drawn(600, seed)
    new, _ = drawn(50, seed + 1)
    less, more = (fit_quantiles(probabilities, truth, level) for level in (0.8, 0.95))
    assert not (conforming(new, less) & ~conforming(new, more)).any()


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 200))
def test_a_set_holds_all_that_conforms(seed: int) -> None:
    quantiles = fit_quantiles(*drawn(600, seed), 0.9)
    new, _ = drawn(50, seed + 1)
    assert not (conforming(new, quantiles) & ~sets(new, quantiles)).any()


def test_an_image_between_two_classes_passes_for_none_of_them() -> None:
    """A nearly faultless network admits only what it is nearly sure of."""
    strict = Quantiles(0.95, (0.02, 0.02, 0.02), (False,) * 3)
    probabilities = np.array([[0.51, 0.48, 0.01], [0.99, 0.01, 0.0], [0.96, 0.03, 0.01]])
    assert conforming(probabilities, strict).sum(axis=1).tolist() == [0, 1, 0]
    assert sets(probabilities, strict).sum(axis=1).tolist() == [2, 1, 1]


def test_the_fewest_classes_that_reach_a_share() -> None:
    members = credible(np.array([[0.25, 0.7, 0.05], [0.04, 0.01, 0.95]]), 0.9)
    assert members.tolist() == [[True, True, False], [False, False, True]]


def test_coverage_and_size_of_a_worked_example() -> None:
    members = np.array([[1, 0, 0], [1, 1, 0], [0, 1, 1], [0, 1, 0]], bool)
    first, third = coverages(members, np.array([0, 0, 2, 2]), ("a", "b", "c"))
    assert (first.label, first.images, first.coverage, first.size) == ("a", 2, 1.0, 1.5)
    assert (third.label, third.images, third.coverage, third.size) == ("c", 2, 0.5, 1.5)
