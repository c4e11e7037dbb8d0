"""The log of runs, and the ablation table that it gives."""

from __future__ import annotations

import json
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import pytest

from ml.training.recipes.recipe import Jitter, Recipe
from ml.training.runs import NoRuns, logged, read_log, table


def facts(recipe: Recipe, run: str, seed: int = 0) -> dict[str, Any]:
    """What a run is made of."""
    recorded = json.loads(json.dumps(asdict(recipe)))
    return {
        "run": run,
        "out": run,
        "recipe": recorded,
        "data": "d" * 64,
        "seed": seed,
        "leaking": False,
    }


def scores(recall: float, **sources: float) -> dict[str, Any]:
    """The scores of a run with one class in each data folder."""
    cells = {name: {"monocyte": {"recall": r, "support": 5}} for name, r in sources.items()}
    return {"recall": recall, "nll": 0.5, "accuracy": 0.75, "sources": cells}


def write(log: Path, entry: dict[str, Any], recall: float | None = None, **sources: float) -> None:
    """Append a run to the log."""
    with logged(log, entry) as made:
        if recall is not None:
            made["scores"] = scores(recall, **sources)


def cells(text: str) -> list[list[str]]:
    """The cells of a table, without its rule."""
    lines = [[cell.strip() for cell in line.strip("| ").split(" | ")] for line in text.splitlines()]
    return [lines[0], *lines[2:]]


def test_a_finished_run_is_logged_with_its_scores_and_time(recipe: Recipe, tmp_path: Path) -> None:
    log = tmp_path / "runs" / "log.jsonl"
    write(log, facts(recipe, "a"), 0.9)
    (entry,) = read_log(log)
    assert entry["state"] == "finished"
    assert entry["scores"]["recall"] == 0.9
    assert entry["seconds"] >= 0
    assert entry["recipe"]["rate"] == recipe.rate


def test_a_broken_run_is_logged_with_the_reason(recipe: Recipe, tmp_path: Path) -> None:
    log = tmp_path / "log.jsonl"
    with pytest.raises(ValueError, match="too bad"), logged(log, facts(recipe, "a")):
        raise ValueError("too bad")
    with pytest.raises(KeyboardInterrupt), logged(log, facts(recipe, "b")):
        raise KeyboardInterrupt
    states = [(entry["state"], entry.get("message")) for entry in read_log(log)]
    assert states == [("failed", "too bad"), ("interrupted", None)]


def test_of_a_resumed_run_the_last_line_counts(recipe: Recipe, tmp_path: Path) -> None:
    log = tmp_path / "log.jsonl"
    with pytest.raises(KeyboardInterrupt), logged(log, facts(recipe, "a")):
        raise KeyboardInterrupt
    write(log, facts(recipe, "a"), 0.9)
    lines = [json.loads(line) for line in log.read_text().splitlines()]
    log.write_text("".join(json.dumps({**line, "seconds": 60.0}) + "\n" for line in lines))
    (entry,) = read_log(log)
    assert (entry["state"], entry["seconds"]) == ("finished", 120.0)


def test_only_what_differs_is_a_column(recipe: Recipe, tmp_path: Path) -> None:
    log = tmp_path / "log.jsonl"
    write(log, facts(recipe, "a"), 0.9, bccd4=0.8, pbc8=1.0)
    strong = replace(recipe, name="tiny-variant-1", jitter=Jitter(zoom=0.3), changes=("x=y",))
    write(log, facts(strong, "b"), 0.95, bccd4=0.9)
    assert cells(table(read_log(log))) == [
        [
            "run",
            "recipe",
            "jitter.zoom",
            "state",
            "recall",
            "nll",
            "accuracy",
            "bccd4",
            "pbc8",
            "min",
        ],
        ["a", "tiny", "0.2", "finished", "0.9000", "0.5000", "0.7500", "0.8000", "1.0000", "0.0"],
        [
            "b",
            "tiny-variant-1",
            "0.3",
            "finished",
            "0.9500",
            "0.5000",
            "0.7500",
            "0.9000",
            "",
            "0.0",
        ],
    ]


def test_a_broken_run_has_a_row_without_scores(recipe: Recipe, tmp_path: Path) -> None:
    log = tmp_path / "log.jsonl"
    write(log, facts(recipe, "a"), 0.9)
    with pytest.raises(KeyboardInterrupt), logged(log, facts(recipe, "b")):
        raise KeyboardInterrupt
    assert cells(table(read_log(log)))[2] == ["b", "interrupted", "", "", "", "0.0"]


def test_a_leaking_run_says_so(recipe: Recipe, tmp_path: Path) -> None:
    log = tmp_path / "log.jsonl"
    write(log, {**facts(recipe, "a"), "leaking": True}, 0.9)
    assert "finished, LEAKS" in table(read_log(log))


def test_runs_that_agree_share_a_row_with_the_spread(recipe: Recipe, tmp_path: Path) -> None:
    log = tmp_path / "log.jsonl"
    for seed, recall in enumerate((0.8, 0.9)):
        write(log, facts(recipe, f"a{seed}", seed), recall)
    write(log, facts(replace(recipe, rate=0.1), "b"), 0.5)
    lines = cells(table(read_log(log), ["rate"]))
    assert [line[:3] for line in lines] == [
        ["rate", "runs", "recall"],
        ["0.0003", "2", "0.8500 ± 0.0707"],
        ["0.1", "1", "0.5000"],
    ]


def test_a_field_that_no_run_has_is_named(recipe: Recipe, tmp_path: Path) -> None:
    log = tmp_path / "log.jsonl"
    write(log, facts(recipe, "a"), 0.9)
    with pytest.raises(NoRuns, match="No run has a field 'droput'"):
        table(read_log(log), ["droput"])


@pytest.mark.parametrize(
    ("text", "message"), [("", "is empty"), ("x", "is not a log"), ("{}", "'run'")]
)
def test_a_file_that_is_no_log_is_named(tmp_path: Path, text: str, message: str) -> None:
    log = tmp_path / "log.jsonl"
    log.write_text(text)
    with pytest.raises(NoRuns, match=message):
        read_log(log)


def test_a_missing_log_is_named(tmp_path: Path) -> None:
    with pytest.raises(NoRuns, match="no log of runs"):
        read_log(tmp_path / "log.jsonl")
