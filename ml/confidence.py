"""Whether stated confidences can be believed, and what leaving unsure images to people wins."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ml.calibration import Bin, expected_calibration_error, reliability
from ml.judging import Judged
from ml.workload import area_under_risk_coverage

POINTS = 200


@dataclass(frozen=True)
class Point:
    """Of the most confident images, a share `coverage` of all, the share `error` is wrong."""

    coverage: float
    error: float


@dataclass(frozen=True)
class Confidence:
    """Stated confidence beside what came true.

    `error` is the expected calibration error over bins of equal width, `error_by_mass` over bins
    of equally many images; `bins` are the former; `curve` is the risk-coverage curve and `area`
    the area under it.
    """

    error: float
    error_by_mass: float
    bins: tuple[Bin, ...]
    curve: tuple[Point, ...]
    area: float


def confidence(judged: Judged) -> Confidence:
    """How far the confidences of these images, at least one, can be believed."""
    probabilities, truth = judged.probabilities, judged.truth
    stated = np.array([found.confidence for found in judged.predictions])
    return Confidence(
        error=expected_calibration_error(probabilities, truth),
        error_by_mass=expected_calibration_error(probabilities, truth, division="mass"),
        bins=reliability(probabilities, truth),
        curve=risk_coverage(judged),
        area=area_under_risk_coverage(stated, judged.right),
    )


def risk_coverage(judged: Judged) -> tuple[Point, ...]:
    """The share of wrong images among the most confident, for ever more of them, in `POINTS` steps
    at most (El-Yaniv and Wiener 2010). Images of the same confidence are taken together."""
    stated = np.array([found.confidence for found in judged.predictions])
    order = np.argsort(-stated, kind="stable")
    wrong = np.cumsum(~judged.right[order])
    # A point where the next image is less sure; the last image always is one.
    ends = np.flatnonzero(np.append(np.diff(stated[order]) != 0, True))
    ends = ends[np.unique(np.linspace(0, len(ends) - 1, POINTS).round().astype(int))]
    return tuple(
        Point(float((end + 1) / len(judged)), float(wrong[end] / (end + 1))) for end in ends
    )
