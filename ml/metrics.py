"""Scores of a classifier from what was true and what was predicted; NumPy only.

`truth` and `predicted` are integer class numbers of shape (N,) throughout.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

Classes = NDArray[np.int64]


@dataclass(frozen=True)
class ClassScore:
    """How well one class was found; `support` is how many of it there were."""

    label: str
    precision: float
    recall: float
    f1: float
    support: int


@dataclass(frozen=True)
class Scores:
    """The scores of a classifier on one set; shares from 0 to 1.

    `matrix` holds in row i, column j how many of class i were taken for class j. Averages go
    over the classes that are there at all.
    """

    classes: tuple[ClassScore, ...]
    accuracy: float
    balanced_accuracy: float
    macro_f1: float
    matrix: tuple[tuple[int, ...], ...]


@dataclass(frozen=True)
class Interval:
    """A 95 % interval over `units` independent photographs."""

    low: float
    high: float
    units: int


def confusion_matrix(truth: Classes, predicted: Classes, count: int) -> NDArray[np.int64]:
    """int64 (count, count): rows are the true classes, columns the predicted ones."""
    matrix = np.bincount(truth * count + predicted, minlength=count * count)
    return matrix.reshape(count, count).astype(np.int64)


def score(truth: Classes, predicted: Classes, labels: Sequence[str]) -> Scores:
    """All scores of a set.

    Precision of a class never predicted, recall of one that is not there, and the F1 of either,
    are 0, as scikit-learn has it.

    Raises:
        ValueError: if the set is empty or the two differ in length.
    """
    if len(truth) == 0 or len(truth) != len(predicted):
        raise ValueError("There must be as many predictions as labels, and at least one.")
    matrix = confusion_matrix(truth, predicted, len(labels))
    classes = tuple(_class_score(matrix, place, label) for place, label in enumerate(labels))
    present = [entry for entry in classes if entry.support]
    return Scores(
        classes=classes,
        accuracy=float(matrix.trace() / matrix.sum()),
        balanced_accuracy=float(np.mean([entry.recall for entry in present])),
        macro_f1=float(np.mean([entry.f1 for entry in present])),
        matrix=tuple(tuple(int(value) for value in row) for row in matrix),
    )


def interval(
    matrices: NDArray[np.int64],
    statistic: Callable[[NDArray[np.float64]], float],
    strata: NDArray[np.int64],
    *,
    draws: int = 2000,
    seed: int = 0,
) -> Interval:
    """The 95 % percentile bootstrap interval of a statistic, drawn over photographs.

    The copies of one photograph are not independent, so photographs are drawn, with all their
    copies, within each class (Efron and Tibshirani 1993, section 8: resample the units that
    were sampled).

    Args:
        matrices: int64 (photographs, classes, classes), one confusion matrix a photograph.
        statistic: a number from a confusion matrix.
        strata: int64 (photographs,), the class of each.
        draws: how many resamples.
        seed: of the random draws.
    """
    rng = np.random.default_rng(seed)
    sums = np.zeros((draws, *matrices.shape[1:]))
    for stratum in np.unique(strata):
        members = matrices[strata == stratum]
        # How often each photograph is drawn; drawing with replacement is a multinomial draw.
        times = rng.multinomial(len(members), np.full(len(members), 1 / len(members)), draws)
        sums += np.tensordot(times, members, axes=1)
    low, high = np.percentile([statistic(matrix) for matrix in sums], [2.5, 97.5])
    return Interval(float(low), float(high), len(matrices))


def accuracy(matrix: NDArray[Any]) -> float:
    """The share of a confusion matrix that lies on its diagonal."""
    return float(matrix.trace() / matrix.sum())


def balanced_accuracy(matrix: NDArray[Any]) -> float:
    """The mean recall of the classes that are there."""
    support = matrix.sum(axis=1)
    return float(np.mean(np.diagonal(matrix)[support > 0] / support[support > 0]))


def macro_f1(matrix: NDArray[Any]) -> float:
    """The mean over the classes that are there of F1 = 2 · hits / (true + predicted)."""
    support = matrix.sum(axis=1)
    both = (support + matrix.sum(axis=0))[support > 0]
    return float(np.mean(2 * np.diagonal(matrix)[support > 0] / both))


def _class_score(matrix: NDArray[np.int64], place: int, label: str) -> ClassScore:
    hits = float(matrix[place, place])
    support, predicted = float(matrix[place].sum()), float(matrix[:, place].sum())
    return ClassScore(
        label=label,
        precision=hits / predicted if predicted else 0.0,
        recall=hits / support if support else 0.0,
        f1=2 * hits / (support + predicted) if support + predicted else 0.0,
        support=int(support),
    )
