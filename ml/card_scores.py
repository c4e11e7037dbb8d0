"""Recorded scores and evaluations → sections of a model card."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from ml.metrics import Interval
from ml.reporting_parts import DASH, Section, Table, name_of, number, percent

AVERAGES = {
    "accuracy": "accuracy",
    "balanced_accuracy": "balanced accuracy",
    "macro_f1": "macro F1",
}
OUTCOMES = ("accepted", "uncertain", "unfamiliar")
# What the scores of a training run were measured on.
RECORDED = {
    "validation": (
        "Scores on its validation images",
        "These photographs guided training, and perhaps ended it: they are not a test.",
    ),
    "random_split_that_leaks": (
        "Scores on a split that leaks",
        "It learned from copies of the images that it was judged on: THESE SCORES SAY NOTHING "
        "about new photographs.",
    ),
}


def recorded(scores: Mapping[str, Any]) -> list[Section]:
    """Return the scores that a bundle carries, one section per set."""
    found = []
    for name, said in scores.items():
        words = name.replace("_", " ")
        title, note = RECORDED.get(name, (f"Scores on {words}", ""))
        # A training run records plain scores, an adaptation a part with its intervals.
        part = said if "scores" in said else {**said, "scores": said}
        found.append(Section(title, (*_part(part), *([note] if note else []))))
    return found


def evaluation(said: Mapping[str, Any]) -> Section:
    """An evaluation as `ml.evaluation.Evaluation.as_dict` has it."""
    kinds = {
        "random": "a random split, WHICH LEAKS",
        "whole": "the whole set",
        "shipped": "its shipped test split",
    }
    split = str(said["split"])
    kind = kinds.get(split, f"its part {split.replace('_', ' ')}")
    sources = ", ".join(said["sources"])
    parts: list[str | Table] = [f"{said['images']:,} images of {sources}: {kind}."]
    parts += _part(said["forced"])
    if said.get("large"):
        parts.append(f"Large classes only: {_averages(said['large'])}.")
    if said.get("accepted"):
        parts.append(f"Accepted images only: {_averages(said['accepted'])}.")
    parts.append(f"Expected calibration error {said['confidence']['error']:.4f}.")
    parts.append(_outcomes(said["outcomes"]))
    if said.get("promised"):
        parts.append(_promise(said["promised"], said["promise"]))
    if said.get("unfamiliar"):
        parts.append(_unfamiliar(said["unfamiliar"]))
    if said.get("left_out"):
        left = ", ".join(f"{name_of(name)} {count:,}" for name, count in said["left_out"].items())
        parts.append(f"Left out: {left}.")
    if said.get("lacking"):
        parts.append(f"Not judged: {', '.join(name_of(name) for name in said['lacking'])}.")
    return Section(f"Evaluation: {sources}", tuple(parts))


def _part(part: Mapping[str, Any]) -> list[str | Table]:
    """The averages, the classes, and the unit of the intervals."""
    intervals, by_class = part.get("intervals", {}), part.get("class_intervals", {})
    rows = []
    for entry in part["scores"].get("classes", ()):
        if entry["support"]:
            found = by_class.get(entry["label"], {})
            cells = [
                number(entry[key], _interval(found.get(key)))
                for key in ("precision", "recall", "f1")
            ]
            rows.append((name_of(entry["label"]), *cells, f"{entry['support']:,}"))
    words = "No intervals were recorded."
    if intervals:
        units = intervals["accuracy"].get("units", 0)
        words = f"In brackets: the 95 % interval over {units:,} source groups (photographs)."
    table = Table(("class", "precision", "recall", "F1", "images"), tuple(rows))
    return [f"Best guess of every image: {_averages(part)}.", *([table] if rows else []), words]


def _averages(part: Mapping[str, Any]) -> str:
    intervals = part.get("intervals", {})
    shown = (
        f"{words} {number(part['scores'][key], _interval(intervals.get(key)))}"
        for key, words in AVERAGES.items()
        if key in part["scores"]
    )
    return ", ".join(shown)


def _interval(said: Mapping[str, Any] | None) -> Interval | None:
    return None if said is None else Interval(said["low"], said["high"], said.get("units", 0))


def _outcomes(entries: Sequence[Mapping[str, Any]]) -> Table:
    rows = [
        (
            name_of(entry["name"]),
            *(percent(entry[key], entry["images"]) for key in OUTCOMES),
            percent(entry["wrong"], entry["accepted"]),
            percent(entry["coverage"], 1),
            f"{entry['size']:.2f}",
        )
        for entry in entries
    ]
    head = ("outcome", *OUTCOMES, "wrong of accepted", "coverage", "candidates")
    return Table(head, tuple(rows))


def _promise(promised: float, entries: Sequence[Mapping[str, Any]]) -> str:
    kept = (f"{name_of(entry['label'])} {percent(entry['coverage'], 1)}" for entry in entries)
    return f"The promised coverage is {percent(promised, 1)}. Reached: {', '.join(kept)}."


def _unfamiliar(entries: Sequence[Mapping[str, Any]]) -> Table:
    rows = [
        (
            entry["name"],
            f"{entry['images']:,}",
            percent(entry["caught"], entry["images"]),
            percent(entry["accepted"], entry["images"]),
            DASH if entry["auroc"] is None else f"{entry['auroc']:.4f}",
        )
        for entry in entries
    ]
    head = ("images of other things", "images", "turned away", "accepted", "AUROC")
    return Table(head, tuple(rows))
