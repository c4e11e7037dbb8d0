"""Scores of a classifier from what was true and what was predicted.

`truth` and `predicted` are integer class numbers of shape (N,) throughout.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.stats import binomtest, mannwhitneyu

DRAWS = 2000
AT_ONCE = 200

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
    classes = tuple(_class_score(matrix, number, label) for number, label in enumerate(labels))
    present = [entry for entry in classes if entry.support]
    return Scores(
        classes=classes,
        accuracy=float(matrix.trace() / matrix.sum()),
        balanced_accuracy=float(np.mean([entry.recall for entry in present])),
        macro_f1=float(np.mean([entry.f1 for entry in present])),
        matrix=tuple(tuple(int(value) for value in row) for row in matrix),
    )


def photograph_matrices(
    photographs: Classes, truth: Classes, predicted: Classes, count: int
) -> NDArray[np.int64]:
    """int64 (photographs, count, count): the confusion matrix of each photograph, of images whose
    photographs are numbered from 0."""
    matrices = np.zeros((int(photographs.max(initial=-1)) + 1, count, count), np.int64)
    np.add.at(matrices, (photographs, truth, predicted), 1)
    return matrices


def score_intervals(
    matrices: NDArray[np.int64],
) -> tuple[dict[str, Interval], NDArray[np.float64]]:
    """The 95 % intervals of accuracy, balanced accuracy and macro F1, and what they come from.

    Args:
        matrices: int64 (photographs, classes, classes), one confusion matrix per photograph.

    Returns:
        The intervals by score, and the matrices that `resample` made, (draws, classes, classes).
    """
    # A photograph with cells of several classes counts for its most frequent one.
    sums = resample(matrices, matrices.sum(axis=2).argmax(axis=1))
    units = len(matrices)
    intervals = {
        "accuracy": share_bounds(accuracy(sums), units),
        "balanced_accuracy": bounds(balanced_accuracy(sums), units),
        "macro_f1": bounds(macro_f1(sums), units),
    }
    return intervals, sums


def resample(
    counts: NDArray[np.int64], strata: NDArray[np.int64], *, draws: int = DRAWS, seed: int = 0
) -> NDArray[np.float64]:
    """Sums of the counts of photographs drawn with replacement, as many as there are.

    The copies of one photograph are not independent, so photographs are drawn, with all their
    copies, within each class (Efron and Tibshirani 1993, section 8: resample the units that
    were sampled).

    Args:
        counts: int64 (photographs, ...), what was counted on each.
        strata: int64 (photographs,), the class of each.
        draws: how many resamples.
        seed: of the random draws.

    Returns:
        float64 (draws, ...).
    """
    rng = np.random.default_rng(seed)
    sums = np.zeros((draws, *counts.shape[1:]))
    for stratum in np.unique(strata):
        members = counts[strata == stratum]
        even = np.full(len(members), 1 / len(members))
        # A few draws at a time: all at once would take draws times photographs numbers of memory.
        for start in range(0, draws, AT_ONCE):
            # How often each photograph is drawn; with replacement, this is a multinomial draw.
            times = rng.multinomial(len(members), even, min(AT_ONCE, draws - start))
            sums[start : start + AT_ONCE] += np.tensordot(times, members, axes=1)
    return sums


def bounds(values: ArrayLike, units: int) -> Interval:
    """The middle 95 % of a statistic's values on resamples of `units` photographs."""
    low, high = np.percentile(np.asarray(values, np.float64), [2.5, 97.5])
    return Interval(float(low), float(high), units)


def share_bounds(values: ArrayLike, units: int) -> Interval:
    """The same for a share of what was right, which may be that of all photographs, or of none.

    No resample of faultless photographs has a fault. How many there can be at most is said by the
    exact interval of none in n (Clopper and Pearson 1934).
    """
    resampled = bounds(values, units)
    if resampled.low < resampled.high or resampled.low not in (0.0, 1.0):
        return resampled
    exact = binomtest(round(resampled.low * units), units).proportion_ci(0.95, method="exact")
    return Interval(float(exact.low), float(exact.high), units)


