"""A verdict keeps its shape on the way through a table, and reads the same in every export."""

from __future__ import annotations

import csv
import io
from dataclasses import fields, replace

import pytest

from lexicon.outcomes import BETWEEN_CLASSES, Outcome
from lexicon.results import VERDICT_COLUMNS, Table, head, row, texts, values
from lexicon.verdicts import FIELDS, Box, Verdict

CLASSES = ("eosinophil", "neutrophil")
DOUBT = Verdict(
    label="eosinophil",
    confidence=0.55,
    outcome=Outcome.UNCERTAIN,
    probabilities=(0.55, 0.45),
    candidates=CLASSES,
    reason=BETWEEN_CLASSES,
    familiarity=0.31,
    box=Box(0.1, 0.2, 0.6, 0.7),
)
BARE = Verdict("neutrophil", 1.0, Outcome.ACCEPTED, (0.0, 1.0))


@pytest.mark.parametrize("verdict", [DOUBT, replace(BARE, candidates=("neutrophil",))])
def test_a_table_gives_back_what_it_was_given(verdict: Verdict) -> None:
    columns = verdict.columns()
    assert list(columns) == [field.name for field in fields(Verdict)]
    assert {type(value) for value in columns.values()} <= {str, float, list, type(None)}
    assert Verdict.of(*(columns[name] for name in FIELDS)) == verdict


def test_without_candidates_the_label_is_the_only_one() -> None:
    assert BARE.columns()["candidates"] == ["neutrophil"]


def test_people_and_programs_are_told_the_same() -> None:
    assert tuple(texts(DOUBT)) == tuple(values(DOUBT)) == tuple(values(None)) == VERDICT_COLUMNS
    assert values(DOUBT) == {
        "class": "eosinophil",
        "confidence": 0.55,
        "outcome": "uncertain",
        "candidates": ["eosinophil", "neutrophil"],
        "reason": "between_classes",
        "familiarity": 0.31,
        "box": [0.1, 0.2, 0.6, 0.7],
    }


def test_a_file_without_a_verdict_says_what_became_of_it() -> None:
    cells = row("=1.png", None, "", {}, CLASSES, state="refused", message="The file is empty.")
    out = io.StringIO()
    table = Table(out)
    table.write(head(CLASSES))
    table.write(cells)
    [read] = csv.DictReader(io.StringIO(out.getvalue()))
    told = {name: cell for name, cell in read.items() if cell}
    assert told == {"file": "'=1.png", "outcome": "refused", "message": "The file is empty."}
