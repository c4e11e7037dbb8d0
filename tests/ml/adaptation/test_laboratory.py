"""A laboratory's crops are shared out by photographs, evenly, or refused with a sentence."""

from __future__ import annotations

import csv
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pytest

from ml.adaptation.laboratory import (
    FEWEST_WITHOUT_LABELS,
    REHEARSED,
    Terms,
    folds,
    rehearsal,
    share_out,
    without_labels,
    write_held_out,
)
from ml.bundle import Bundle
from ml.data import DataError, LeakingSplit, Sample, read_folder
from ml.data.dataset import group_of
from ml.training.recipes.recipe import FOUR_CLASSES

PARTS = ("test", *3 * ("train",), "test_simple", *3 * ("train",))


@pytest.fixture
def lab(tmp_path: Path) -> Path:
    """A folder a class: 60 neutrophils and 12 each of the other classes of the shipped bundle."""
    folder = tmp_path / "lab"
    for label in ("eosinophil", "lymphocyte", "monocyte", "neutrophil"):
        (folder / label).mkdir(parents=True)
        for number in range(60 if label == "neutrophil" else 12):
            (folder / label / f"{number:02}.png").write_text(f"{label} {number}")
    return folder


def paired(samples: Sequence[Sample]) -> list[Sample]:
    """The same, each two neighbours of one photograph."""
    return [replace(s, group=f"{s.label} {int(s.path.stem) // 2}") for s in samples]


def test_few_crops_are_learned_from_and_all_other_photographs_are_held_out(
    lab: Path, shipped: Bundle
) -> None:
    crops = share_out(paired(read_folder(lab)), shipped, Terms(most=40))
    learned = Counter(sample.label for sample in crops.learn)
    assert learned == {"eosinophil": 8, "lymphocyte": 8, "monocyte": 8, "neutrophil": 16}
    photographs = {group_of(sample) for sample in crops.learn}
    assert not photographs & {group_of(sample) for sample in crops.held}
    assert {sample.label for sample in crops.held} == set(learned)
    assert crops.grouped


def test_where_photographs_are_unknown_copies_of_a_file_are_taken_once(
    lab: Path, shipped: Bundle
) -> None:
    for number in range(3):
        (lab / "neutrophil" / f"copy{number}.png").write_text("neutrophil 7")
    crops = share_out(read_folder(lab), shipped, Terms())
    files = [sample.file for sample in (*crops.learn, *crops.held)]
    assert len(files) == len(set(files)) == 96
    assert (crops.copies, crops.grouped) == (3, False)


def test_images_that_the_folder_marks_as_test_are_never_learned_from(
    lab: Path, shipped: Bundle
) -> None:
    samples = [
        replace(sample, split=PARTS[int(sample.path.stem) % 8])
        for sample in paired(read_folder(lab))
    ]
    crops = share_out(samples, shipped, Terms(most=16))
    judged_by = {group_of(sample) for sample in samples if sample.split != "train"}
    assert not judged_by & {group_of(sample) for sample in crops.learn}
    assert {sample for sample in samples if sample.split != "train"} <= set(crops.held)


def test_what_is_rehearsed_was_trained_on(lab: Path, shipped: Bundle) -> None:
    samples = [
        replace(sample, source="pbc8", split=PARTS[int(sample.path.stem) % 8])
        for sample in read_folder(lab)
    ]
    cells = rehearsal(samples, shipped, 0)
    assert {cell.split for cell in cells} == {"train"}
    assert Counter(cell.label for cell in cells)["neutrophil"] == REHEARSED
    with pytest.raises(DataError, match="was not trained on lab"):
        rehearsal(read_folder(lab), shipped, 0)


def test_the_same_image_under_two_labels_is_refused(lab: Path, shipped: Bundle) -> None:
    (lab / "monocyte" / "twice.png").write_text("neutrophil 7")
    with pytest.raises(DataError, match=r"are the same image, once labelled"):
        share_out(read_folder(lab), shipped, Terms())


