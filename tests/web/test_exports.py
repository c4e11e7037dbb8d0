"""CSV and JSON of a job: columns, numbers, neutral cells, streaming."""

from __future__ import annotations

import csv
import io
import json
import tracemalloc

from sqlalchemy import insert

from contract.jobs import JobDetails
from core.db import Database
from core.states import ImageState, JobState
from core.tables import Image, Job
from lexicon.results import COLUMNS
from ml.training.recipes.recipe import FOUR_CLASSES
from tests.web.conftest import (
    DIGEST,
    Api,
    Classify,
    Png,
    Submitted,
    content,
    judge_variously,
    on_both,
)
from web.shown.exports import csv_lines, json_lines


def table(text: str) -> list[dict[str, str]]:
    """Read a CSV as a spreadsheet would."""
    return list(csv.DictReader(io.StringIO(text, newline="")))


def test_every_file_stands_in_the_csv_with_its_verdict_or_its_reason(
    api: Api, submitted: Submitted, classify: Classify, png: Png
) -> None:
    job = submitted({"a.png": png(1), "b.png": png(1), 'c, "d".png': png(2), "e.png": b"text"})
    classify()
    answer = api("GET", f"/jobs/{job}/results.csv")
    assert answer.mimetype == "text/csv"
    assert 'filename="job-1.csv"' in answer.headers["Content-Disposition"]
    rows = table(answer.text)
    assert list(rows[0]) == [
        "file",
        "class",
        "confidence",
        "outcome",
        "candidates",
        "reason",
        "familiarity",
        "box",
        "model",
        *(f"probability_{name}" for name in FOUR_CLASSES),
        "message",
    ]
    assert tuple(rows[0])[: len(COLUMNS)] == COLUMNS, "predict writes the same columns"
    assert [row["file"] for row in rows] == ["a.png", "b.png", 'c, "d".png', "e.png"]
    assert rows[0]["class"] == rows[1]["class"] == "lymphocyte"
    assert [row["message"] for row in rows[:3]] == ["", "Identical to a.png.", ""]
    assert rows[0]["confidence"] == rows[0]["probability_lymphocyte"] == "0.980000"
    assert rows[0]["probability_neutrophil"] == "0.006667"
    assert rows[0]["model"].endswith(f"({DIGEST[:12]})")
    assert (rows[3]["class"], rows[3]["confidence"], rows[3]["outcome"]) == ("", "", "refused")
    assert (rows[3]["candidates"], rows[3]["reason"], rows[3]["box"]) == ("", "", "")
    assert rows[3]["message"].startswith("This is not an image")


def test_what_is_not_accepted_has_its_best_guess_and_the_whole_story(
    api: Api, submitted: Submitted, classify: Classify, png: Png
) -> None:
    job = submitted({"a.png": png(1), "b.png": png(2), "c.png": png(3), "d.png": png(1)})
    classify(judge_variously)
    doubt, strange, plain, again = table(api("GET", f"/jobs/{job}/results.csv").text)
    assert (doubt["class"], doubt["outcome"]) == ("eosinophil", "uncertain")
    assert (doubt["candidates"], doubt["reason"]) == ("eosinophil | neutrophil", "between_classes")
    assert (doubt["familiarity"], doubt["box"]) == ("0.6200", "0.2500 0.2000 0.7500 0.6250")
    assert {**again, "file": "a.png", "message": ""} == doubt
    assert (strange["class"], strange["outcome"]) == ("monocyte", "unfamiliar")
    assert (strange["reason"], strange["familiarity"], strange["box"]) == (
        "several_cells",
        "0.0040",
        "",
    )
    assert (plain["candidates"], plain["reason"], plain["familiarity"]) == ("neutrophil", "", "")
    export = json.loads(api("GET", f"/jobs/{job}/results.json").text)
    assert export["job"]["outcomes"] == {"accepted": 1, "uncertain": 1, "unfamiliar": 1}
    first, second, third, _ = export["files"]
    assert (first["candidates"], first["reason"]) == (
        ["eosinophil", "neutrophil"],
        "between_classes",
    )
    assert (first["familiarity"], first["box"]) == (0.62, [0.25, 0.2, 0.75, 0.625])
    assert (second["class"], second["outcome"], second["box"]) == ("monocyte", "unfamiliar", None)
    assert (third["familiarity"], third["box"], third["reason"]) == (None, None, "")
    assert (export["models"][0]["few_shot"], export["models"][0]["calibrated"]) == (
        ["monocyte"],
        True,
    )


