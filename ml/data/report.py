"""The data report as text, JSON and one picture, and the tables that other commands read."""

from __future__ import annotations

import csv
import json
from collections.abc import Iterable, Sequence
from pathlib import Path
from textwrap import indent
from typing import Any

from ml.data.dataset import HOW_TO_FIND
from ml.data.survey import Surveyed
from ml.tables import plain_table

TEXT, DATA, PICTURE = "data.txt", "data.json", "data.png"
MANIFEST, GROUPS = "manifest.csv", "groups.csv"
SHOWN = 10


def write_report(rows: Sequence[Surveyed], facts: dict[str, Any], out: Path) -> None:
    """Write text, JSON, picture and manifest into the folder `out`."""
    out.mkdir(parents=True, exist_ok=True)
    (out / TEXT).write_text(as_text(facts), encoding="utf-8")
    (out / DATA).write_text(as_json(facts), encoding="utf-8")
    draw(rows, facts, out / PICTURE)
    _write_manifest(rows, out / MANIFEST)


def write_groups(rows: Iterable[Surveyed], path: Path) -> None:
    """Write which group each file is of, for --groups, and of which photograph it is a copy."""
    lines = [[r.sample.source, r.sample.file, r.group or "", r.photograph or ""] for r in rows]
    _write(path, ["source", "file", "group", "photograph"], lines)


def as_json(facts: dict[str, Any]) -> str:
    """All facts as JSON."""
    return json.dumps(facts, indent=2, ensure_ascii=False) + "\n"


def as_text(facts: dict[str, Any]) -> str:
    """The facts for a terminal, with no more than a few examples of each."""
    sections = [
        f"{facts['images']} images",
        *_counts(facts["counts"]),
        "sizes: " + _listed(f"{n} of {size}" for size, n in facts["sizes"].items()),
        _problems("corrupt files", [f"{k}: {v}" for k, v in facts["corrupt"].items()]),
        _problems("exact duplicates", [" = ".join(part) for part in facts["duplicates"]]),
        _groups(facts["groups"]),
        _problems("label conflicts", [_conflict(entry) for entry in facts["conflicts"]]),
        _problems("groups cut by a split", [_cut(*entry) for entry in facts["cut_splits"].items()]),
        _appearance(facts["appearance"]),
    ]
    return "\n\n".join(sections) + "\n"


def draw(rows: Sequence[Surveyed], facts: dict[str, Any], path: Path) -> None:
    """Draw counts, mean colours and sharpness by source and class as one PNG."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(13, 4.5), layout="constrained")
    FigureCanvasAgg(figure)
    counts, colours, sharpness = figure.subplots(1, 3)
    names, numbers = _bars(facts["counts"])
    counts.barh(names, numbers, color="#0072B2")
    counts.invert_yaxis()
    counts.set_xlabel("images")
    for source in sorted({row.sample.source for row in rows}):
        measured = [
            row.measurement
            for row in rows
            if row.sample.source == source and not row.measurement.problem
        ]
        green, red = [image.green for image in measured], [image.red for image in measured]
        colours.scatter(green, red, s=4, label=source)
        sharpness.hist([m.sharpness for m in measured], bins=40, histtype="step", label=source)
    colours.set(xlabel="mean green", ylabel="mean red", title="colour")
    sharpness.set(xlabel="sharpness", ylabel="images", title="sharpness")
    colours.legend()
    sharpness.legend()
    figure.savefig(path, dpi=120)


def _write_manifest(rows: Iterable[Surveyed], path: Path) -> None:
    header = ["source", "file", "class", "split", "group", "sha256", "width", "height"]
    lines = [
        [
            *(r.sample.source, r.sample.file, r.sample.label, r.sample.split, r.group or ""),
            *(r.measurement.sha256, str(r.measurement.width), str(r.measurement.height)),
        ]
        for r in rows
    ]
    _write(path, header, lines)


def _write(path: Path, header: list[str], lines: Iterable[list[str]]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows([header, *lines])


def _bars(counts: dict[str, Any]) -> tuple[list[str], list[int]]:
    totals: dict[str, int] = {}
    for source, splits in counts.items():
        for classes in splits.values():
            for label, number in classes.items():
                totals[f"{source} {label}"] = totals.get(f"{source} {label}", 0) + number
    return list(totals), list(totals.values())


def _counts(counts: dict[str, Any]) -> list[str]:
    return [
        f"{source}, {split}: {sum(classes.values())}\n"
        + indent(plain_table([label, str(number)] for label, number in classes.items()), "  ")
        for source, splits in counts.items()
        for split, classes in splits.items()
    ]


def _groups(groups: dict[str, int] | None) -> str:
    if groups is None:
        return f"groups: unknown. {HOW_TO_FIND}"
    text = (
        f"groups: {groups['groups']} scenes, {groups['photographs']} photographs, "
        f"{groups['of_one_image']} with one image, {groups['largest']} images in the largest"
    )
    return f"{text}; {groups['unknown']} images of unknown group" if groups["unknown"] else text


def _conflict(entry: dict[str, str]) -> str:
    return ", but ".join(f"{file} is {label}" for label, file in entry.items())


def _cut(splits: str, entry: dict[str, Any]) -> str:
    return f"{splits}: {entry['groups']} groups, such as {' and '.join(entry['example'])}"


def _problems(name: str, examples: Sequence[str]) -> str:
    lines = [f"{name}: {len(examples) or 'none'}", *(f"  {line}" for line in examples[:SHOWN])]
    return "\n".join([*lines, "  …"] if len(examples) > SHOWN else lines)


def _listed(values: Iterable[str]) -> str:
    listed = list(values)
    return ", ".join(listed[:SHOWN]) + (", …" if len(listed) > SHOWN else "") or "none"


def _appearance(table: dict[str, Any]) -> str:
    rows = [
        [f"{source} {label}", *(f"{value:.2f}" for value in medians.values())]
        for source, classes in table.items()
        for label, medians in classes.items()
    ]
    return plain_table(rows, ["medians", "red", "green", "blue", "sharp", "fill"])
