"""The table of results: one row per file, for spreadsheets and programs."""

from __future__ import annotations

import csv
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, TextIO

from lexicon.verdicts import Verdict

# The columns of a file's verdict, in this order; the probability of each class follows.
VERDICT_COLUMNS = ("class", "confidence", "outcome", "candidates", "reason", "familiarity", "box")
COLUMNS = ("file", *VERDICT_COLUMNS, "model")
# A spreadsheet takes a cell that begins with one of these for a formula, and runs it.
_FORMULA = ("=", "+", "-", "@", "\t", "\r")


class Table:
    """Writes rows to a text file as CSV.

    Every cell is quoted, since some spreadsheets also split at semicolons; no cell is a formula.
    """

    def __init__(self, file: TextIO) -> None:
        self._writer = csv.writer(file, quoting=csv.QUOTE_ALL, lineterminator="\n")

    def write(self, cells: Iterable[str]) -> None:
        """Write one row."""
        self._writer.writerow([harmless(cell) for cell in cells])


def harmless(cell: str) -> str:
    """Return the cell with a quote before what a spreadsheet would run as a formula."""
    return f"'{cell}" if cell.startswith(_FORMULA) else cell


def head(classes: Iterable[str]) -> list[str]:
    """Return the first row of a table of results."""
    return [*COLUMNS, *probability_columns(classes), "message"]


def probability_columns(classes: Iterable[str]) -> list[str]:
    """Return the names of the columns that hold the probabilities."""
    return [f"probability_{name}" for name in classes]


def row(
    file: str,
    verdict: Verdict | None,
    model: str,
    probabilities: Mapping[str, float],
    classes: Sequence[str],
    *,
    state: str,
    message: str,
) -> list[str]:
    """Return a file's row; without a verdict, ``state`` says what happened to it."""
    cells = dict.fromkeys(VERDICT_COLUMNS, "") | {"outcome": state}
    if verdict is not None:
        cells = texts(verdict)
    shares = (number(probabilities.get(name)) for name in classes)
    return [file, *cells.values(), model, *shares, message]


def texts(verdict: Verdict) -> dict[str, str]:
    """Return a verdict's cells by column, in the order of `VERDICT_COLUMNS`.

    If the image was not accepted, its class is only the best guess, and the outcome says so.
    """
    familiarity = verdict.familiarity
    return {
        "class": verdict.label,
        "confidence": number(verdict.confidence),
        "outcome": verdict.outcome.value,
        "candidates": " | ".join(verdict.candidates),
        "reason": verdict.reason,
        "familiarity": "" if familiarity is None else f"{familiarity:.4f}",
        "box": " ".join(f"{edge:.4f}" for edge in verdict.box or ()),
    }


def values(verdict: Verdict | None) -> dict[str, Any]:
    """Return the same for programs, numbers as numbers; without a verdict, no value is given."""
    if verdict is None:
        return dict.fromkeys(VERDICT_COLUMNS) | {"candidates": [], "reason": ""}
    familiarity = verdict.familiarity
    return {
        "class": verdict.label,
        "confidence": round(verdict.confidence, 6),
        "outcome": verdict.outcome.value,
        "candidates": [*verdict.candidates],
        "reason": verdict.reason,
        "familiarity": None if familiarity is None else round(familiarity, 4),
        "box": verdict.box and [*verdict.box.rounded(4)],
    }


def number(share: float | None) -> str:
    """Return a probability with six decimals, or an empty cell."""
    return "" if share is None else f"{share:.6f}"
