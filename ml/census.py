"""Compares two bundles on the same crops without labels: no scores, but what would change."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from lexicon.outcomes import Outcome
from lexicon.verdicts import Verdict
from ml.bundle import Bundle
from ml.dataset import Sample
from ml.inference import load_classifier
from ml.judging import judge
from ml.loading import Report

Pair = tuple[int, int]


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
    said = [judge(load_classifier(one), samples, report).predictions for one in (before, after)]
    classes = _counted(said, before.metadata.classes, lambda found: found.label)
    outcomes = _counted(said, tuple(Outcome), lambda found: found.outcome)
    return Census(len(samples), {n: pair for n, pair in classes.items() if any(pair)}, outcomes)


def _counted(
    said: Sequence[Sequence[Verdict]], names: Sequence[str], of: Callable[[Verdict], str]
) -> dict[str, Pair]:
    before, after = (Counter(of(found) for found in one) for one in said)
    return {str(name): (before[name], after[name]) for name in names}
