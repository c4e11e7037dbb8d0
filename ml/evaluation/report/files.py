"""An evaluation as files: text, JSON, one page with pictures, and a table of the predictions."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from textwrap import fill

from lexicon import results
from lexicon.verdicts import Verdict
from lexicon.words import counted
from ml.data import Sample
from ml.evaluation.evaluate import LEAK_WARNING, Evaluation
from ml.evaluation.judging import Judged
from ml.evaluation.report.page import as_page
from ml.evaluation.report.parts import Matrix, Section, Table, code_of, name_of
from ml.evaluation.report.sections import sections, title
from ml.tables import plain_table

TEXT, DATA, PAGE = "evaluation.txt", "evaluation.json", "evaluation.html"
WIDTH = 100
TABLE = "predictions.csv"
KNOWN = ("file", "source", "group", "truth")


def write_report(evaluation: Evaluation, out: Path, colours: Mapping[str, str]) -> None:
    """Write the text, the JSON and the page into the folder `out`.

    Args:
        evaluation: the evaluation to write.
        out: made if it is not there.
        colours: the colour of each class, as CSS writes it; other classes have none.
    """
    written = {
        TEXT: as_text(evaluation),
        DATA: as_json(evaluation),
        PAGE: as_page(evaluation, colours),
    }
    out.mkdir(parents=True, exist_ok=True)
    for name, text in written.items():
        (out / name).write_text(text, encoding="utf-8")


def as_json(evaluation: Evaluation) -> str:
    """The whole evaluation as JSON."""
    return json.dumps(evaluation.as_dict(), indent=2) + "\n"


def as_text(evaluation: Evaluation) -> str:
    """The whole evaluation without its pictures, for a terminal."""
    parts = [f"{title(evaluation)}: {counted(evaluation.images, 'image')}"]
    parts += [section_text(section) for section in sections(evaluation)]
    if evaluation.leaking:
        parts = [LEAK_WARNING, *parts, LEAK_WARNING]
    return "\n\n".join(parts) + "\n"


def section_text(section: Section) -> str:
    """A section without its pictures."""
    blocks = [section.title.upper()]
    for part in section.parts:
        if isinstance(part, str):
            blocks.append(fill(part, WIDTH))
        elif isinstance(part, Table):
            blocks += [part.caption] if part.caption else []
            blocks.append(plain_table(part.rows, part.head if part.headed else ()))
        elif isinstance(part, Matrix):
            blocks.append(_matrix(part))
    return "\n".join(blocks)


def _matrix(matrix: Matrix) -> str:
    """The matrix as a table; a cell is a count and its share of the row."""
    rows = [
        (
            f"{code_of(row.label)} {name_of(row.label)}",
            *(f"{count:,} {share:>6.1%}" if count else "·" for count, share in row.cells),
            f"{row.images:,}",
        )
        for row in matrix.rows()
    ]
    return plain_table(rows, ("true", *map(code_of, matrix.labels), "images"))


def write_predictions(judged: Judged, out: Path) -> None:
    """Write one row per image: its source, its label, and the answer."""
    out.mkdir(parents=True, exist_ok=True)
    with (out / TABLE).open("w", newline="", encoding="utf-8") as file:
        table = results.Table(file)
        label, *rest = results.VERDICT_COLUMNS
        shares = results.probability_columns(judged.classes)
        table.write((*KNOWN, label, "right", *rest, *shares))
        for sample, verdict in zip(judged.samples, judged.verdicts, strict=True):
            table.write(_cells(sample, verdict))


def _cells(sample: Sample, verdict: Verdict) -> Iterator[str]:
    yield from (sample.file, sample.source, sample.group or "", sample.label)
    label, *rest = results.texts(verdict).values()
    yield from (label, "yes" if label == sample.label else "no", *rest)
    yield from map(results.number, verdict.probabilities)
