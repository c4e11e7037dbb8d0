"""From files and folders to the table."""

from __future__ import annotations

import csv
import io
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from lexicon.results import COLUMNS, harmless
from ml.bundle import Bundle
from ml.data import Sample
from ml.reading import read
from ml.serving import Classifier, Row, classify_files, classify_readings, find_images, write_csv


@pytest.fixture
def classifier(by_onnxruntime: Classifier) -> Classifier:
    return by_onnxruntime


def picture(path: Path) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", (20, 20), "red").save(path)
    return path


def table(rows: list[Row], bundle: Bundle) -> list[dict[str, str]]:
    file = io.StringIO()
    write_csv(rows, bundle, file)
    return list(csv.DictReader(io.StringIO(file.getvalue())))


def test_folders_are_searched_to_the_bottom_and_sorted(tmp_path: Path) -> None:
    for name in ("b/2.png", "b/c/1.JPG", "a.jpeg", "b/10.webp", "b/x.tif"):
        picture(tmp_path / name.replace("JPG", "jpg")).rename(tmp_path / name)
    names = [image.name for image in find_images([tmp_path])]
    assert names == ["a.jpeg", "b/10.webp", "b/2.png", "b/c/1.JPG", "b/x.tif"]


def test_hidden_files_and_other_files_of_a_folder_do_not_count(tmp_path: Path) -> None:
    picture(tmp_path / ".hidden.png")
    picture(tmp_path / ".cache" / "1.png")
    (tmp_path / "notes.txt").write_text("no image")
    assert find_images([tmp_path]) == []


def test_a_file_that_is_named_always_counts(tmp_path: Path) -> None:
    path = tmp_path / "notes.txt"
    path.write_text("no image")
    assert [image.name for image in find_images([path])] == ["notes.txt"]


def test_a_file_given_twice_counts_once(tmp_path: Path) -> None:
    path = picture(tmp_path / "a" / "1.png")
    assert [image.name for image in find_images([tmp_path, path])] == ["a/1.png"]


def test_a_path_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r"no file or folder .*nowhere"):
        find_images([tmp_path / "nowhere"])


@pytest.mark.parametrize("batch", [1, 3, 100])
def test_rows_agree_with_classifying_each_image_alone(
    classifier: Classifier, small_set: Path, batch: int
) -> None:
    files = find_images([small_set / "TEST"])
    rows = list(classify_files(classifier, files, batch))
    assert [row.file for row in rows] == [file.name for file in files]
    for file, row in list(zip(files, rows, strict=True))[::5]:
        metadata = classifier.bundle.metadata
        reading = read(file.path.read_bytes(), metadata.shape, metadata.preprocessing)
        (alone,) = classify_readings(classifier, [reading])
        assert row.verdict is not None
        assert row.verdict.label == alone.label
        assert row.verdict.confidence == pytest.approx(alone.confidence, abs=1e-5)


def test_unreadable_files_are_rows_with_a_reason_and_stop_nothing(
    classifier: Classifier, tmp_path: Path, bccd4: list[Sample]
) -> None:
    data = bccd4[0].path.read_bytes()
    (tmp_path / "1.jpg").write_bytes(b"")
    (tmp_path / "2.jpg").write_bytes(data)
    (tmp_path / "3.jpg").write_bytes(data[:2000])
    (tmp_path / "4.jpg").write_bytes(data)
    rows = list(classify_files(classifier, find_images([tmp_path]), batch=3))
    assert [row.verdict is None for row in rows] == [True, False, True, False]
    assert rows[0].reason == "The file is empty."
    assert rows[1].verdict == rows[3].verdict


def test_a_file_that_vanishes_is_a_row_with_a_reason(
    classifier: Classifier, tmp_path: Path
) -> None:
    files = find_images([picture(tmp_path / "1.png")])
    (tmp_path / "1.png").unlink()
    (row,) = classify_files(classifier, files)
    assert row.verdict is None
    assert row.reason == "The file can't be read: No such file or directory."


def test_the_table_has_a_column_for_every_class(classifier: Classifier, tmp_path: Path) -> None:
    picture(tmp_path / "1.png")
    (tmp_path / "2.png").write_bytes(b"no image")
    rows = list(classify_files(classifier, find_images([tmp_path])))
    done, failed = table(rows, classifier.bundle)
    assert list(done)[: len(COLUMNS)] == list(COLUMNS)
    shares = [float(done[f"probability_{name}"]) for name in classifier.bundle.metadata.classes]
    assert sum(shares) == pytest.approx(1, abs=1e-5)
    assert float(done["confidence"]) == max(shares)
    assert done["outcome"] in ("accepted", "uncertain", "unfamiliar")
    assert done["class"] in done["candidates"].split(" | ")
    assert done["model"] == classifier.bundle.title
    assert (failed["class"], failed["confidence"], failed["outcome"]) == ("", "", "failed")


@pytest.mark.parametrize("name", ["=1+1.png", "+1.png", "-1.png", "@sum.png", "\tx.png"])
def test_no_cell_of_the_table_is_a_formula(shipped: Bundle, name: str) -> None:
    (row,) = table([Row(name, None, "reason")], shipped)
    assert row["file"] == "'" + name


@given(st.text())
def test_harmless_cells_are_left_as_they_are(cell: str) -> None:
    result = harmless(cell)
    assert result in (cell, "'" + cell)
    assert not result.startswith(("=", "+", "-", "@"))
