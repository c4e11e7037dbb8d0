"""How data folders say what their images show: tables beside the images, or one folder per class.

Three layouts are read:

* with `source_map.csv` (split, label, file, source_image): images in SPLIT/LABEL/file, each an
  augmented copy of its source photograph, which is its group;
* with `manifest.csv` (file, class, and optionally split and group): without a group column each
  file counts as its own photograph, and an empty group means that it is unknown;
* neither: one folder per class; if the photographs are unknown, the groups are None.

A table of groups (file, group, and optionally source) may be anywhere; it replaces whatever the
folder itself says about the photographs.
"""

from __future__ import annotations

import csv
from dataclasses import dataclass
from pathlib import Path

from lexicon.formats import is_image_name


@dataclass(frozen=True)
class Entry:
    """One image as its data folder has it; `group` is None where the photograph is unknown."""

    file: str
    label: str
    split: str
    group: str | None


def entries(folder: Path) -> list[Entry]:
    """Every labelled image of `folder`.

    Raises:
        KeyError: if a table lacks a column.
        UnicodeDecodeError: if a table is not UTF-8.
    """
    if (folder / "source_map.csv").is_file():
        return [_mapped(row) for row in rows(folder / "source_map.csv")]
    if (folder / "manifest.csv").is_file():
        return [_listed(row) for row in rows(folder / "manifest.csv")]
    files = [path for path in folder.glob("*/*") if is_image_name(path.name)]
    return [
        Entry(path.relative_to(folder).as_posix(), path.parent.name, "", None) for path in files
    ]


def groups_in(table: Path, source: str) -> dict[str, str]:
    """Each file's group, of the files of the data folder named `source`, as `table` gives it.

    A table without a column `source` speaks of whatever folder it is read for.

    Raises:
        KeyError: if the table lacks a column.
        UnicodeDecodeError: if the table is not UTF-8.
    """
    ours = [row for row in rows(table) if (row.get("source") or source) == source]
    return {row["file"]: row["group"] for row in ours if row["group"]}


def rows(table: Path) -> list[dict[str, str]]:
    """The rows of a CSV table with a heading; a cell that is missing is empty."""
    with table.open(newline="", encoding="utf-8-sig") as file:
        return list(csv.DictReader(file, restval=""))


def _mapped(row: dict[str, str]) -> Entry:
    file = f"{row['split']}/{row['label']}/{row['file']}"
    return Entry(file, row["label"], row["split"].lower(), row["source_image"] or None)


def _listed(row: dict[str, str]) -> Entry:
    group = row.get("group", row["file"]) or None
    return Entry(row["file"], row["class"], row.get("split", ""), group)
