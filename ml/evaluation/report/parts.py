"""The parts of a report, and how its numbers are written."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import NamedTuple

from lexicon.cells import cell_type
from ml.metrics import Interval

DASH = "\N{EN DASH}"
AVERAGES = {
    "accuracy": "accuracy",
    "balanced_accuracy": "balanced accuracy",
    "macro_f1": "macro F1",
}


@dataclass(frozen=True)
class Table:
    """A table; the cells of the first column are words, all others numbers."""

    head: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    caption: str = ""

    @property
    def headed(self) -> bool:
        """Whether its columns have names; without, it is a list of facts."""
        return any(self.head)


class MatrixRow(NamedTuple):
    """The images of one true class: of each predicted class their count and share, and all."""

    label: str
    cells: tuple[tuple[int, float], ...]
    images: int


@dataclass(frozen=True)
class Matrix:
    """A confusion matrix: rows are the true classes, columns the predicted ones."""

    labels: tuple[str, ...]
    counts: tuple[tuple[int, ...], ...]

    def rows(self) -> Iterator[MatrixRow]:
        """Yield the row of each class; shares are from 0 to 1."""
        for label, counts in zip(self.labels, self.counts, strict=True):
            images = sum(counts)
            cells = tuple((count, count / max(1, images)) for count in counts)
            yield MatrixRow(label, cells, images)


@dataclass(frozen=True)
class Chart:
    """A picture, named by what `report.charts` calls it, and what it shows in words."""

    name: str
    words: str


@dataclass(frozen=True)
class Section:
    """A heading with what stands below it, from top to bottom; a str is a paragraph, and charts
    in one tuple stand side by side."""

    title: str
    parts: tuple[str | Table | Matrix | tuple[Chart, ...], ...]


def name_of(label: str) -> str:
    """A class in words."""
    return label.replace("_", " ")


def code_of(label: str) -> str:
    """The code shown beside a class's colour."""
    return cell_type(label).code


def percent(part: float, whole: float) -> str:
    """A share of a whole in per cent; nothing of nothing is a dash."""
    return f"{100 * part / whole:.1f} %" if whole else DASH


def number(value: float, interval: Interval | None) -> str:
    """A score with its interval, if there is one that says anything."""
    if interval is None or interval.low == interval.high:
        return f"{value:.3f}"
    return f"{value:.3f} [{interval.low:.3f}{DASH}{interval.high:.3f}]"


def share(value: float, interval: Interval | None) -> str:
    """A share and its interval in per cent."""
    if interval is None or interval.low == interval.high:
        return percent(value, 1)
    return f"{percent(value, 1)} [{100 * interval.low:.1f}{DASH}{100 * interval.high:.1f}]"


def chance(p: float) -> str:
    """A p value; very small ones are shown as < 0.0001."""
    return f"{p:.4f}" if p >= 0.0001 else "< 0.0001"
