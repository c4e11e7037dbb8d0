"""A model's recorded scores as one line for each set of images they were measured on."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class Score:
    """Accuracy on one set of images, 0 to 1, and its 95 % interval where one was recorded."""

    images: str
    accuracy: float
    low: float | None
    high: float | None

    def __str__(self) -> str:
        """Per cents with one decimal, the interval in brackets."""
        found = f"{100 * self.accuracy:.1f} %"
        if self.low is None or self.high is None:
            return found
        return f"{found} [{100 * self.low:.1f}–{100 * self.high:.1f}]"  # noqa: RUF001


def read_scores(scores: Mapping[str, Any]) -> list[Score]:
    """Return the accuracies in their order, skipping entries that are not scores.

    A set's scores hold ``accuracy`` and perhaps ``intervals``, by score ``low`` and ``high``; they
    may be nested one level deeper, under ``scores``.
    """
    return list(_read(scores))


def _read(scores: Mapping[str, Any]) -> Iterator[Score]:
    for name, found in scores.items():
        if not isinstance(found, Mapping):
            continue
        inner = found.get("scores", found)
        accuracy = inner.get("accuracy") if isinstance(inner, Mapping) else None
        if isinstance(accuracy, int | float):
            low, high = _interval(found.get("intervals"))
            yield Score(name.replace("_", " "), float(accuracy), low, high)


def _interval(intervals: object) -> tuple[float | None, float | None]:
    found = intervals.get("accuracy") if isinstance(intervals, Mapping) else None
    if not isinstance(found, Mapping):
        return None, None
    low, high = found.get("low"), found.get("high")
    return (low, high) if low is not None and high is not None else (None, None)