def test_a_class_the_bundle_does_not_know_is_refused_and_can_be_left_out(
    lab: Path, shipped: Bundle
) -> None:
    (lab / "basophil").mkdir()
    (lab / "basophil" / "0.png").write_text("basophil")
    samples = read_folder(lab)
    four = replace(shipped, metadata=replace(shipped.metadata, classes=FOUR_CLASSES))
    with pytest.raises(DataError, match="--leave-out basophil"):
        share_out(samples, four, Terms())
    crops = share_out(samples, four, Terms(leave_out=("basophil",)))
    assert crops.left_out == {"basophil": 1}
    with pytest.raises(DataError, match="no crops of platelet to leave out"):
        share_out(samples, four, Terms(leave_out=("platelet",)))


@pytest.mark.parametrize(
    ("terms", "words"),
    [
        (Terms(leave_out=("eosinophil", "lymphocyte", "monocyte")), "All crops are of one class"),
        (Terms(most=15), "Raise --most"),
        (Terms(held_out=0.8), "there are 2 crops of eosinophil"),
    ],
)
def test_too_little_is_refused(lab: Path, shipped: Bundle, terms: Terms, words: str) -> None:
    with pytest.raises(DataError, match=words):
        share_out(read_folder(lab), shipped, terms)


def test_a_class_with_one_image_is_refused(lab: Path, shipped: Bundle) -> None:
    for path in sorted((lab / "monocyte").iterdir())[1:]:
        path.unlink()
    with pytest.raises(DataError, match="All images of monocyte come from one photograph"):
        share_out(read_folder(lab), shipped, Terms())


def test_a_folder_that_the_bundle_has_seen_is_refused(lab: Path, shipped: Bundle) -> None:
    samples = [replace(sample, source="pbc8") for sample in read_folder(lab)]
    with pytest.raises(LeakingSplit, match="trained on, or adapted with"):
        share_out(samples, shipped, Terms())


def test_folds_cut_no_photograph_and_hold_every_class(lab: Path, shipped: Bundle) -> None:
    learn = share_out(paired(read_folder(lab)), shipped, Terms()).learn
    numbers = folds(learn, 3, 0)
    assert set(numbers) == {0, 1, 2}
    for number in range(3):
        ours = [s for s, fold in zip(learn, numbers, strict=True) if fold == number]
        others = [s for s, fold in zip(learn, numbers, strict=True) if fold != number]
        assert not {group_of(s) for s in ours} & {group_of(s) for s in others}
        assert len({s.label for s in ours}) == 4


def test_the_held_out_list_can_be_read_as_a_manifest(
    lab: Path, shipped: Bundle, tmp_path: Path
) -> None:
    held = share_out(paired(read_folder(lab)), shipped, Terms()).held
    write_held_out(held, lab / "manifest.csv")
    with (lab / "manifest.csv").open(newline="") as file:
        assert next(iter(csv.DictReader(file))).keys() == {"file", "class", "group"}
    assert set(read_folder(lab)) == set(held)


def test_crops_without_labels_are_those_that_nobody_has_labelled(
    lab: Path, shipped: Bundle, tmp_path: Path
) -> None:
    night = tmp_path / "night"
    (night / "run 1" / "neutrophil").mkdir(parents=True)
    for number in range(FEWEST_WITHOUT_LABELS):
        (night / "run 1" / f"{number:02}.png").write_text(f"new {number}")
    (night / "run 1" / "notes.txt").write_text("no image")
    (night / "run 1" / "again.png").write_text("new 3")
    (night / "run 1" / "neutrophil" / "held.png").write_text("neutrophil 7")
    crops = share_out(read_folder(lab), shipped, Terms())
    unlabelled = without_labels(night, shipped, crops)
    assert len(unlabelled) == FEWEST_WITHOUT_LABELS
    assert {(s.label, s.source, s.group == s.file) for s in unlabelled} == {("", "night", True)}
    assert not {"run 1/neutrophil/held.png", "run 1/notes.txt"} & {s.file for s in unlabelled}
    # Nobody's labels: what else is in the folder counts, whatever it is.
    assert len(without_labels(night, shipped, None)) == FEWEST_WITHOUT_LABELS + 1
    (night / "run 1" / "00.png").unlink()
    with pytest.raises(DataError, match=r"There are 49 crops in .* needs 50"):
        without_labels(night, shipped, crops)
    with pytest.raises(FileNotFoundError, match="no file or folder"):
        without_labels(tmp_path / "nowhere", shipped, None)
    (tmp_path / "pbc8").mkdir()
    with pytest.raises(LeakingSplit, match="trained on"):
        without_labels(tmp_path / "pbc8", shipped, None)
