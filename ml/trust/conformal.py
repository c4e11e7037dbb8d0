"""Sets of classes that hold the true one with a promised probability, class by class.

Split-conformal prediction (Vovk, Gammerman and Shafer 2005) with the score 1 - p(class) of Sadinle,
Lei and Wasserman (JASA 2019), calibrated within each class (Mondrian), so that a rare class is
promised as much as a frequent one. NumPy only.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ml.trust.calibration import TooFewCells

FEWEST = 30

Floats = NDArray[np.float64]
Classes = NDArray[np.int64]


@dataclass(frozen=True)
class Quantiles:
    """Up to which score each class belongs to a set.

    `coverage` is the promised probability; `limits` has a score for each class, 0 to 1; where
    `pooled` is true the class had too few cells of its own, and its limit is that of all classes
    together: for it alone nothing is promised.
    """

    coverage: float
    limits: tuple[float, ...]
    pooled: tuple[bool, ...]


@dataclass(frozen=True)
class ClassCoverage:
    """One class's images: their number, the share whose set includes it, and the mean set size."""

    label: str
    images: int
    coverage: float
    size: float


def conformal_quantile(scores: Floats, coverage: float, weights: Floats | None = None) -> float:
    """The score that a new one stays at or below with probability `coverage` or more.

    It is the ⌈(n + 1) · coverage⌉-th smallest of n scores; infinite, if n is too small for that.
    Weighted, n is the number of photographs: each of them counts as one, its copies sharing that
    (the pooled distribution of Dunn, Wasserman and Ramdas, JASA 2023, section 4).

    Args:
        scores: float64 (N,), of cells that the network was not trained on.
        coverage: between 0 and 1.
        weights: float64 (N,), summing to the number of photographs; 1 for each if None.
    """
    counts = np.ones(len(scores)) if weights is None else np.asarray(weights, np.float64)
    units = round(counts.sum())
    # Rounding first: (99 + 1) · 0.95 is a little over 95 in binary, and would count one too many.
    rank = math.ceil(round((units + 1) * coverage, 9))
    order = np.argsort(scores)
    reached = np.flatnonzero(np.cumsum(counts[order]) >= rank - 1e-9)
    return float(scores[order[reached[0]]]) if len(reached) else math.inf


def fit_quantiles(
    probabilities: NDArray[Any],
    truth: Classes,
    coverage: float,
    *,
    groups: Sequence[str] | None = None,
    few_shot: Collection[int] = (),
) -> Quantiles:
    """The limit of each class from cells that the network was not trained on.

    Args:
        probabilities: (N, C), calibrated.
        truth: int64 (N,).
        coverage: the promised probability, between 0 and 1.
        groups: the photograph of each cell, (N,); each cell is one of its own if None.
        few_shot: the numbers of classes whose own cells are too few in any case.

    Raises:
        TooFewCells: if all cells together are too few for this coverage.
    """
    scores = 1 - np.asarray(probabilities, np.float64)[np.arange(len(truth)), truth]
    weights = _one_a_photograph(truth, groups)
    together = conformal_quantile(scores, coverage, weights)
    if math.isinf(together):
        message = f"{round(weights.sum())} validation cells are too few to promise "
        raise TooFewCells(message + f"{coverage:.1%}. Add more, or promise less.")
    limits, pooled = [], []
    for label in range(np.shape(probabilities)[1]):
        own = truth == label
        few = label in few_shot or round(weights[own].sum()) < max(FEWEST, fewest(coverage))
        pooled.append(few)
        limits.append(together if few else conformal_quantile(scores[own], coverage, weights[own]))
    return Quantiles(coverage, tuple(limits), tuple(pooled))


def fewest(coverage: float) -> int:
    """How many cells are needed for a finite quantile: n with ⌈(n + 1) · coverage⌉ ≤ n."""
    return math.ceil(round(coverage / (1 - coverage), 9))


def conforming(probabilities: NDArray[Any], quantiles: Quantiles) -> NDArray[np.bool_]:
    """bool (N, C): the classes within their limits, maybe none; on these rests the promise."""
    return np.asarray(1 - np.asarray(probabilities, np.float64) <= np.array(quantiles.limits))


def sets(probabilities: NDArray[Any], quantiles: Quantiles) -> NDArray[np.bool_]:
    """bool (N, C): which classes can't be ruled out; the best one is always in.

    A network that is right more often than was promised has limits so strict that an image
    between two classes is within none. Its candidates are then the most probable classes that
    together reach the promised probability, so that it does not pass for a sure one.
    """
    values = np.asarray(probabilities, np.float64)
    members = conforming(values, quantiles)
    none = ~members.any(axis=1)
    members[none] = credible(values[none], quantiles.coverage)
    members[np.arange(len(values)), values.argmax(axis=1)] = True
    return members


def credible(probabilities: NDArray[Any], share: float) -> NDArray[np.bool_]:
    """bool (N, C): the fewest classes, the most probable first, that together reach `share`."""
    values = np.asarray(probabilities, np.float64)
    order = np.argsort(-values, axis=1, kind="stable")
    ranked = np.take_along_axis(values, order, axis=1)
    members = np.zeros(values.shape, bool)
    np.put_along_axis(members, order, ranked.cumsum(axis=1) - ranked < share, axis=1)
    return members


def coverages(
    members: NDArray[np.bool_], truth: Classes, labels: Sequence[str]
) -> tuple[ClassCoverage, ...]:
    """How the sets, bool (N, C), did for the images of each class that is there."""
    held, sizes = members[np.arange(len(truth)), truth], members.sum(axis=1)
    measured = []
    for number, label in enumerate(labels):
        own = truth == number
        if own.any():
            share, size = float(held[own].mean()), float(sizes[own].mean())
            measured.append(ClassCoverage(label, int(own.sum()), share, size))
    return tuple(measured)


def _one_a_photograph(truth: Classes, groups: Sequence[str] | None) -> Floats:
    """float64 (N,): each photograph counts one for each class that it shows."""
    if groups is None:
        return np.ones(len(truth))
    names = [f"{label}/{group}" for label, group in zip(truth, groups, strict=True)]
    _, photographs, counts = np.unique(names, return_inverse=True, return_counts=True)
    return np.asarray(1 / counts[photographs])
