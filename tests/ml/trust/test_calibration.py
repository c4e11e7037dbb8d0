"""Temperature scaling finds what was hidden, and the calibration error is what it says."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from ml.trust import TooFewCells
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

Drawn = tuple[NDArray[np.float64], NDArray[np.int64]]


def drawn(temperature: float, count: int = 4000, seed: int = 0) -> Drawn:
    """Logits of five classes, and classes drawn as softmax(logits / temperature) says."""
    rng = np.random.default_rng(seed)
    logits = rng.normal(size=(count, 5)) * 4
    chances = softmax(logits, temperature).cumsum(axis=1)
    truth = (rng.random((count, 1)) > chances[:, :-1]).sum(axis=1)
    return logits, truth.astype(np.int64)


@pytest.mark.parametrize("temperature", [0.4, 1.0, 1.7, 5.0])
def test_a_hidden_temperature_is_found(temperature: float) -> None:
    assert fit_temperature(*drawn(temperature, 20_000)) == pytest.approx(temperature, rel=0.05)


@settings(max_examples=40, deadline=None)
@given(st.floats(0.3, 6), st.integers(0, 50), st.floats(0.5, 2))
def test_no_other_temperature_is_likelier(hidden: float, seed: int, factor: float) -> None:
    logits, truth = drawn(hidden, 200, seed)
    best = fit_temperature(logits, truth)
    likely = negative_log_likelihood(logits, truth, best)
    assert likely <= negative_log_likelihood(logits, truth, best * factor) + 1e-9


def test_the_fit_mends_an_overconfident_network() -> None:
    logits, truth = drawn(3.0)
    before = expected_calibration_error(softmax(logits), truth)
    after = expected_calibration_error(softmax(logits, fit_temperature(logits, truth)), truth)
    assert before > 0.2
    assert after < 0.02


def test_a_faultless_network_gets_a_temperature_all_the_same() -> None:
    logits = np.eye(3)
    assert fit_temperature(logits, np.arange(3)) == pytest.approx(COLDEST)
    assert fit_temperature(-logits, np.arange(3)) == pytest.approx(HOTTEST)


def test_weights_choose_which_images_are_fitted() -> None:
    hot, cold = drawn(4.0, seed=1), drawn(1.0, seed=2)
    logits, truth = np.concatenate([hot[0], cold[0]]), np.concatenate([hot[1], cold[1]])
    weights = np.repeat([1.0, 0.0], 4000)
    assert fit_temperature(logits, truth, weights) == pytest.approx(fit_temperature(*hot))


def test_nothing_is_calibrated_by_no_cells() -> None:
    with pytest.raises(TooFewCells, match="Add some"):
        fit_temperature(np.empty((0, 3)), np.empty(0, np.int64))


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 30), st.floats(0.1, 10))
def test_a_temperature_leaves_the_best_guess_and_sums_to_one(seed: int, heat: float) -> None:
    logits, _ = drawn(1.0, 50, seed)
    probabilities = softmax(logits, heat)
    assert (probabilities.argmax(axis=1) == logits.argmax(axis=1)).all()
    assert np.abs(probabilities.sum(axis=1) - 1).max() < 1e-12


def test_huge_logits_overflow_nothing() -> None:
    assert softmax(np.array([[1e5, 0.0]], np.float32)).tolist() == [[1.0, 0.0]]


def test_the_error_of_a_worked_example() -> None:
    """At 0.9 three of four are right, at 0.6 one of two: (4 · 0.15 + 2 · 0.1) / 6."""
    best = np.array([0.9, 0.9, 0.9, 0.9, 0.6, 0.6])
    probabilities = np.stack([best, 1 - best], axis=1)
    truth = np.array([0, 0, 0, 1, 0, 1])
    error = expected_calibration_error(probabilities, truth, bins=10)
    assert error == pytest.approx((4 * 0.15 + 2 * 0.1) / 6)
    assert expected_calibration_error(probabilities, truth, 2, "mass") == pytest.approx(error)


def test_an_error_over_no_images_is_refused() -> None:
    with pytest.raises(ValueError, match="at least one"):
        expected_calibration_error(np.empty((0, 2)), np.empty(0, np.int64))


@pytest.mark.parametrize("division", ["width", "mass"])
def test_every_image_falls_into_one_bin(division: str) -> None:
    logits, truth = drawn(2.0, 997)
    bins = reliability(softmax(logits), truth, 15, "mass" if division == "mass" else "width")
    assert len(bins) == 15
    assert sum(part.images for part in bins) == 997
    assert all(part.low <= part.confidence <= part.high for part in bins if part.images)
    assert [part.high for part in bins[:-1]] == [part.low for part in bins[1:]]


def test_bins_by_mass_hold_as_many_images_each() -> None:
    logits, truth = drawn(2.0, 1500)
    assert {part.images for part in reliability(softmax(logits), truth, 15, "mass")} == {100}


def test_copies_of_one_photograph_and_large_sources_count_no_more() -> None:
    photographs = ["a", "a", "a", "b", "c", "d"]
    sources = ["x", "x", "x", "x", "y", "y"]
    weights = even_weights(photographs, sources)
    assert weights.mean() == pytest.approx(1)
    assert weights[:4].sum() == pytest.approx(weights[4:].sum())
    assert weights[:3].sum() == pytest.approx(weights[3])
