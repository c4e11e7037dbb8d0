"""Verdicts from outputs that were made up: what decides each, and what must not."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from lexicon.outcomes import Outcome
from lexicon.verdicts import Box, Verdict
from ml.answers import Outputs
from ml.reading import Location, Sight
from ml.trust import NOT_ONE_CELL, TooFewCells, Trust
from ml.trust.calibration import softmax
from ml.trust.conformal import Quantiles
from ml.trust.judge import Familiar
from ml.trust.unfamiliar import Nearest, main_axes, unit_rows

CLASSES = ("basophil", "eosinophil", "monocyte", "neutrophil")
WIDTH = 12
ONE = Location(Sight.ONE, Box(0.1, 0.2, 0.3, 0.4))
SEEDS = st.integers(0, 10_000)


def level(coverage: float, limit: float) -> Quantiles:
    return Quantiles(coverage, (limit,) * 4, (False,) * 4)


def cells(seed: int, count: int = 60) -> tuple[Outputs, NDArray[np.int64]]:
    """Cells about four directions, what the network gives of them, and their classes."""
    rng = np.random.default_rng(seed)
    truth = rng.integers(0, 4, count)
    features = np.eye(4, WIDTH)[truth] * 5 + rng.normal(size=(count, WIDTH)) * 0.4
    return Outputs((features[:, :4] * 2).astype(np.float32), features.astype(np.float32)), truth


@pytest.fixture(scope="module")
def gate() -> Nearest:
    outputs, truth = cells(0, 200)
    return Nearest.fit(outputs, truth, [str(number) for number in range(200)])


@pytest.fixture(scope="module")
def trust(gate: Nearest) -> Trust:
    """Sets of two coverages, and a gate that turns away the farthest twentieth."""
    distances = np.sort(gate.distance(cells(1, 400)[0]))
    familiar = Familiar(gate, distances, float(distances[380]))
    return Trust(CLASSES, 1.5, 0.9, (level(0.9, 0.3), level(0.99, 0.8)), familiar)


def judged(trust: Trust, logits: list[list[float]]) -> list[Verdict]:
    """The verdicts on images of one familiar cell each, by their logits."""
    features = np.tile(np.eye(4, WIDTH, dtype=np.float32)[0] * 5, (len(logits), 1))
    return trust.judge(Outputs(np.array(logits, np.float32), features), [ONE] * len(logits))


def test_candidates_are_named_from_the_most_probable_down(trust: Trust) -> None:
    (verdict,) = judged(replace(trust, coverage=0.99), [[1.0, 3.0, 0.2, 2.5]])
    assert verdict.label == "eosinophil"
    assert verdict.candidates == ("eosinophil", "neutrophil")
    assert (verdict.outcome, verdict.reason) == (Outcome.UNCERTAIN, "between_classes")


def test_of_two_classes_as_probable_the_first_is_named(trust: Trust) -> None:
    (verdict,) = judged(trust, [[0.0, 4.0, 0.0, 4.0]])
    assert verdict.label == "eosinophil"
    assert verdict.candidates == ("eosinophil", "neutrophil")
    assert verdict.probabilities[1] == verdict.probabilities[3]


def test_one_limit_a_class_decides_and_no_other_s(trust: Trust) -> None:
    """Of two as probable, the one whose limit is strict is ruled out, wherever it stands."""
    for strict in (0, 1):
        limits = tuple(0.1 if place == strict else 0.9 for place in range(4))
        levels = (Quantiles(0.9, limits, (False,) * 4),)
        (verdict,) = judged(replace(trust, levels=levels), [[4.0, 4.2, -3.0, -3.0]])
        expected = {"eosinophil"} if strict == 0 else {"eosinophil", "basophil"}
        assert set(verdict.candidates) == expected


@pytest.mark.parametrize("sight", [Sight.FOREIGN, Sight.NONE, Sight.SEVERAL])
def test_what_was_not_one_cell_is_unfamiliar_however_sure_the_network_is(
    trust: Trust, sight: Sight
) -> None:
    outputs, _ = cells(2, 1)
    (sure,) = trust.judge(outputs, [ONE])
    (verdict,) = trust.judge(outputs, [Location(sight, None)])
    assert sure.outcome is Outcome.ACCEPTED
    assert verdict.outcome is Outcome.UNFAMILIAR
    assert verdict.reason in NOT_ONE_CELL
    assert verdict.probabilities == sure.probabilities
    assert verdict.box is None


def test_a_stranger_keeps_its_best_guess_and_says_how_strange_it_is(trust: Trust) -> None:
    features = np.random.default_rng(5).normal(size=(1, WIDTH)).astype(np.float32)
    logits = np.array([[9.0, 0.0, 0.0, 0.0]], np.float32)
    (verdict,) = trust.judge(Outputs(logits, features), [ONE])
    assert (verdict.outcome, verdict.reason) == (Outcome.UNFAMILIAR, "unlike_training")
    assert verdict.label == "basophil"
    assert verdict.familiarity is not None
    assert verdict.familiarity < 0.05


@settings(max_examples=40, deadline=None)
@given(SEEDS)
def test_a_verdict_hangs_on_its_own_image_alone(trust: Trust, seed: int) -> None:
    outputs, _ = cells(seed, 9)
    sights = [Location(sight, None) for sight in (*Sight, *Sight)] + [ONE]
    together = trust.judge(outputs, sights)
    order = np.random.default_rng(seed).permutation(9)
    mixed = Outputs(outputs.logits[order], outputs.features[order])
    shuffled = trust.judge(mixed, [sights[place] for place in order])
    for place, verdict in zip(order, shuffled, strict=True):
        original = together[place]
        assert (verdict.label, verdict.outcome, verdict.reason, verdict.candidates) == (
            original.label, original.outcome, original.reason, original.candidates,
        )  # fmt: skip
        assert verdict.probabilities == pytest.approx(original.probabilities, abs=1e-6)


@settings(max_examples=40, deadline=None)
@given(SEEDS)
def test_every_verdict_follows_from_sight_distance_and_candidates(trust: Trust, seed: int) -> None:
    rng = np.random.default_rng(seed)
    outputs, _ = cells(seed, 12)
    features = outputs.features + rng.normal(size=outputs.features.shape) * rng.choice((0, 2), 12)[
        :, np.newaxis
    ]  # fmt: skip
    logits = rng.normal(size=(12, 4)).astype(np.float32) * 3
    sights = [Location(Sight(sight), None) for sight in rng.choice([*Sight], 12)]
    made = Outputs(logits, features.astype(np.float32))
    assert trust.familiar is not None
    strange = trust.familiar.gate.distance(made) > trust.familiar.threshold
    for number, verdict in enumerate(trust.judge(made, sights)):
        alone = sights[number].sight is Sight.ONE
        assert (verdict.outcome is Outcome.UNFAMILIAR) == (not alone or bool(strange[number]))
        if verdict.outcome is not Outcome.UNFAMILIAR:
            expected = Outcome.ACCEPTED if len(verdict.candidates) == 1 else Outcome.UNCERTAIN
            assert verdict.outcome is expected
        assert (verdict.reason == "unlike_training") == (alone and bool(strange[number]))
        best = softmax(logits, trust.temperature)[number]
        assert verdict.label == CLASSES[int(best.argmax())]
        assert verdict.confidence == pytest.approx(best.max(), abs=1e-6)


@settings(max_examples=40, deadline=None)
@given(SEEDS)
def test_a_greater_promise_names_no_fewer_candidates(trust: Trust, seed: int) -> None:
    logits = (np.random.default_rng(seed).normal(size=(10, 4)) * 3).tolist()
    less, more = (judged(trust.at(coverage), logits) for coverage in (0.9, 0.99))
    for one, other in zip(less, more, strict=True):
        if 1 - max(one.probabilities) <= 0.3:
            assert set(one.candidates) <= set(other.candidates)


def test_numbers_are_kept_with_the_digits_that_mean_something(trust: Trust) -> None:
    third = Location(Sight.ONE, Box(1 / 3, 1 / 7, 2 / 3, 6 / 7))
    outputs, _ = cells(3, 1)
    (verdict,) = trust.judge(outputs, [third])
    assert verdict.box == Box(0.33333, 0.14286, 0.66667, 0.85714)
    assert all(share == round(share, 7) for share in verdict.probabilities)
    assert verdict.familiarity == round(verdict.familiarity or 0, 4)


def rotation(seed: int) -> NDArray[np.float32]:
    """float32 (WIDTH, WIDTH): a random orthogonal matrix."""
    made, _ = np.linalg.qr(np.random.default_rng(seed).normal(size=(WIDTH, WIDTH)))
    return made.astype(np.float32)


def fitted(outputs: Outputs, truth: NDArray[np.int64]) -> Nearest:
    return Nearest.fit(outputs, truth, [str(number) for number in range(len(truth))])


@settings(max_examples=15, deadline=None)
@given(SEEDS)
def test_features_that_are_all_turned_are_as_far_as_before(gate: Nearest, seed: int) -> None:
    (learned, truth), (new, _), turn = cells(0, 200), cells(seed, 30), rotation(seed)
    turned = fitted(Outputs(learned.logits, learned.features @ turn), truth)
    far = turned.distance(Outputs(new.logits, new.features @ turn))
    off = np.abs(far / gate.distance(new) - 1)
    # Where two references are as near, the digits that a bundle keeps may name either.
    assert np.median(off) < 0.01
    assert off.max() < 0.15


@settings(max_examples=15, deadline=None)
@given(SEEDS, st.floats(0.01, 100))
def test_each_cell_may_be_of_its_own_length(gate: Nearest, seed: int, most: float) -> None:
    new, _ = cells(seed, 30)
    lengths = np.random.default_rng(seed).uniform(0.01, most, (30, 1)).astype(np.float32)
    longer = Outputs(new.logits, new.features * lengths)
    assert gate.distance(longer) == pytest.approx(gate.distance(new), rel=1e-3)


@settings(max_examples=10, deadline=None)
@given(SEEDS)
def test_the_order_of_the_references_moves_no_distance(gate: Nearest, seed: int) -> None:
    learned, truth = cells(0, 200)
    order = np.random.default_rng(seed).permutation(200)
    shuffled = fitted(Outputs(learned.logits[order], learned.features[order]), truth[order])
    new, _ = cells(seed + 1, 20)
    assert shuffled.distance(new) == pytest.approx(gate.distance(new), rel=0.02)


def test_the_farther_out_the_stranger(gate: Nearest) -> None:
    start, away = np.eye(4, WIDTH)[0], np.eye(WIDTH)[7]
    path = np.stack([start * 5 + step * away for step in (0, 2, 4, 8, 16)]).astype(np.float32)
    distances = gate.distance(Outputs(np.zeros((5, 4), np.float32), path))
    assert (np.diff(distances) > 0).all()
    assert distances[0] < 2 < distances[-1]


def test_a_gate_needs_more_photographs_than_neighbours() -> None:
    outputs, truth = cells(0, 60)
    names = [str(number % 10) for number in range(60)]
    with pytest.raises(TooFewCells, match="more than 10 photographs"):
        Nearest.fit(outputs, truth, names, neighbours=10)
    assert Nearest.fit(outputs, truth, names, neighbours=9).neighbours == 9


@given(SEEDS)
def test_rows_of_length_one_point_where_they_pointed(seed: int) -> None:
    rows = np.random.default_rng(seed).normal(size=(8, 5)) * 1000
    rows[3] = 0
    unit = unit_rows(rows)
    assert np.linalg.norm(np.delete(unit, 3, axis=0), axis=1) == pytest.approx(np.ones(7), abs=1e-5)
    assert not unit[3].any()
    cosines = (unit * rows).sum(axis=1)
    assert cosines == pytest.approx(np.linalg.norm(rows, axis=1), rel=1e-5)


@given(SEEDS)
def test_main_axes_hold_all_that_varies_the_most_first(seed: int) -> None:
    rng = np.random.default_rng(seed)
    spread = rng.uniform(0.1, 5, 6)
    values = (rng.normal(size=(80, 6)) * spread).astype(np.float32)
    centred = values - values.mean(axis=0)
    variances, axes = main_axes(centred, 6)
    assert np.allclose(axes @ axes.T, np.eye(6), atol=1e-4)
    assert (np.diff(variances) <= 1e-5).all()
    assert variances.sum() == pytest.approx((centred**2).mean(axis=0).sum(), rel=1e-3)
    assert np.square(centred @ axes.T).mean(axis=0) == pytest.approx(variances, rel=0.01, abs=1e-3)
