"""Work against errors, worked out by hand, and properties that hold for every rule."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lexicon.outcomes import Outcome
from lexicon.verdicts import Verdict
from ml.data import Sample
from ml.evaluation.judging import Judged
from ml.evaluation.workload import (
    area_under_risk_coverage,
    by_both,
    by_confidence,
    by_outcome,
    least_work,
)

CLASSES = ("lymphocyte", "monocyte")
Case = tuple[bool, float, Outcome]
CASES = st.lists(
    st.tuples(st.booleans(), st.floats(0.5, 1), st.sampled_from(Outcome)), min_size=1, max_size=30
)


def judged(cases: list[Case], copies: int = 1, groups: bool = True) -> Judged:
    """Images that are right or wrong, with a confidence and an outcome, of a photograph each."""
    samples, verdicts = [], []
    for number, (right, confidence, outcome) in enumerate(cases * copies):
        photograph = str(number % len(cases)) if groups else None
        label = CLASSES[0 if right else 1]
        samples.append(Sample(Path("a.jpg"), "a.jpg", label, "here", "test", photograph))
        both = (confidence, 1 - confidence)
        verdicts.append(Verdict(CLASSES[0], confidence, outcome, both))
    return Judged(CLASSES, tuple(samples), tuple(verdicts))


WORKED: list[Case] = [
    (True, 0.99, Outcome.ACCEPTED),
    (True, 0.95, Outcome.ACCEPTED),
    (False, 0.9, Outcome.ACCEPTED),
    (True, 0.8, Outcome.ACCEPTED),
    (False, 0.7, Outcome.UNCERTAIN),
    (True, 0.99, Outcome.UNFAMILIAR),
]


def test_the_rule_of_the_bundle() -> None:
    load = by_outcome(judged(WORKED))
    assert (load.images, load.accepted) == (6, 4)
    assert load.sent == pytest.approx(2 / 6)
    assert load.error == 1 / 4
    assert load.sent_interval is not None
    assert load.sent_interval.units == 6


def test_thresholds_on_confidence_alone() -> None:
    all_, some, few, none = by_confidence(judged(WORKED), (0.0, 0.9, 0.95, 0.999))
    assert (all_.sent, all_.error) == (0, 2 / 6)
    assert (some.accepted, some.error) == (4, 1 / 4)
    assert (few.accepted, few.error) == (3, 0)
    assert (none.sent, none.error, none.error_interval) == (1, None, None)


def test_thresholds_beside_the_outcomes() -> None:
    loads = by_both(judged(WORKED), (0.0, 0.95))
    assert [load.accepted for load in loads] == [4, 2]
    assert [load.error for load in loads] == [1 / 4, 0]


def test_no_error_seen_is_not_none_possible() -> None:
    load = by_confidence(judged(WORKED), (0.95,))[0]
    assert load.error_interval is not None
    # Of three photographs, all right: one minus the cube root of 0.025.
    assert load.error_interval.high == pytest.approx(0.7076, abs=1e-4)


def test_copies_of_photographs_make_no_interval_narrower() -> None:
    once, often = (by_outcome(judged(WORKED * 4, copies)) for copies in (1, 9))
    assert often.sent_interval == once.sent_interval
    assert often.error_interval == once.error_interval


def test_unknown_photographs_have_no_intervals() -> None:
    load = by_outcome(judged(WORKED, groups=False))
    assert (load.sent_interval, load.error_interval) == (None, None)


def test_the_least_work_for_an_error() -> None:
    loads = by_confidence(judged(WORKED, groups=False), (0.0, 0.9, 0.95, 0.98, 0.999))
    chosen = least_work(loads, 0.25)
    assert chosen is not None
    assert chosen.threshold == 0.9
    assert least_work(loads[:2], 0.1) is None


def test_the_end_of_the_interval_counts_where_there_is_one() -> None:
    loads = by_confidence(judged(WORKED), (0.0, 0.9, 0.95))
    assert least_work(loads, 0.25) is None


def test_no_images_have_no_workload() -> None:
    with pytest.raises(ValueError, match="at least one"):
        by_outcome(Judged(CLASSES, (), ()))


@settings(max_examples=25, deadline=None)
@given(CASES)
def test_a_higher_threshold_never_lessens_the_work(cases: list[Case]) -> None:
    for rule in (by_confidence, by_both):
        sent = [load.sent for load in rule(judged(cases, groups=False))]
        assert sent == sorted(sent)


@settings(max_examples=60, deadline=None)
@given(CASES)
def test_the_area_lies_between_the_best_and_the_worst_order(cases: list[Case]) -> None:
    right = np.array([case[0] for case in cases])
    stated = np.array([case[1] for case in cases])
    best, worst = (area_under_risk_coverage(order, right) for order in (right * 1.0, 1.0 - right))
    assert best - 1e-12 <= area_under_risk_coverage(stated, right) <= worst + 1e-12


def test_the_area_of_a_worked_example() -> None:
    """Right, wrong, right in this order: errors 0, 1/2 and 1/3."""
    area = area_under_risk_coverage(np.array([0.9, 0.8, 0.7]), np.array([True, False, True]))
    assert area == pytest.approx((0 + 1 / 2 + 1 / 3) / 3)


def test_confidence_that_tells_nothing_has_the_mean_error_as_its_area() -> None:
    right = np.array([True, False, False, True, True])
    assert area_under_risk_coverage(np.full(5, 0.6), right) == pytest.approx(0.4)
