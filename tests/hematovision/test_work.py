"""What the terminal says of a job."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from hematovision.cli import main
from tests.contract.answers import COUNTS, JOB
from tests.hematovision.conftest import Answer

Say = Callable[..., str]


@pytest.fixture
def say(serve: Callable[[Answer], str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Say:
    """Return what runs a command against a server that knows one answer, and gives what it says."""
    monkeypatch.setenv("HEMATOVISION_DATA", str(tmp_path))
    monkeypatch.setenv("COLUMNS", "120")

    def run(answer: dict[str, Any], *words: str) -> str:
        server = serve(lambda _: (200, json.dumps(answer).encode()))
        result = CliRunner().invoke(main, [*words, "--server", server, "--token", "hv_x"])
        assert result.exit_code == 0, result.output
        return result.output

    return run


def rows(output: str) -> list[str]:
    """Return the lines with single spaces."""
    return [" ".join(line.split()) for line in output.splitlines()]


def test_the_terminal_counts_accepted_cells_and_names_what_waits(say: Say) -> None:
    lines = rows(say(JOB, "status", "4"))
    assert "Job 4, Ward [3]: finished" in lines
    for line in (
        "Neutrophil NE 2 66.7 [20.8\N{EN DASH}93.9]",
        "Platelet (few training images) PL 1 33.3 [6.1\N{EN DASH}79.2]",
        "Accepted cells 3 100.0",
        "Uncertain ? 2",
        "Unfamiliar \N{MULTIPLICATION SIGN} 1",
    ):
        assert line in lines, lines
    assert any(line.startswith("3 of 6 classified cells need review") for line in lines)


def test_a_job_in_which_nothing_waits_asks_nobody(say: Say) -> None:
    done = {"to_check": 0, "outcomes": {"accepted": 6, "uncertain": 0, "unfamiliar": 0}}
    assert "need review" not in say(JOB | done, "status", "4")


def test_the_terminal_passes_on_what_the_server_advises(say: Say) -> None:
    advice = "20 of 40 cells are unfamiliar: teach the model (hematovision adapt)."
    assert advice in rows(say(JOB | {"advice": advice}, "status", "4"))


def test_a_job_without_an_accepted_cell_has_no_per_cent(say: Say) -> None:
    none = {"classes": [], "outcomes": {"accepted": 0, "uncertain": 5, "unfamiliar": 1}}
    assert "Accepted cells 0" in rows(say(JOB | none, "status", "4"))


def test_the_list_of_jobs_says_how_many_cells_wait(say: Say) -> None:
    lines = rows(say({"jobs": [JOB, JOB | {"id": 5, "to_check": 0}], "next": None}, "status"))
    assert "4 finished 100 % 7 3 Ward [3] 2026-03-01 12:00" in lines
    assert "5 finished 100 % 7 Ward [3] 2026-03-01 12:00" in lines


def test_the_files_that_failed_are_named(say: Say) -> None:
    files = [
        {"name": "notes.txt", "state": "refused", "message": "This is not an image."},
        *({"name": f"{n}.jpg", "state": "failed", "message": "It is cut."} for n in range(12)),
    ]
    problems = {"files": [file | {"reason": None} for file in files], "next": None}
    output = say(JOB | {"counts": COUNTS | {"failed": 12}} | problems, "status", "4")
    assert [line for line in rows(output) if line.startswith("Failed:")] == [
        *(f"Failed: {n}.jpg: It is cut." for n in range(10)),
        "Failed: 2 more, listed on the job's page.",
    ]


def test_json_for_programs_is_what_the_server_sent(say: Say) -> None:
    answer = JOB | {"priority": "high"}
    assert say(answer, "status", "4", "--json") == json.dumps(answer, indent=2) + "\n"
