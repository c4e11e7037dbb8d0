"""An evaluation → sections of words, tables and pictures, for terminal and page alike."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from ml.dataset import HOW_TO_FIND
from ml.evaluation import Evaluation, Part
from ml.metrics import ClassScore
from ml.reporting_parts import Matrix, Section, Table, name_of, number
from ml.reporting_trust import (
    comparison_section,
    confidence_section,
    outcome_section,
    outcome_table,
    unfamiliar_section,
    workload_section,
)

FEW = 20
AVERAGES = {
    "accuracy": "accuracy",
    "balanced_accuracy": "balanced accuracy",
    "macro_f1": "macro F1",
}
NO_INTERVAL = f"No intervals: the photographs of these images are not known. {HOW_TO_FIND}"


def sections(found: Evaluation) -> list[Section]:
    """Return all sections of an evaluation, the most important first."""
    made = [_averages(found), _classes(found), _confusion(found)]
    made += [outcome_section(found), workload_section(found), confidence_section(found)]
    made += _sources(found)
    made += [unfamiliar_section(found.unfamiliar)] if found.unfamiliar else []
    made += [comparison_section(found.comparison)] if found.comparison else []
    return [*made, _limits(found)]


def title(found: Evaluation) -> str:
    """Return which bundle was judged on which images, in one line."""
    special = {"random": "random split, LEAKING", "whole": "the whole set"}
    kind = special.get(found.split, f"{found.split} split")
    return f"{found.model} on {', '.join(found.sources)}, {kind}"


def _averages(found: Evaluation) -> Section:
    shown: list[tuple[str, Part | None]] = [("all images", found.forced)]
    shown += [("accepted only", found.accepted)] if found.accepted else []
    shown += [(_without(found), found.large)] if found.large else []
    rows = [(label, f"{part.images:,}", *_three(part)) for label, part in shown if part]
    table = Table(("best guess of", "images", *AVERAGES.values()), tuple(rows))
    words = NO_INTERVAL
    if found.leaking:
        words = "No intervals: a random split leaks, so its images are not independent."
    elif found.forced.intervals:
        units = found.forced.intervals["accuracy"].units
        words = (
            f"In brackets: the 95 % interval, by resampling {units:,} photographs. A score without "
            "brackets had too few errors for an interval: it is the same on every resample."
        )
    return Section("Scores", (table, words))


def _classes(found: Evaluation) -> Section:
    scores = [entry for entry in found.forced.scores.classes if entry.support]
    kinds = {entry.label: _kind(entry.label, found) for entry in scores}
    parts: list[str | Table] = []
    for kind in ("Large classes", "Reported separately", "Classes with few training images"):
        entries = [entry for entry in scores if kinds[entry.label] == kind]
        caption = kind if len(set(kinds.values())) > 1 else ""
        parts += [_class_table(entries, found.forced, caption)] if entries else []
    if any(entry.support < FEW for entry in scores):
        parts.append(f"* judged on fewer than {FEW} images: the scores mean little.")
    return Section("Classes", tuple(parts))


def _kind(label: str, found: Evaluation) -> str:
    if label in found.few_shot:
        return "Classes with few training images"
    return "Reported separately" if label in found.apart else "Large classes"


def _without(found: Evaluation) -> str:
    if not found.apart:
        return "large classes"
    return "without " + ", ".join(name_of(name) for name in (*found.apart, *found.few_shot))


def _class_table(entries: Sequence[ClassScore], part: Part, caption: str) -> Table:
    rows = []
    for entry in entries:
        found = part.class_intervals.get(entry.label, {})
        numbers = [
            number(getattr(entry, name), found.get(name)) for name in ("precision", "recall", "f1")
        ]
        mark = "*" if entry.support < FEW else ""
        rows.append((name_of(entry.label) + mark, *numbers, f"{entry.support:,}"))
    return Table(("class", "precision", "recall", "F1", "images"), tuple(rows), caption)


def _confusion(found: Evaluation) -> Section:
    labels = tuple(entry.label for entry in found.forced.scores.classes)
    words = "Rows are the true classes, columns the best guesses."
    return Section("Confusion matrix", (words, Matrix(labels, found.forced.scores.matrix)))


def _sources(found: Evaluation) -> Iterator[Section]:
    if not found.by_source:
        return
    rows = [(name, f"{part.images:,}", *_three(part)) for name, part in found.by_source.items()]
    table = Table(("source", "images", *AVERAGES.values()), tuple(rows))
    became = outcome_table(found.outcomes_by_source)
    yield Section("Sources", (table, Table(("source", *became.head[1:]), became.rows)))


def _limits(found: Evaluation) -> Section:
    parts = []
    if found.left_out:
        counted = ", ".join(f"{name_of(name)} {count:,}" for name, count in found.left_out.items())
        parts.append(f"Left out, because the bundle does not know these classes: {counted}.")
    if found.lacking:
        names = ", ".join(name_of(name) for name in found.lacking)
        parts.append(f"Not judged, because the set has no images of these classes: {names}.")
    facts = (
        ("images judged", f"{found.images:,}"),
        ("data folders", ", ".join(found.sources)),
        ("data, SHA-256", found.data),
        ("bundle, digest", found.digest),
    )
    return Section("What was judged", (*parts, Table(("", ""), facts)))


def _three(part: Part) -> tuple[str, ...]:
    return tuple(number(getattr(part.scores, key), part.intervals.get(key)) for key in AVERAGES)
