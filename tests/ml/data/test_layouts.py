"""How folders say what their images show: each layout, and each way a table can be wrong."""

from __future__ import annotations

import csv
from collections.abc import Sequence
from pathlib import Path

import pytest

from ml.data import DataError, read_folder
from ml.data.layouts import Entry, entries, groups_in


def table(path: Path, rows: Sequence[Sequence[str]], encoding: str = "utf-8") -> Path:
    with path.open("w", newline="", encoding=encoding) as file:
        csv.writer(file).writerows(rows)
    return path


def test_a_source_map_says_split_label_and_source(tmp_path: Path) -> None:
    table(
        tmp_path / "source_map.csv",
        [
            ["split", "label", "file", "source_image"],
            ["TEST", "MONOCYTE", "1.png", "photo 7"],
            ["TRAIN", "MONOCYTE", "2.png", ""],
        ],
    )
    assert entries(tmp_path) == [
        Entry("TEST/MONOCYTE/1.png", "MONOCYTE", "test", "photo 7"),
        Entry("TRAIN/MONOCYTE/2.png", "MONOCYTE", "train", None),
    ]


def test_a_source_map_speaks_before_a_manifest(tmp_path: Path) -> None:
    table(tmp_path / "manifest.csv", [["file", "class"], ["x.png", "BA"]])
    table(
        tmp_path / "source_map.csv",
        [["split", "label", "file", "source_image"], ["VAL", "BASOPHIL", "1.png", "p"]],
    )
    assert [entry.file for entry in entries(tmp_path)] == ["VAL/BASOPHIL/1.png"]


def test_an_empty_group_of_a_manifest_is_an_unknown_photograph(tmp_path: Path) -> None:
    rows = [["file", "class", "group"], ["1.png", "BA", ""], ["2.png", "BA", "g"]]
    table(tmp_path / "manifest.csv", rows)
    assert [entry.group for entry in entries(tmp_path)] == [None, "g"]


def test_a_manifest_may_be_short_of_cells_and_come_from_a_spreadsheet(tmp_path: Path) -> None:
    """A spreadsheet writes a mark before UTF-8, and leaves out what is empty at a row's end."""
    text = "file,class,split,group\n1.png,BA\n2.png,BA,val,g2\n"
    (tmp_path / "manifest.csv").write_text(text, encoding="utf-8-sig")
    first, second = entries(tmp_path)
    assert (first.file, first.split, first.group) == ("1.png", "", None)
    assert (second.split, second.group) == ("val", "g2")


def test_commas_quotes_and_letters_of_other_tongues_belong_to_a_name(tmp_path: Path) -> None:
    names = ["a, b.png", 'say "hm".png', "größe/細胞.png"]
    table(tmp_path / "manifest.csv", [["file", "class"], *([name, "BA"] for name in names)])
    assert [entry.file for entry in entries(tmp_path)] == names


def test_folders_of_classes_are_looked_into_no_deeper(tmp_path: Path) -> None:
    for name in ("BA/1.PNG", "BA/2.tif", "BA/deep/3.png", "4.png", "EO/notes.txt"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    seen = sorted(
        (entry.file, entry.label, entry.split, entry.group) for entry in entries(tmp_path)
    )
    assert seen == [("BA/1.PNG", "BA", "", None), ("BA/2.tif", "BA", "", None)]


def test_a_table_of_groups_speaks_of_its_own_source_alone(tmp_path: Path) -> None:
    rows = [
        ["source", "file", "group"],
        ["here", "1.png", "g1"],
        ["there", "2.png", "g2"],
        ["", "3.png", "g3"],
        ["here", "4.png", ""],
    ]
    path = table(tmp_path / "groups.csv", rows)
    assert groups_in(path, "here") == {"1.png": "g1", "3.png": "g3"}
    assert groups_in(path, "there") == {"2.png": "g2", "3.png": "g3"}
    without = table(tmp_path / "bare.csv", [["file", "group"], ["1.png", "g1"]])
    assert groups_in(without, "anything") == {"1.png": "g1"}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A data folder `lab` with a manifest of two images."""
    root = tmp_path / "lab"
    root.mkdir()
    rows = [["file", "class", "group"], ["b.png", "BA", "old"], ["a.png", "eosinophil", "old"]]
    table(root / "manifest.csv", rows)
    return root


def test_samples_come_in_the_order_of_their_files(folder: Path) -> None:
    samples = read_folder(folder)
    assert [(s.file, s.label, s.source) for s in samples] == [
        ("a.png", "eosinophil", "lab"),
        ("b.png", "basophil", "lab"),
    ]
    assert samples[0].path == folder / "a.png"


def test_a_table_of_groups_replaces_what_the_folder_says(folder: Path, tmp_path: Path) -> None:
    rows = [["source", "file", "group"], ["lab", "a.png", "g1"], ["lab", "b.png", "g2"]]
    groups = table(tmp_path / "groups.csv", rows)
    assert [s.group for s in read_folder(folder)] == ["old", "old"]
    assert [s.group for s in read_folder(folder, groups)] == ["g1", "g2"]


def test_a_file_that_is_named_twice_is_refused(folder: Path) -> None:
    with (folder / "manifest.csv").open("a") as file:
        file.write("b.png,monocyte,new\n")
    with pytest.raises(DataError, match=r"names 1 files twice, such as b\.png"):
        read_folder(folder)


def test_a_table_in_another_encoding_is_refused(folder: Path, tmp_path: Path) -> None:
    groups = table(tmp_path / "g.csv", [["file", "group"], ["größe.png", "g"]], encoding="latin-1")
    with pytest.raises(DataError, match=r"table of groups .* is not UTF-8 text"):
        read_folder(folder, groups)
    table(folder / "manifest.csv", [["file", "class"], ["größe.png", "BA"]], encoding="latin-1")
    with pytest.raises(DataError, match=r"table of labels in .* is not UTF-8 text"):
        read_folder(folder)


def test_a_table_of_groups_without_its_columns_or_itself_is_named(
    folder: Path, tmp_path: Path
) -> None:
    with pytest.raises(DataError, match=r"no table of groups .*none\.csv.*--find-groups"):
        read_folder(folder, tmp_path / "none.csv")
    wrong = table(tmp_path / "wrong.csv", [["file", "photograph"], ["a.png", "g"]])
    with pytest.raises(DataError, match="has no column 'group'"):
        read_folder(folder, wrong)


def test_several_labels_that_are_no_cells_are_all_named(folder: Path) -> None:
    table(folder / "manifest.csv", [["file", "class"], ["1.png", "rose"], ["2.png", "ash"]])
    with pytest.raises(DataError, match="'ash', 'rose' are not cell types"):
        read_folder(folder)
