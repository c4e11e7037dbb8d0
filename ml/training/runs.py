"""The log of training runs, one JSON line each, and the ablation table made from it.

Every run is logged when it ends, whether finished, interrupted or failed. A resumed run has one
line per attempt; the last one counts.
"""

from __future__ import annotations

import json
import statistics
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from ml.errors import MlError
from ml.tables import markdown_table

Entry = dict[str, Any]

# What names a recipe rather than says what it does.
NAMES = ("name", "changes", "intended_use")
SCORES = ("recall", "nll", "accuracy")


class NoRuns(MlError):
    """A log that is missing or can't be read."""


@contextmanager
def logged(path: Path, facts: Mapping[str, Any]) -> Iterator[Entry]:
    """Append a line to the log when the block ends: `facts`, and what it adds to the entry."""
    started, clock = datetime.now(UTC), time.monotonic()
    entry: Entry = {"started": started.isoformat(timespec="seconds"), **facts}
    try:
        yield entry
        entry["state"] = "finished"
    except KeyboardInterrupt:
        entry["state"] = "interrupted"
        raise
    except BaseException as error:
        entry |= {"state": "failed", "message": str(error) or type(error).__name__}
        raise
    finally:
        entry["seconds"] = round(time.monotonic() - clock, 1)
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("a", encoding="utf-8") as log:
            log.write(json.dumps(entry) + "\n")


def read_log(path: Path) -> list[Entry]:
    """The last line of each run, in the order in which the runs began.

    Raises:
        NoRuns: if there is no log, or one of its lines is not a run.
    """
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
        entries = [json.loads(line) for line in lines]
        last = {entry["run"]: entry for entry in entries}
    except FileNotFoundError:
        raise NoRuns(
            f"There is no log of runs at {path}. Give its path: hematovision runs LOG"
        ) from None
    except (ValueError, KeyError, TypeError) as error:
        raise NoRuns(f"{path} is not a log of training runs ({error}).") from None
    # The seconds of a run that was broken and resumed add up.
    for run, entry in last.items():
        entry["seconds"] = sum(e["seconds"] for e in entries if e["run"] == run)
    if not last:
        raise NoRuns(f"The log {path} is empty.")
    return list(last.values())


def table(entries: Sequence[Entry], by: Sequence[str] = ()) -> str:
    """The runs with the recipe's fields that differ between them, and their scores.

    Args:
        entries: of a log.
        by: fields instead of those that differ; runs that agree in them then share a row, with
            the mean of their scores and, of several, the standard deviation.

    Raises:
        NoRuns: if the recipes have no such field.
    """
    rows = [_flat(entry) for entry in entries]
    unknown = [field for field in by if not any(field in row for row in rows)]
    if unknown:
        names = ", ".join(sorted({field for row in rows for field in row}))
        raise NoRuns(f"No run has a field {unknown[0]!r}. The fields are {names}.")
    if by:
        return _grouped(entries, rows, by)
    fields = [field for field in _fields(rows) if len({_text(row.get(field)) for row in rows}) > 1]
    sources = _sources(entries)
    lines = []
    for entry, row in zip(entries, rows, strict=True):
        numbers = [_number(value) for value in _scores(entry, sources)]
        minutes = f"{entry['seconds'] / 60:.1f}"
        described = [_text(row.get(field)) for field in fields]
        state = f"{entry['state']}, LEAKS" if entry["leaking"] else entry["state"]
        lines.append([entry["out"], *described, state, *numbers, minutes])
    return markdown_table(lines, ["run", *fields, "state", *SCORES, *sources, "min"]) + "\n"


def _grouped(entries: Sequence[Entry], rows: Sequence[Entry], by: Sequence[str]) -> str:
    sources = _sources(entries)
    groups: dict[tuple[str, ...], list[Entry]] = {}
    for entry, row in zip(entries, rows, strict=True):
        if entry["state"] == "finished":
            groups.setdefault(tuple(_text(row.get(field)) for field in by), []).append(entry)
    lines = []
    for values, members in sorted(groups.items()):
        columns = zip(*(_scores(entry, sources) for entry in members), strict=True)
        lines.append([*values, str(len(members)), *(_spread(column) for column in columns)])
    return markdown_table(lines, [*by, "runs", *SCORES, *sources]) + "\n"


def _flat(entry: Entry) -> Entry:
    """The recipe's fields, those inside others with a dot, and what else a run depends on."""
    flat = {"recipe": entry["recipe"].get("name"), "seed": entry["seed"], "data": entry["data"][:8]}
    for name, value in entry["recipe"].items():
        if isinstance(value, dict):
            flat |= {f"{name}.{inner}": setting for inner, setting in value.items()}
        elif name not in NAMES:
            flat[name] = value
    return flat


def _fields(rows: Sequence[Entry]) -> list[str]:
    """All fields in their order, a field that only later runs have after the others."""
    return list(dict.fromkeys(field for row in rows for field in row))


def _sources(entries: Sequence[Entry]) -> list[str]:
    return sorted({name for entry in entries for name in _validation(entry).get("sources", {})})


def _validation(entry: Entry) -> Mapping[str, Any]:
    scores: Mapping[str, Any] = entry.get("scores") or {}
    return scores


def _scores(entry: Entry, sources: Sequence[str]) -> list[float | None]:
    """Recall, NLL, accuracy, and the mean recall of the classes of each data folder."""
    scores = _validation(entry)
    by_source = scores.get("sources", {})
    means = [
        statistics.fmean(cell["recall"] for cell in by_source[name].values())
        if name in by_source
        else None
        for name in sources
    ]
    return [*(scores.get(name) for name in SCORES), *means]


def _number(value: float | None) -> str:
    return "" if value is None else f"{value:.4f}"


def _spread(values: Sequence[float | None]) -> str:
    numbers = [value for value in values if value is not None]
    if not numbers:
        return ""
    deviation = f" ± {statistics.stdev(numbers):.4f}" if len(numbers) > 1 else ""
    return f"{statistics.fmean(numbers):.4f}{deviation}"


def _text(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value)
