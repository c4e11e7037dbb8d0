"""Two bundles on the same images: is one better, or is the difference chance?"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from lexicon.outcomes import Outcome
from lexicon.verdicts import Verdict
from ml.bundle import Bundle
from ml.data import DataError, Report, Sample
from ml.evaluation.judging import Judged, judge
from ml.metrics import Interval, bounds, mcnemar, resample
from ml.serving import load_classifier

FLIPS = 10_000
Pair = tuple[int, int]


@dataclass(frozen=True)
class Comparison:
    """How a bundle and another one differ on the images of the classes that both know.

    `only_this` and `only_other` count the images that just one of them got right (McNemar's b and
    c), `p` is the exact two-sided p of McNemar's test, which takes every image as independent.
    `difference` is accuracy minus the other's; `interval` and `p_photographs` are by photographs,
    and None where those are unknown.
    """

    other: str
    other_digest: str
    images: int
    accuracy: float
    other_accuracy: float
    only_this: int
    only_other: int
    p: float
    agreement: float
    interval: Interval | None
    p_photographs: float | None
    left_out: tuple[str, ...]

    @property
    def difference(self) -> float:
        """The accuracy minus the other's, -1 to 1."""
        return self.accuracy - self.other_accuracy


def shared_classes(classes: tuple[str, ...], others: tuple[str, ...]) -> tuple[str, ...]:
    """The classes that two bundles both know.

    Raises:
        DataError: if these are fewer than two: then there is nothing to compare.
    """
    shared = tuple(name for name in classes if name in others)
    if len(shared) < 2:
        message = f"The bundles know {', '.join(classes)} and {', '.join(others)}: "
        raise DataError(message + "with fewer than two classes in common they can't be compared.")
    return shared


def compare(this: Judged, other: Judged, bundle: Bundle) -> Comparison:
    """Compare on the same images, in the same order; `bundle` is the one that judged as `other`."""
    right, others = this.right, other.right
    only_this, only_other = int((right & ~others).sum()), int((~right & others).sum())
    same = [a.label == b.label for a, b in zip(this.verdicts, other.verdicts, strict=True)]
    grouped = this.grouped
    return Comparison(
        other=bundle.title,
        other_digest=bundle.digest,
        images=len(this),
        accuracy=float(right.mean()),
        other_accuracy=float(others.mean()),
        only_this=only_this,
        only_other=only_other,
        p=mcnemar(only_this, only_other),
        agreement=float(np.mean(same)),
        interval=difference_interval(this, other) if grouped else None,
        p_photographs=flip_photographs(this, other) if grouped else None,
        left_out=tuple(sorted(set(this.classes) ^ set(other.classes))),
    )


def difference_interval(this: Judged, other: Judged) -> Interval:
    """The 95 % bootstrap interval, over photographs, of the difference in accuracy."""
    gains, sizes = _by_photograph(this, other)
    strata = this.matrices().sum(axis=2).argmax(axis=1)
    sums = resample(np.column_stack([gains, sizes]), strata)
    return bounds(sums[:, 0] / sums[:, 1], len(gains))


def flip_photographs(this: Judged, other: Judged, seed: int = 0) -> float:
    """The p of a permutation test in which each photograph's images change sides together.

    If the bundles were equally good, a photograph's difference in hits could as well have been
    the other way round. The p is the share of `FLIPS` random flips that differ as much in all.
    """
    gains, _ = _by_photograph(this, other)
    gains = gains[gains != 0]
    rng = np.random.default_rng(seed)
    extreme = 0
    for _ in range(0, FLIPS, 500):
        signs = rng.integers(0, 2, (500, len(gains))) * 2 - 1
        extreme += int((np.abs(signs @ gains) >= abs(gains.sum())).sum())
    return (extreme + 1) / (FLIPS + 1)


def _by_photograph(this: Judged, other: Judged) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Hits of the one minus hits of the other, and the number of images, of each photograph."""
    units = this.units()
    gains = this.right.astype(np.int64) - other.right.astype(np.int64)
    count = int(units.max()) + 1
    sums = np.zeros(count, np.int64)
    np.add.at(sums, units, gains)
    return sums, np.bincount(units, minlength=count)


@dataclass(frozen=True)
class Census:
    """How many of so many images have which best guess, and which outcome, by the one bundle and
    by the other; classes that neither names are left out."""

    images: int
    classes: dict[str, Pair]
    outcomes: dict[str, Pair]


def census(before: Bundle, after: Bundle, samples: Sequence[Sample], report: Report) -> Census:
    """What both say of the same images.

    Raises:
        DataError: if an image can't be read.
    """
    verdicts = [
        judge(load_classifier(bundle), samples, report).verdicts for bundle in (before, after)
    ]
    classes = _counted(verdicts, before.metadata.classes, lambda verdict: verdict.label)
    outcomes = _counted(verdicts, tuple(Outcome), lambda verdict: verdict.outcome)
    return Census(len(samples), {n: pair for n, pair in classes.items() if any(pair)}, outcomes)


def _counted(
    verdicts: Sequence[Sequence[Verdict]], names: Sequence[str], of: Callable[[Verdict], str]
) -> dict[str, Pair]:
    before, after = (Counter(of(verdict) for verdict in judged) for judged in verdicts)
    return {str(name): (before[name], after[name]) for name in names}
