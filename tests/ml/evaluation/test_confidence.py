"""Whether stated confidences can be believed."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ml.evaluation.judging import Judged
from ml.evaluation.workload import POINTS, Point, confidence, risk_coverage
from tests.ml.judgements import accepted, judged


def stated(*pairs: tuple[float, bool]) -> Judged:
    """Images by their confidence, and whether the guess was right."""
    return judged(
        *(
            ("basophil", accepted("basophil" if right else "neutrophil", sure))
            for sure, right in pairs
        )
    )


def test_the_calibration_error_is_the_mean_distance_of_stated_from_true() -> None:
    """Ten at 0.8 of which 6 are right, ten at 0.5 of which 5 are: half of them are 0.2 off."""
    pairs = [(0.8, number < 6) for number in range(10)] + [
        (0.5, number < 5) for number in range(10)
    ]
    measured = confidence(stated(*pairs))
    assert measured.error == pytest.approx(0.1)
    assert measured.error_by_mass == pytest.approx(0.1)
    assert sum(part.images for part in measured.bins) == 20


def test_the_curve_takes_the_most_confident_images_first() -> None:
    curve = risk_coverage(stated((0.9, True), (0.6, False), (0.8, True), (0.7, False)))
    assert curve == (Point(0.25, 0), Point(0.5, 0), Point(0.75, 1 / 3), Point(1, 0.5))


def test_images_of_the_same_confidence_are_taken_together() -> None:
    assert risk_coverage(stated((0.9, False), (0.9, True), (0.7, True)))[0] == Point(2 / 3, 0.5)


@given(st.lists(st.tuples(st.floats(0.4, 1), st.booleans()), min_size=1, max_size=600))
def test_the_curve_ends_with_every_image(pairs: list[tuple[float, bool]]) -> None:
    curve = risk_coverage(stated(*pairs))
    wrong = sum(not right for _, right in pairs)
    assert len(curve) <= POINTS
    assert curve[-1] == Point(1, wrong / len(pairs))
    assert list(curve) == sorted(curve, key=lambda point: point.coverage)
