"""A bundle judged on labelled images: which images may count, and what is said of them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ml.dataset import (
    LeakingSplit,
    Sample,
    group_of,
    of_classes,
    random_split,
    require_grouped,
)
from ml.inference import Classifier
from ml.loading import Labelled, Report, load
from ml.metrics import (
    Interval,
    Scores,
    accuracy,
    balanced_accuracy,
    confusion_matrix,
    interval,
    macro_f1,
    score,
)

LEAK_WARNING = (
    "WARNING: THIS SPLIT LEAKS. Copies of the photographs that are judged may have been trained "
    "on, so the scores say nothing about new photographs. Never publish them as accuracy."
)
RANDOM_SHARE = 0.3


@dataclass(frozen=True)
class Evaluation:
    """What a bundle scored on a set, with 95 % intervals over its photographs.

    `intervals` is empty where the photographs are unknown or the split leaks: the images are
    then not independent, and no honest interval exists.
    """

    model: str
    digest: str
    sources: tuple[str, ...]
    split: str
    leaking: bool
    images: int
    scores: Scores
    intervals: dict[str, Interval]

    def as_dict(self) -> dict[str, Any]:
        """The evaluation as JSON knows it."""
        return asdict(self)


def choose(samples: Sequence[Sample], classes: Sequence[str], split: str) -> list[Sample]:
    """The samples to judge by.

    Args:
        samples: all of a data folder.
        classes: those the bundle knows; other cells are left out.
        split: shipped (what the set's authors held out as test), random (a share of all images,
            which leaks) or whole (all images, for a set that was never trained on).

    Raises:
        LeakingSplit: if the shipped split is not there, cuts a photograph, or can't be checked.
        DataError: if a class has no image.
    """
    if split == "random":
        return random_split(of_classes(samples, classes), RANDOM_SHARE, seed=0)[1]
    if split == "whole":
        return _of_present(samples, classes)
    held_out = [sample for sample in samples if sample.split == "test"]
    if not held_out:
        raise LeakingSplit(
            "The data folder does not say which images are its test split. For a set that was "
            "never trained on, use --split whole; --split random judges by a leaking split."
        )
    require_grouped([sample for sample in samples if sample.split in ("train", "val")], held_out)
    return _of_present(held_out, classes)


def evaluate(
    classifier: Classifier, samples: Sequence[Sample], split: str, report: Report
) -> Evaluation:
    """Classify the samples and score the result.

    Raises:
        LeakingSplit: if a set to be judged whole is one that the bundle was trained on.
    """
    bundle = classifier.bundle
    if split == "whole":
        _require_unseen(bundle.metadata.data, samples)
    data = load(samples, bundle.metadata.classes, bundle.metadata.shape, report)
    predicted = _classify(classifier, data, report)
    grouped = split != "random" and all(sample.group is not None for sample in samples)
    return Evaluation(
        model=bundle.title,
        digest=bundle.digest,
        sources=tuple(sorted({sample.source for sample in samples})),
        split=split,
        leaking=split == "random",
        images=len(samples),
        scores=score(data.truth, predicted, bundle.metadata.classes),
        intervals=_intervals(data, predicted, len(bundle.metadata.classes)) if grouped else {},
    )


def _of_present(samples: Sequence[Sample], classes: Sequence[str]) -> list[Sample]:
    """The samples of those classes that the set has; another laboratory may lack one."""
    present = {sample.label for sample in samples}
    return of_classes(samples, [name for name in classes if name in present] or classes)


def _require_unseen(data: Any, samples: Sequence[Sample]) -> None:
    seen = {sample.source for sample in samples} & set(data.get("sources", ()))
    if seen:
        message = f"The bundle was trained on images of {', '.join(sorted(seen))}: judging it by "
        raise LeakingSplit(message + "the whole set leaks. Use --split shipped.")


def _classify(
    classifier: Classifier, data: Labelled, report: Report, batch: int = 64
) -> NDArray[np.int64]:
    """int64 (N,): the class each image is taken for."""
    found = []
    for start in range(0, len(data.images), batch):
        chunk = data.images[start : start + batch]
        found.append(classifier.classify(chunk).argmax(axis=1))
        report("classifying", (start + len(chunk)) / len(data.images), "")
    return np.concatenate(found).astype(np.int64)


def _intervals(data: Labelled, predicted: NDArray[np.int64], count: int) -> dict[str, Interval]:
    groups = np.array([group_of(sample) for sample in data.samples])
    matrices, strata = [], []
    for group in np.unique(groups):
        members = groups == group
        matrices.append(confusion_matrix(data.truth[members], predicted[members], count))
        strata.append(int(np.bincount(data.truth[members]).argmax()))
    statistics = {
        "accuracy": accuracy,
        "balanced_accuracy": balanced_accuracy,
        "macro_f1": macro_f1,
    }
    stacked, kinds = np.stack(matrices), np.array(strata)
    return {name: interval(stacked, compute, kinds) for name, compute in statistics.items()}
