"""What `hematovision data` says of a folder, and the table of groups that other commands read."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import cv2
import pytest
from click.testing import CliRunner

from hematovision.cli import main
from ml.data import DataError, read_folder
from tests.ml.data.test_grouping import photograph, turned


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Two photographs; a copy of the first is in another split, and an equal file mislabelled."""
    root = tmp_path / "set"
    root.mkdir()
    first = photograph(1)
    images = {
        "a.png": (first, "monocyte", "train"),
        "b.png": (turned(first, 30), "monocyte", "test"),
        "c.png": (photograph(2), "eosinophil", "train"),
        "d.png": (photograph(2), "neutrophil", "train"),
    }
    lines = ["file,class,split,group"]
    for name, (image, label, split) in images.items():
        cv2.imwrite(str(root / name), image)
        lines.append(f"{name},{label},{split},")
    (root / "broken.png").write_bytes(b"no picture")
    (root / "manifest.csv").write_text("\n".join([*lines, "broken.png,platelet,train,"]) + "\n")
    return root


def test_groups_conflicts_cuts_and_corrupt_files_are_reported(folder: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    done = CliRunner().invoke(main, ["data", str(folder), "--find-groups", "--out", str(out)])
    assert done.exit_code == 0, done.output
    facts = json.loads((out / "data.json").read_text(encoding="utf-8"))
    assert list(facts["corrupt"]) == ["set/broken.png"]
    assert facts["duplicates"] == [["set/c.png", "set/d.png"]]
    assert facts["conflicts"] == [{"neutrophil": "set/d.png", "eosinophil": "set/c.png"}]
    assert facts["cut_splits"]["set test / set train"]["groups"] == 1
    assert facts["groups"]["groups"] == 3
    assert (out / "data.png").read_bytes().startswith(b"\x89PNG")
    samples = read_folder(folder, out / "groups.csv")
    assert samples[0].group == samples[1].group != samples[2].group
    with (out / "manifest.csv").open() as file:
        assert next(csv.DictReader(file))["width"] == "240"


def test_without_groups_the_report_says_how_to_find_them(folder: Path) -> None:
    done = CliRunner().invoke(main, ["data", str(folder)])
    assert "groups: unknown. Find the photographs with: hematovision data" in done.output


def test_finding_groups_needs_a_place_for_the_table(folder: Path) -> None:
    done = CliRunner().invoke(main, ["data", str(folder), "--find-groups"])
    assert done.exit_code == 2
    assert "Say where to put it with --out" in done.output


def test_a_table_of_groups_must_name_every_image(folder: Path, tmp_path: Path) -> None:
    table = tmp_path / "groups.csv"
    table.write_text("file,group\na.png,g1\n")
    with pytest.raises(DataError, match="lacks 4 of the 5 images of set"):
        read_folder(folder, table)


def test_a_table_of_another_folder_changes_nothing(folder: Path, tmp_path: Path) -> None:
    table = tmp_path / "groups.csv"
    table.write_text("source,file,group\nother,a.png,g1\n")
    assert read_folder(folder, table) == read_folder(folder)
