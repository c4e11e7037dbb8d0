"""An evaluation as files: text, JSON, one page with pictures, and a table of the predictions."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from textwrap import fill

from lexicon import results
from lexicon.verdicts import Verdict
from ml.data import Sample
from ml.evaluation.evaluate import LEAK_WARNING, Evaluation
from ml.evaluation.judging import Judged
from ml.evaluation.report.parts import Matrix, Section, Table, code_of, name_of
from ml.evaluation.report.sections import sections, title

TEXT, DATA, PAGE = "evaluation.txt", "evaluation.json", "evaluation.html"
WIDTH = 100
TABLE = "predictions.csv"
KNOWN = ("file", "source", "group", "truth")


def write_report(found: Evaluation, out: Path, colours: Mapping[str, str]) -> None:
    """Write the text, the JSON and the page into the folder `out`.

    Args:
        found: the evaluation to write.
        out: made if it is not there.
        colours: the colour of each class, as CSS writes it; other classes have none.
    """
    from ml.evaluation.report.page import as_page

    written = {TEXT: as_text(found), DATA: as_json(found), PAGE: as_page(found, colours)}
    out.mkdir(parents=True, exist_ok=True)
    for name, text in written.items():
        (out / name).write_text(text, encoding="utf-8")


def as_json(found: Evaluation) -> str:
    """The whole evaluation as JSON."""
    return json.dumps(found.as_dict(), indent=2) + "\n"


def as_text(found: Evaluation) -> str:
    """The whole evaluation without its pictures, for a terminal."""
    parts = [f"{title(found)}: {found.images:,} images"]
    parts += [section_text(section) for section in sections(found)]
    if found.leaking:
        parts = [LEAK_WARNING, *parts, LEAK_WARNING]
    return "\n\n".join(parts) + "\n"


def section_text(section: Section) -> str:
    """A section without its pictures."""
    blocks = [section.title.upper()]
    for part in section.parts:
        if isinstance(part, str):
            blocks.append(fill(part, WIDTH))
        elif isinstance(part, Table):
            blocks.append(_table(part))
        elif isinstance(part, Matrix):
            blocks.append(_aligned(matrix_rows(part)))
    return "\n".join(blocks)


def matrix_rows(matrix: Matrix) -> list[tuple[str, ...]]:
    """The matrix as rows, its heading first; a cell is a count and its share of the row."""
    rows = [("true", *(code_of(label) for label in matrix.labels), "images")]
    for label, counts, shares in zip(matrix.labels, matrix.counts, matrix.shares(), strict=True):
        cells = [
            f"{count:,} {share:>6.1%}" if count else "·"
            for count, share in zip(counts, shares, strict=True)
        ]
        rows.append((f"{code_of(label)} {name_of(label)}", *cells, f"{sum(counts):,}"))
    return rows


def _table(table: Table) -> str:
    rows = [table.head, *table.rows] if any(table.head) else list(table.rows)
    text = _aligned(rows)
    return f"{table.caption}\n{text}" if table.caption else text


def _aligned(rows: Sequence[tuple[str, ...]]) -> str:
    """Columns as wide as their widest cell: words to the left, numbers to the right."""
    widths = [max(len(cell) for cell in column) for column in zip(*rows, strict=True)]
    lines = []
    for first, *others in rows:
        cells = [cell.rjust(width) for cell, width in zip(others, widths[1:], strict=True)]
        lines.append("  ".join([first.ljust(widths[0]), *cells]).rstrip())
    return "\n".join(lines)


def write_predictions(judged: Judged, out: Path) -> None:
    """Write one row per image: its source, its label, and the answer."""
    out.mkdir(parents=True, exist_ok=True)
    with (out / TABLE).open("w", newline="", encoding="utf-8") as file:
        table = results.Table(file)
        label, *rest = results.VERDICT_COLUMNS
        shares = results.probability_columns(judged.classes)
        table.write((*KNOWN, label, "right", *rest, *shares))
        for sample, verdict in zip(judged.samples, judged.predictions, strict=True):
            table.write(_cells(sample, verdict))


def _cells(sample: Sample, verdict: Verdict) -> Iterator[str]:
    yield from (sample.file, sample.source, sample.group or "", sample.label)
    label, *rest = results.texts(verdict).values()
    yield from (label, "yes" if label == sample.label else "no", *rest)
    yield from map(results.number, verdict.probabilities)
