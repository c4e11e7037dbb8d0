"""Files in, a table out: rows in their order, errors by name, and cells that are only text."""

from __future__ import annotations

import csv
import io
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from PIL import Image

from lexicon.outcomes import Outcome
from lexicon.results import COLUMNS
from lexicon.verdicts import Box, Verdict
from ml.answers import Outputs
from ml.bundle import Bundle
from ml.decoding import Pixels
from ml.serving import ImageFile, Row, classify_files, find_images, write_csv
from ml.trust import Trust
from tests.ml.judgements import THREE, a_bundle, accepted, strange, unsure


@dataclass
class Brightest:
    """A classifier that names the class of the brightest channel, and counts its batches."""

    bundle: Bundle
    batches: list[int]
    backend: str = "numpy"
    device: str = "cpu"

    @property
    def trust(self) -> Trust:
        return Trust(THREE)

    def classify(self, batch: Pixels) -> Outputs:
        self.batches.append(len(batch))
        means = batch.mean(axis=(1, 2)).astype(np.float32)
        return Outputs(means / 8, means)

    def activations(self, batch: Pixels) -> NDArray[np.float32]:
        return batch.transpose(0, 3, 1, 2).astype(np.float32)


@pytest.fixture
def classifier() -> Brightest:
    return Brightest(a_bundle(Path("nowhere")), [])


def written(rows: list[Row]) -> list[dict[str, str]]:
    """The rows as a program reads them back."""
    file = io.StringIO(newline="")
    write_csv(rows, a_bundle(Path("nowhere")), file)
    return list(csv.DictReader(io.StringIO(file.getvalue(), newline="")))


@pytest.mark.parametrize("batch", [1, 4, 5, 100])
def test_rows_come_in_the_order_of_the_files_whatever_the_batches(
    tmp_path: Path, classifier: Brightest, batch: int
) -> None:
    channels = [0, 1, 2, 2, 1, 0, 1, 2, 0]
    for number, channel in enumerate(channels):
        colour = tuple(250 if place == channel else 60 for place in range(3))
        Image.new("RGB", (12, 12), colour).save(tmp_path / f"{number}.png")
    rows = list(classify_files(classifier, find_images([tmp_path]), batch))
    assert [row.file for row in rows] == [f"{number}.png" for number in range(9)]
    labels = [row.verdict.label for row in rows if row.verdict]
    assert labels == [THREE[channel] for channel in channels]
    assert classifier.batches == [min(batch, 9 - start) for start in range(0, 9, batch)]


def test_files_that_can_not_be_read_are_named_with_the_reason(
    tmp_path: Path, classifier: Brightest
) -> None:
    """One of each kind, and a picture of one line, which is a picture all the same."""
    Image.new("RGB", (300, 1), (9, 9, 200)).save(tmp_path / "a line.png")
    (tmp_path / "empty.jpg").touch()
    (tmp_path / "text.png").write_text("no picture")
    (tmp_path / "whole.png").write_bytes((tmp_path / "a line.png").read_bytes())
    frames = [Image.new("RGB", (8, 8), colour) for colour in ("red", "blue")]
    frames[0].save(tmp_path / "film.webp", save_all=True, append_images=frames[1:])
    rows = {row.file: row for row in classify_files(classifier, find_images([tmp_path]), 2)}
    assert {name for name, row in rows.items() if row.verdict} == {"a line.png", "whole.png"}
    failed = {row["file"]: row for row in written(list(rows.values())) if row["message"]}
    assert set(failed) == {"empty.jpg", "text.png", "film.webp"}
    assert failed["empty.jpg"]["message"] == "The file is empty."
    assert len({row["message"] for row in failed.values()}) == 3
    for row in failed.values():
        assert (row["outcome"], row["class"], row["model"]) == ("failed", "", "")


def test_a_folder_in_the_place_of_a_file_is_a_row_with_a_reason(
    tmp_path: Path, classifier: Brightest
) -> None:
    (tmp_path / "x.png").mkdir()
    (row,) = classify_files(classifier, [ImageFile("x.png", tmp_path / "x.png")])
    assert row.verdict is None
    assert row.reason == "The file can't be read: Is a directory."


def test_no_files_make_no_rows_and_no_batch(classifier: Brightest) -> None:
    assert list(classify_files(classifier, [])) == []
    assert classifier.batches == []
    assert written([]) == []


# Whatever a file system takes in a name; a zero byte and lone surrogates it does not.
NAMES = st.text(
    st.characters(exclude_categories=["Cs"], exclude_characters="\0"), min_size=1, max_size=30
)


@settings(max_examples=80)
@given(st.lists(NAMES, min_size=1, max_size=6))
def test_a_name_comes_back_from_the_table_whatever_is_in_it(names: list[str]) -> None:
    rows = written([Row(name, None, "broken") for name in names])
    for name, row in zip(names, rows, strict=True):
        assert row["file"] in (name, "'" + name)
        assert not row["file"].startswith(("=", "+", "-", "@", "\t", "\r"))
        assert row["message"] == "broken"


def test_a_reason_is_no_formula_either() -> None:
    (row,) = written([Row("a.png", None, '=HYPERLINK("http://x")')])
    assert row["message"] == '\'=HYPERLINK("http://x")'


def test_a_verdict_fills_every_column() -> None:
    verdict = Verdict(
        "eosinophil", 0.75, Outcome.UNCERTAIN, (0.05, 0.75, 0.2), ("eosinophil", "neutrophil"),
        "between_classes", 0.123456, Box(0.1, 0.25, 0.5, 1.0),
    )  # fmt: skip
    (row,) = written([Row("a.png", verdict)])
    assert list(row) == [*COLUMNS, *(f"probability_{name}" for name in THREE), "message"]
    assert row["class"] == "eosinophil"
    assert row["candidates"] == "eosinophil | neutrophil"
    assert row["box"] == "0.1000 0.2500 0.5000 1.0000"
    assert row["familiarity"] == "0.1235"
    assert [row[f"probability_{name}"] for name in THREE] == ["0.050000", "0.750000", "0.200000"]
    assert row["message"] == ""


def test_each_outcome_is_told_from_the_others() -> None:
    rows = written(
        [
            Row("1.png", accepted("basophil")),
            Row("2.png", unsure("basophil", "eosinophil")),
            Row("3.png", strange("basophil", 0.01)),
            Row("4.png", None, "The file is empty."),
        ]
    )
    assert [row["outcome"] for row in rows] == ["accepted", "uncertain", "unfamiliar", "failed"]
    assert [row["reason"] for row in rows] == ["", "between_classes", "unlike_training", ""]
    assert [row["familiarity"] for row in rows] == ["", "", "0.0100", ""]


def test_two_folders_with_a_file_of_one_name_are_both_classified(tmp_path: Path) -> None:
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
        Image.new("RGB", (8, 8)).save(tmp_path / name / "1.png")
    images = find_images([tmp_path / "two", tmp_path / "one"])
    assert [image.name for image in images] == ["1.png", "1.png"]
    assert [image.path.parent.name for image in images] == ["one", "two"]
    assert len(find_images([tmp_path / "one", tmp_path / "one" / "1.png"])) == 1


def test_a_link_to_a_file_that_was_given_counts_once(tmp_path: Path) -> None:
    Image.new("RGB", (8, 8)).save(tmp_path / "1.png")
    (tmp_path / "2.png").symlink_to(tmp_path / "1.png")
    assert len(find_images([tmp_path])) == 1