def test_cells_that_a_spreadsheet_would_run_are_made_harmless(
    api: Api, submitted: Submitted, png: Png
) -> None:
    names = ["=HYPERLINK(1).png", "+1.png", "-1.png", "@x.png", "plain.png", "x;=cmd|1.png"]
    job = submitted({name: png(i) for i, name in enumerate(names)})
    text = api("GET", f"/jobs/{job}/results.csv").text
    rows = table(text)
    assert [row["file"] for row in rows] == [f"'{name}" for name in names[:4]] + names[4:]
    assert '"x;=cmd|1.png",' in text, "Unquoted, it is split at the semicolon."


def test_the_json_holds_job_models_and_every_file(
    api: Api, submitted: Submitted, classify: Classify, png: Png
) -> None:
    job = submitted({"a.png": png(1), "ü.png": b"text", "b.png": png(1)})
    classify()
    answer = api("GET", f"/jobs/{job}/results.json")
    export = json.loads(answer.text)
    assert "Not for diagnostic use" in export["notice"]
    assert export["job"] == content(api("GET", f"/jobs/{job}"))
    assert export["models"][0]["digest"] == DIGEST
    assert [file["file"] for file in export["files"]] == ["a.png", "ü.png", "b.png"]
    assert export["files"][0]["probabilities"]["lymphocyte"] == 0.98
    assert export["files"][1]["probabilities"] == {}
    assert [file["model_digest"] for file in export["files"]] == [DIGEST, None, DIGEST]
    assert export["files"][2]["message"] == "Identical to a.png."
    assert export["files"][2]["class"] == export["files"][0]["class"] == "lymphocyte"


@on_both
def test_an_export_shows_one_moment_whatever_happens_meanwhile(
    api: Api, database: Database, submitted: Submitted, classify: Classify, png: Png
) -> None:
    job = submitted({"a.png": png(1)})
    details = JobDetails.model_validate(content(api("GET", f"/jobs/{job}")))
    pieces = json_lines(database, details)
    head = next(pieces)
    classify()
    export = json.loads(head + "".join(pieces))
    assert export["models"] == []
    assert [file["state"] for file in export["files"]] == ["received"]
    assert table("".join(csv_lines(database, job)))[0]["outcome"] == "accepted"


def test_an_empty_job_exports_a_header_and_valid_json(api: Api) -> None:
    job = content(api("POST", "/jobs", json={"name": "Empty"}))["id"]
    header = api("GET", f"/jobs/{job}/results.csv").text
    columns = "file class confidence outcome candidates reason familiarity box model message"
    assert header == ",".join(f'"{name}"' for name in columns.split()) + "\n"
    assert json.loads(api("GET", f"/jobs/{job}/results.json").text)["files"] == []


def test_memory_does_not_grow_with_the_job(database: Database) -> None:
    with database.writing() as session:
        job = Job(owner_id=1, name="Large", state=JobState.FINISHED)
        session.add(job)
        session.flush()
        rows = [
            {
                "job_id": job.id,
                "position": i,
                "name": f"slide/{i:06}.png",
                "state": ImageState.REFUSED,
                "message": "The file is empty.",
                "size": 0,
            }
            for i in range(20_000)
        ]
        session.execute(insert(Image), rows)
        job_id = job.id
    del rows
    tracemalloc.start()
    pieces = csv_lines(database, job_id)
    length = sum(len(piece) for piece in pieces)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert length > 900_000
    assert peak < 8_000_000, peak
