"""Weighs work for people against errors, to help choose a threshold.

An image goes to a person unless it is accepted. The stricter the rule for that, the more work and
the fewer errors among what nobody looks at (Chow 1970; El-Yaniv and Wiener, JMLR 2010).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lexicon.outcomes import Outcome
from ml.evaluation.judging import Judged
from ml.metrics import Interval, bounds, resample, share_bounds
from ml.trust.calibration import Bin, expected_calibration_error, reliability

THRESHOLDS = (0.0, 0.5, 0.6, 0.7, 0.8, 0.85, 0.9, 0.95, 0.98, 0.99, 0.995, 0.999)
POINTS = 200


@dataclass(frozen=True)
class Load:
    """What a rule means for people and for errors.

    `sent` is the share of images that a person has to see, `error` the share of wrong ones among
    the accepted, None where none is accepted; their 95 % intervals are None where the photographs
    are unknown. `threshold` is the least confidence that is accepted, None for a rule without one.
    """

    rule: str
    threshold: float | None
    images: int
    accepted: int
    sent: float
    error: float | None
    sent_interval: Interval | None = None
    error_interval: Interval | None = None


def by_outcome(judged: Judged) -> Load:
    """The rule as the bundle has it: uncertain and unfamiliar images go to a person."""
    return load(judged, _accepted(judged), "outcome")


def by_confidence(judged: Judged, thresholds: Sequence[float] = THRESHOLDS) -> tuple[Load, ...]:
    """Confidence alone: images below each threshold go to a person, whatever their outcome."""
    stated = _stated(judged)
    return tuple(load(judged, stated >= least, "confidence", least) for least in thresholds)


def by_both(judged: Judged, thresholds: Sequence[float] = THRESHOLDS) -> tuple[Load, ...]:
    """The bundle's rule, and images below each threshold go to a person as well."""
    stated, accepted = _stated(judged), _accepted(judged)
    return tuple(
        load(judged, accepted & (stated >= least), "outcome and confidence", least)
        for least in thresholds
    )


def load(
    judged: Judged, accepted: NDArray[np.bool_], rule: str, threshold: float | None = None
) -> Load:
    """What accepting these images, bool (N,), and no others would mean.

    Raises:
        ValueError: if there is no image.
    """
    if not len(judged):
        raise ValueError("There must be at least one image.")
    wrong = accepted & ~judged.right
    count = int(accepted.sum())
    sent_interval, error_interval = _intervals(judged, accepted, wrong)
    return Load(
        rule=rule,
        threshold=threshold,
        images=len(judged),
        accepted=count,
        sent=1 - count / len(judged),
        error=int(wrong.sum()) / count if count else None,
        sent_interval=sent_interval,
        error_interval=error_interval,
    )


def least_work(loads: Sequence[Load], error: float) -> Load | None:
    """The load that sends the fewest images to people while errors stay at or below `error`, as
    far as can be said: the upper end of the interval counts where there is one."""
    held = [load for load in loads if (worst := _worst(load)) is not None and worst <= error]
    return min(held, key=lambda load: load.sent, default=None)


def area_under_risk_coverage(confidence: NDArray[Any], right: NDArray[np.bool_]) -> float:
    """The mean error among the n most confident images over all n (Geifman, Uziel and El-Yaniv,
    ICLR 2019); among images of the same confidence, as on average over their orders.

    Raises:
        ValueError: if there is no image.
    """
    if not len(right):
        raise ValueError("There must be at least one image.")
    order = np.argsort(-np.asarray(confidence), kind="stable")
    stated, wrong = np.asarray(confidence)[order], np.cumsum(~np.asarray(right)[order])
    ends = np.flatnonzero(np.append(np.diff(stated) != 0, True))
    counts = np.arange(1, len(stated) + 1)
    expected = np.interp(counts, np.append(0, ends + 1), np.append(0, wrong[ends]))
    return float((expected / counts).mean())


def _accepted(judged: Judged) -> NDArray[np.bool_]:
    return np.array([verdict.outcome == Outcome.ACCEPTED for verdict in judged.verdicts], bool)


def _stated(judged: Judged) -> NDArray[np.float64]:
    return np.array([verdict.confidence for verdict in judged.verdicts], np.float64)


def _worst(load: Load) -> float | None:
    return load.error if load.error_interval is None else load.error_interval.high


def _intervals(
    judged: Judged, accepted: NDArray[np.bool_], wrong: NDArray[np.bool_]
) -> tuple[Interval | None, Interval | None]:
    """The intervals of the share sent and of the error, over resamples of the photographs."""
    if not judged.grouped:
        return None, None
    units = judged.units()
    counts = np.zeros((int(units.max()) + 1, 3), np.int64)
    columns = np.stack([np.ones_like(accepted), accepted, wrong], axis=1)
    np.add.at(counts, units, columns.astype(np.int64))
    strata = judged.matrices().sum(axis=2).argmax(axis=1)
    images, accepted_images, missed = resample(counts, strata).T
    sent = bounds(1 - accepted_images / images, len(counts))
    return sent, _error_interval(accepted_images, missed, counts)


def _error_interval(
    accepted_images: NDArray[np.float64], missed: NDArray[np.float64], counts: NDArray[np.int64]
) -> Interval | None:
    units = int((counts[:, 1] > 0).sum())
    if not units:
        return None
    some = accepted_images > 0
    return share_bounds(missed[some] / accepted_images[some], units)


@dataclass(frozen=True)
class Point:
    """The share `error` is wrong among the most confident images, a share `coverage` of all."""

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
    stated = np.array([verdict.confidence for verdict in judged.verdicts])
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
    stated = np.array([verdict.confidence for verdict in judged.verdicts])
    order = np.argsort(-stated, kind="stable")
    wrong = np.cumsum(~judged.right[order])
    # A point where the next image is less sure; the last image always is one.
    ends = np.flatnonzero(np.append(np.diff(stated[order]) != 0, True))
    ends = ends[np.unique(np.linspace(0, len(ends) - 1, POINTS).round().astype(int))]
    return tuple(
        Point(float((end + 1) / len(judged)), float(wrong[end] / (end + 1))) for end in ends
    )
