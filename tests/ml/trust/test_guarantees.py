"""What the numbers of trust promise for every set of cells, not for some that were drawn."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from ml.trust.calibration import (
    COLDEST,
    HOTTEST,
    even_weights,
    expected_calibration_error,
    fit_temperature,
    negative_log_likelihood,
    reliability,
    softmax,
)
from ml.trust.conformal import (
    Quantiles,
    conformal_quantile,
    conforming,
    coverages,
    credible,
    fewest,
    fit_quantiles,
    sets,
)
from ml.trust.fitting import STEPS, fit_threshold

Floats = NDArray[np.float64]
Classes = NDArray[np.int64]
SEEDS = st.integers(0, 10_000)
COVERAGES = st.floats(0.05, 0.98)


def guesses(seed: int, count: int = 60, classes: int = 4) -> tuple[Floats, Classes]:
    """Logits of some images, and their classes, right more often than not."""
    rng = np.random.default_rng(seed)
    truth = rng.integers(0, classes, count)
    logits = rng.normal(size=(count, classes)) * 2
    logits[np.arange(count), truth] += 1.5
    return logits, truth


@given(SEEDS, st.floats(-50, 50), st.floats(COLDEST, HOTTEST))
def test_a_constant_added_to_all_logits_says_nothing(seed: int, more: float, heat: float) -> None:
    logits, truth = guesses(seed)
    assert np.allclose(softmax(logits + more, heat), softmax(logits, heat), atol=1e-9)
    assert negative_log_likelihood(logits + more, truth, heat) == pytest.approx(
        negative_log_likelihood(logits, truth, heat)
    )


@settings(max_examples=30, deadline=None)
@given(SEEDS, st.floats(0.4, 2.5))
def test_logits_that_are_larger_need_as_much_more_heat(seed: int, factor: float) -> None:
    logits, truth = guesses(seed)
    once, scaled = fit_temperature(logits, truth), fit_temperature(logits * factor, truth)
    assume(2 * COLDEST < once < HOTTEST / 3)
    assert scaled == pytest.approx(once * factor, rel=1e-6)


@settings(max_examples=30, deadline=None)
@given(SEEDS, st.lists(st.integers(1, 4), min_size=60, max_size=60))
def test_to_count_twice_is_to_be_there_twice(seed: int, times: list[int]) -> None:
    logits, truth = guesses(seed)
    copies = np.repeat(logits, times, axis=0), np.repeat(truth, times)
    weighted = fit_temperature(logits, truth, np.array(times, np.float64))
    assert weighted == pytest.approx(fit_temperature(*copies), rel=1e-6)


@given(SEEDS, st.integers(1, 40), st.booleans())
def test_the_calibration_error_lies_between_its_two_bounds(
    seed: int, bins: int, by_mass: bool
) -> None:
    """By the triangle inequality: at least what all images together are off by, and at most what
    they are off by one by one."""
    logits, truth = guesses(seed)
    probabilities = softmax(logits)
    confidence = probabilities.max(axis=1)
    right = probabilities.argmax(axis=1) == truth
    error = expected_calibration_error(probabilities, truth, bins, "mass" if by_mass else "width")
    assert abs(confidence.mean() - right.mean()) - 1e-9 <= error
    assert error <= np.abs(confidence - right).mean() + 1e-9


@given(SEEDS)
def test_the_calibration_error_does_not_hang_on_the_order_of_images(seed: int) -> None:
    logits, truth = guesses(seed)
    order = np.random.default_rng(seed).permutation(len(truth))
    error = expected_calibration_error(softmax(logits), truth)
    assert expected_calibration_error(softmax(logits[order]), truth[order]) == pytest.approx(error)


@given(st.floats(0.51, 1), st.integers(1, 50))
def test_who_is_always_wrong_errs_by_all_the_confidence(confidence: float, count: int) -> None:
    probabilities = np.tile([confidence, 1 - confidence], (count, 1))
    wrong, right = np.ones(count, np.int64), np.zeros(count, np.int64)
    assert expected_calibration_error(probabilities, wrong) == pytest.approx(confidence)
    assert expected_calibration_error(probabilities, right) == pytest.approx(1 - confidence)


@given(SEEDS, st.integers(2, 20))
def test_a_bin_says_what_its_own_images_said(seed: int, bins: int) -> None:
    logits, truth = guesses(seed)
    probabilities = softmax(logits)
    confidence = probabilities.max(axis=1)
    for one in reliability(probabilities, truth, bins):
        own = (confidence > one.low) & (confidence <= one.high)
        assert one.images == own.sum()
        if one.images:
            assert one.confidence == pytest.approx(confidence[own].mean())
            assert one.accuracy == pytest.approx(
                (probabilities.argmax(axis=1) == truth)[own].mean()
            )


def test_a_confidence_on_an_edge_belongs_to_the_bin_below_it() -> None:
    best = np.array([0.5, 0.75, 0.75, 1.0])
    probabilities = np.stack([best, 1 - best], axis=1)
    bins = reliability(probabilities, np.zeros(4, np.int64), 4)
    assert [one.images for one in bins] == [0, 1, 2, 1]
    assert [one.confidence for one in bins] == [0, 0.5, 0.75, 1]


NAMES = st.lists(st.tuples(st.sampled_from("abc"), st.integers(0, 5)), min_size=1, max_size=40)


@given(NAMES)
def test_sources_count_alike_and_so_do_their_photographs(named: list[tuple[str, int]]) -> None:
    sources = [source for source, _ in named]
    photographs = [f"{source}{number}" for source, number in named]
    weights = even_weights(photographs, sources)
    assert weights.mean() == pytest.approx(1)
    by_source = {name: weights[np.array(sources) == name].sum() for name in set(sources)}
    assert list(by_source.values()) == pytest.approx([len(named) / len(by_source)] * len(by_source))
    for name in set(photographs):
        own = weights[np.array(photographs) == name]
        siblings = {p for p in photographs if p[0] == name[0]}
        assert own.sum() == pytest.approx(by_source[name[0]] / len(siblings))
        assert own == pytest.approx([own[0]] * len(own))


SCORES = st.lists(st.integers(0, 30), min_size=2, max_size=60)


@given(SCORES, COVERAGES)
def test_the_promise_is_kept_for_every_set_of_cells_of_which_one_is_new(
    drawn: list[int], coverage: float
) -> None:
    """Exchangeable cells: each of n + 1 is as likely the new one, and at least the promised share
    of them is within the limit that the n others set; ties only help."""
    scores = np.array(drawn, np.float64)
    kept = [
        score <= conformal_quantile(np.delete(scores, place), coverage)
        for place, score in enumerate(scores)
    ]
    assert np.mean(kept) >= coverage - 1e-9


@given(st.lists(st.floats(0, 1), min_size=2, max_size=60, unique=True), COVERAGES)
def test_no_more_is_promised_than_one_cell_makes(drawn: list[float], coverage: float) -> None:
    scores = np.array(drawn)
    kept = [
        score <= conformal_quantile(np.delete(scores, place), coverage)
        for place, score in enumerate(scores)
    ]
    if np.isfinite(conformal_quantile(scores[1:], coverage)):
        assert np.mean(kept) < coverage + 1 / len(scores) + 1e-9


@given(SCORES, COVERAGES, COVERAGES)
def test_a_quantile_rises_with_the_promise_and_is_one_of_the_scores(
    drawn: list[int], one: float, other: float
) -> None:
    scores = np.array(drawn, np.float64)
    low, high = (conformal_quantile(scores, level) for level in sorted((one, other)))
    assert low <= high
    assert low in scores or math.isinf(low)
    assert math.isinf(low) == (len(scores) < fewest(min(one, other)))


@settings(max_examples=25, deadline=None)
@given(SEEDS, st.sampled_from([0.8, 0.9, 0.95]))
def test_the_cells_that_set_the_limits_are_within_them_as_promised(
    seed: int, coverage: float
) -> None:
    logits, truth = guesses(seed, 400)
    probabilities = softmax(logits)
    quantiles = fit_quantiles(probabilities, truth, coverage, few_shot=[3])
    within = conforming(probabilities, quantiles)[np.arange(400), truth]
    for label in range(3):
        assert within[truth == label].mean() >= coverage
    together = 1 - probabilities[np.arange(400), truth] <= quantiles.limits[3]
    assert together.mean() >= coverage
    assert quantiles.pooled == (False, False, False, True)


@given(SEEDS, st.floats(0.01, 0.999))
def test_a_credible_set_is_the_smallest_that_reaches_the_share(seed: int, share: float) -> None:
    probabilities = softmax(guesses(seed, 20)[0])
    members = credible(probabilities, share)
    for row, inside in zip(probabilities, members, strict=True):
        assert row[inside].sum() >= share - 1e-9
        assert row[inside].sum() - row[inside].min() < share
        assert row[inside].min() >= row[~inside].max(initial=0)


@given(SEEDS, st.floats(0, 1), st.floats(0, 1))
def test_a_looser_limit_never_takes_a_class_out(seed: int, one: float, other: float) -> None:
    probabilities = softmax(guesses(seed, 20)[0])
    tight, loose = (
        conforming(probabilities, Quantiles(0.9, (limit,) * 4, (False,) * 4))
        for limit in sorted((one, other))
    )
    assert not (tight & ~loose).any()


@given(SEEDS)
def test_coverage_by_class_adds_up_to_that_of_all(seed: int) -> None:
    logits, truth = guesses(seed)
    members = sets(softmax(logits), Quantiles(0.9, (0.5,) * 4, (False,) * 4))
    by_class = coverages(members, truth, "abcd")
    assert sum(one.images for one in by_class) == len(truth)
    assert {one.label for one in by_class} == {"abcd"[number] for number in truth}
    held = members[np.arange(len(truth)), truth]
    assert sum(one.images * one.coverage for one in by_class) == pytest.approx(held.sum())
    assert sum(one.images * one.size for one in by_class) == pytest.approx(members.sum())


DISTANCES = st.lists(st.floats(0, 100, width=32), min_size=1, max_size=80)


@given(DISTANCES, st.floats(0.02, 1))
def test_the_share_that_was_asked_for_lies_within_the_threshold(
    drawn: list[float], accepted: float
) -> None:
    measured = np.array(drawn, np.float32)
    threshold, quantiles = fit_threshold(measured, np.ones(len(measured)), accepted)
    assert threshold in measured
    # A threshold is the middle of one of so many equal shares.
    assert (measured <= threshold).mean() >= accepted - 1.5 / STEPS
    assert (measured < threshold).mean() <= accepted + 1.5 / STEPS
    assert (np.diff(quantiles) >= 0).all()
    assert len(quantiles) == STEPS
    assert (quantiles[0], quantiles[-1]) == (measured.min(), measured.max())


@given(DISTANCES, st.integers(1, 5))
def test_what_counts_more_moves_the_threshold_as_copies_would(
    drawn: list[float], times: int
) -> None:
    measured = np.array(drawn, np.float32)
    counts = np.ones(len(measured))
    counts[0] = times
    weighted, _ = fit_threshold(measured, counts, 0.9)
    copies = np.concatenate([measured, np.repeat(measured[:1], times - 1)])
    repeated, _ = fit_threshold(copies, np.ones(len(copies)), 0.9)
    assert weighted == repeated
