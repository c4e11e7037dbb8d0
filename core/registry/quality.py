"""How good a model is: the scores recorded of it, and how well it agrees with the active one."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from sqlalchemy import case, func, select
from sqlalchemy.orm import Session, aliased

from core.tables import Prediction
from lexicon.cells import display_order


@dataclass(frozen=True, slots=True)
class ClassAgreement:
    """Images that the active model puts into one class, and how many of them both put there."""

    name: str
    images: int
    equal: int


@dataclass(frozen=True, slots=True)
class Agreement:
    """Over all images that both models have judged, and by the active model's classes."""

    images: int
    equal: int
    classes: tuple[ClassAgreement, ...]

    @property
    def share(self) -> float | None:
        """Share of the images on whose class both agree, 0 to 1; None before there is any."""
        return self.equal / self.images if self.images else None


def compare(session: Session, active: str, other: str) -> Agreement:
    """Compare the classes two models, named by their digests, have given to the same images."""
    ours, theirs = aliased(Prediction), aliased(Prediction)
    rows = session.execute(
        select(ours.label, func.count(), func.sum(case((ours.label == theirs.label, 1), else_=0)))
        .join(theirs, theirs.image_id == ours.image_id)
        .where(ours.model_digest == active, theirs.model_digest == other)
        .group_by(ours.label)
    )
    classes = tuple(
        ClassAgreement(name, count, int(equal))
        for name, count, equal in sorted(rows, key=lambda row: display_order(row[0]))
    )
    images = sum(by_class.images for by_class in classes)
    return Agreement(images, sum(by_class.equal for by_class in classes), classes)


@dataclass(frozen=True, slots=True)
class Score:
    """Accuracy on one set of images, 0 to 1, and its 95 % interval where one was recorded."""

    images: str
    accuracy: float
    low: float | None
    high: float | None

    def __str__(self) -> str:
        """Per cents with one decimal, the interval in brackets."""
        accuracy = f"{100 * self.accuracy:.1f} %"
        if self.low is None or self.high is None:
            return accuracy
        return f"{accuracy} [{100 * self.low:.1f}–{100 * self.high:.1f}]"  # noqa: RUF001


def read_scores(scores: Mapping[str, Any]) -> list[Score]:
    """Return the accuracies in their order, skipping entries that are not scores.

    A set's scores hold ``accuracy`` and perhaps ``intervals``, by score ``low`` and ``high``; they
    may be nested one level deeper, under ``scores``.
    """
    return list(_read(scores))


def _read(scores: Mapping[str, Any]) -> Iterator[Score]:
    for name, entry in scores.items():
        if not isinstance(entry, Mapping):
            continue
        inner = entry.get("scores", entry)
        accuracy = inner.get("accuracy") if isinstance(inner, Mapping) else None
        if isinstance(accuracy, int | float):
            low, high = _interval(entry.get("intervals"))
            yield Score(name.replace("_", " "), float(accuracy), low, high)


def _interval(intervals: object) -> tuple[float | None, float | None]:
    interval = intervals.get("accuracy") if isinstance(intervals, Mapping) else None
    if not isinstance(interval, Mapping):
        return None, None
    low, high = interval.get("low"), interval.get("high")
    return (low, high) if low is not None and high is not None else (None, None)