def class_intervals(
    matrices: NDArray[np.int64], sums: NDArray[np.float64], labels: Sequence[str]
) -> dict[str, dict[str, Interval]]:
    """The 95 % intervals of the classes that are there, by class and then precision, recall, f1.

    The units of a class's recall and F1 are the photographs with an image of it, those of its
    precision the ones with an image that was taken for it; nothing taken for it has no interval.

    Args:
        matrices: int64 (photographs, classes, classes), one confusion matrix per photograph.
        sums: float64 (draws, classes, classes), what `resample` made of them.
        labels: the classes' names.
    """
    hits = _hits(sums)
    support, predicted = sums.sum(axis=2), sums.sum(axis=1)
    # A class that a resample lacks, or never predicts, has nothing to divide by and scores 0.
    precision, recall = hits / np.maximum(predicted, 1), hits / np.maximum(support, 1)
    f1 = 2 * hits / np.maximum(support + predicted, 1)
    shown = (matrices.sum(axis=2) > 0).sum(axis=0)
    guessed = (matrices.sum(axis=1) > 0).sum(axis=0)
    intervals: dict[str, dict[str, Interval]] = {}
    for number, label in enumerate(labels):
        if not shown[number]:
            continue
        ours = {
            "recall": share_bounds(recall[:, number], int(shown[number])),
            "f1": bounds(f1[:, number], int(shown[number])),
        }
        if guessed[number]:
            ours["precision"] = share_bounds(precision[:, number], int(guessed[number]))
        intervals[label] = ours
    return intervals


def auroc(higher: NDArray[np.float64], lower: NDArray[np.float64]) -> float:
    """How often a number of `higher` exceeds one of `lower`, a tie counting half: the area under
    the ROC curve (Mann and Whitney 1947).

    Raises:
        ValueError: if either is empty.
    """
    if not len(higher) or not len(lower):
        raise ValueError("Both sides need at least one number.")
    # The p is not asked for; the asymptotic way to it is the one that costs nothing.
    pairs = mannwhitneyu(higher, lower, method="asymptotic").statistic
    return float(pairs / (len(higher) * len(lower)))


def mcnemar(only_this: int, only_other: int) -> float:
    """The exact two-sided p of the discordant pairs of two classifiers (McNemar 1947): the chance
    that a fair coin falls at least as unevenly in as many throws."""
    throws = only_this + only_other
    return float(binomtest(only_this, throws).pvalue) if throws else 1.0


def accuracy(matrices: NDArray[Any]) -> NDArray[np.float64]:
    """(...): the share of each confusion matrix, (..., classes, classes), on its diagonal."""
    hits = np.trace(matrices, axis1=-2, axis2=-1)
    return np.asarray(hits / matrices.sum(axis=(-2, -1)))


def balanced_accuracy(matrices: NDArray[Any]) -> NDArray[np.float64]:
    """(...): the mean recall of the classes that are there, of each confusion matrix."""
    support = matrices.sum(axis=-1)
    return _mean_of_present(_hits(matrices) / np.maximum(support, 1), support)


def macro_f1(matrices: NDArray[Any]) -> NDArray[np.float64]:
    """(...): the mean over the classes that are there of F1 = 2 · hits / (true + predicted)."""
    support = matrices.sum(axis=-1)
    both = support + matrices.sum(axis=-2)
    return _mean_of_present(2 * _hits(matrices) / np.maximum(both, 1), support)


def _hits(matrices: NDArray[Any]) -> NDArray[Any]:
    """(..., classes): the diagonals."""
    return np.diagonal(matrices, axis1=-2, axis2=-1)


def _mean_of_present(values: NDArray[Any], support: NDArray[Any]) -> NDArray[np.float64]:
    present = support > 0
    return np.asarray((values * present).sum(axis=-1) / present.sum(axis=-1))


def _class_score(matrix: NDArray[np.int64], number: int, label: str) -> ClassScore:
    hits = float(matrix[number, number])
    support, predicted = float(matrix[number].sum()), float(matrix[:, number].sum())
    return ClassScore(
        label=label,
        precision=hits / predicted if predicted else 0.0,
        recall=hits / support if support else 0.0,
        f1=2 * hits / (support + predicted) if support + predicted else 0.0,
        support=int(support),
    )
