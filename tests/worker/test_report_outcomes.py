"""A report of cells that were not all accepted: what counts, what waits, what may be trusted."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Any

import pytest

from core import jobs
from core.jobs import Failure
from core.states import ShardState
from core.tables import Model
from lexicon.outcomes import Outcome
from lexicon.verdicts import Verdict
from tests.worker.conftest import Submit
from tests.worker.test_pipeline import files, shards
from tests.worker.test_report import make, squeezed, text_of
from worker.process import WorkerProcess
from worker.report import contents

SURE = Verdict("neutrophil", 0.97, Outcome.ACCEPTED, (0.01, 0.01, 0.01, 0.97))
DOUBT = Verdict(
    "eosinophil",
    0.55,
    Outcome.UNCERTAIN,
    (0.55, 0.0, 0.0, 0.45),
    ("eosinophil", "neutrophil"),
    "between_classes",
    0.4,
)
TURNED = dataclasses.replace(DOUBT, label="neutrophil", candidates=("neutrophil", "eosinophil"))
CROWD = dataclasses.replace(DOUBT, candidates=("eosinophil",), reason="several_cells")
STRANGE = Verdict(
    "monocyte", 0.7, Outcome.UNFAMILIAR, (0.1, 0.1, 0.7, 0.1), ("monocyte",), "no_cell", 0.0
)


def judged(process: WorkerProcess, job_id: int, verdicts: Sequence[Verdict]) -> None:
    """Do the network's part: give the images of a job these verdicts, in their order."""
    left, digest = iter(verdicts), process.models.shipped.digest
    while rung := shards(process, ShardState.PUBLISHED):
        for shard_id in rung:
            with process.database.writing() as session:
                claim = jobs.claim(session, shard_id, "host:1", 60)
                assert claim is not None
                results: dict[int, Verdict | Failure] = {w.image_id: next(left) for w in claim.work}
                jobs.record(session, claim, digest, results)
            with process.database.writing() as session:
                jobs.settle(session, job_id)
        jobs.dispatch(process.database, process.settings)


@pytest.fixture
def mixed(process: WorkerProcess, submit: Submit) -> int:
    """A job of eight cells, of which three are accepted."""
    job_id = submit(files(8))
    judged(process, job_id, [SURE, DOUBT, SURE, STRANGE, TURNED, CROWD, SURE, DOUBT])
    return job_id


def test_the_differential_counts_accepted_cells_and_balances(
    process: WorkerProcess, mixed: int
) -> None:
    first = make(process, mixed).pages[0].extract_text()
    for line in (
        "NE Neutrophil 3 100.0 %",
        "Accepted cells 3 100.0 %",
        "? Uncertain 4",
        "\N{MULTIPLICATION SIGN} Unfamiliar 1",
        "All classified cells 8",
    ):
        assert squeezed(line) in squeezed(first), line
    assert "Eosinophil 1" not in first
    assert "5 of 8 classified cells (62.5 %) need review" in " ".join(first.split())
    assert "refer to the accepted cells" in first


def test_what_waits_stands_first_by_pair_and_reason_with_its_pictures(
    process: WorkerProcess, mixed: int
) -> None:
    pdf = make(process, mixed)
    second = pdf.pages[1].extract_text()
    assert "Cells that need review" in second
    places = [
        second.index(words)
        for words in (
            "Uncertain: neutrophil or eosinophil: 3",
            "look at the cell and decide",
            "Uncertain: several cells: 1",
            "crop to one cell and send it again",
            "Unfamiliar: no cell found: 1",
        )
    ]
    assert places == sorted(places)
    assert len(pdf.pages[1].images) == 5 + 3
    assert second.count("? EO 55.0 %") == 3 and second.count("? NE 55.0 %") == 1
    assert "Neutrophil (NE): 3, 100.0 %" in second
    assert "Eosinophil (EO)" not in text_of(pdf)


def test_the_table_of_images_names_a_guess_as_one(process: WorkerProcess, mixed: int) -> None:
    text = squeezed(text_of(make(process, mixed)))
    assert "EO/NE?55.0%uncertain" in text and "NE/EO?55.0%uncertain" in text
    assert "?MOMonocyte70.0%unfamiliar" in text
    assert "NENeutrophil97.0%accepted" in text


def test_a_report_of_accepted_cells_alone_asks_nobody(
    process: WorkerProcess, submit: Submit
) -> None:
    job_id = submit(files(2))
    judged(process, job_id, [SURE, SURE])
    text = text_of(make(process, job_id))
    assert "need review" not in text


def test_a_report_of_strangers_alone_has_no_classes(process: WorkerProcess, submit: Submit) -> None:
    job_id = submit(files(2))
    judged(process, job_id, [STRANGE, STRANGE])
    text = text_of(make(process, job_id))
    assert squeezed("Accepted cells 0 ?") in squeezed(text)
    assert "2 of 2 classified cells (100.0 %)" in text


def test_a_large_group_shows_the_least_certain_and_says_so(
    process: WorkerProcess, submit: Submit, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(contents, "THUMBNAILS_A_CLASS", 2)
    job_id = submit(files(4))
    sure = [0.6, 0.41, 0.5, 0.43]
    judged(process, job_id, [dataclasses.replace(DOUBT, confidence=value) for value in sure])
    pdf = make(process, job_id)
    text = text_of(pdf)
    assert "The 2 with the lowest confidence are shown" in text
    assert "? EO 41.0 %" in text and "? EO 43.0 %" in text and "? EO 60.0 %" not in text
    assert sum(len(page.images) for page in pdf.pages) == 2


@pytest.mark.parametrize(
    ("facts", "words"),
    [
        ({}, "Not calibrated"),
        (
            {"trust": {"temperature": 1.1}, "few_shot": ["neutrophil"]},
            "Calibrated: of familiar cells",
        ),
    ],
)
def test_the_model_says_whether_it_is_calibrated_and_what_it_has_seen_little_of(
    process: WorkerProcess, submit: Submit, facts: dict[str, Any], words: str
) -> None:
    job_id = submit(files(1))
    judged(process, job_id, [SURE])
    with process.database.writing() as session:
        session.get_one(Model, process.models.shipped.digest).facts = facts
    text = text_of(make(process, job_id))
    assert words in text
    few = squeezed("Neutrophil (few training images) 1 100.0 %")
    assert (few in squeezed(text)) == bool(facts)
