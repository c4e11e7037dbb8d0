"""What a survey measures of each image, and what it tells of them together."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from ml.data import Sample
from ml.data.survey import facts_of, survey
from ml.decoding import Pixels
from tests.ml.data.test_grouping import photograph, silent, turned


class Folder:
    """A data folder that is filled image by image."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.samples: list[Sample] = []

    def add(
        self, image: Pixels | bytes | None, label: str = "monocyte", split: str = "train",
        group: str | None = None, source: str = "lab",
    ) -> None:  # fmt: skip
        """Add an image in red, green and blue, bytes that are none, or the name of no file."""
        path = self.root / f"{len(self.samples)}.png"
        if isinstance(image, bytes):
            path.write_bytes(image)
        elif image is not None:
            cv2.imwrite(str(path), image[..., ::-1])
        self.samples.append(Sample(path, path.name, label, source, split, group))

    def facts(self, find: bool = False) -> dict[str, Any]:
        return facts_of(survey(self.samples, find, silent))

    def appearance(self, label: str = "monocyte") -> dict[str, float]:
        found: dict[str, float] = self.facts()["appearance"]["lab"][label]
        return found


@pytest.fixture
def folder(tmp_path: Path) -> Folder:
    return Folder(tmp_path)


def flat(*colour: int, size: tuple[int, int] = (40, 60)) -> Pixels:
    return np.full((*size, 3), colour, np.uint8)


def test_colour_is_measured_where_no_black_fill_is(folder: Folder) -> None:
    image = flat(200, 150, 100)
    image[:, :15] = 0
    folder.add(image)
    measured = folder.appearance()
    assert (measured["red"], measured["green"], measured["blue"]) == (200, 150, 100)
    assert measured["filled"] == 0.25


def test_an_image_that_is_black_all_over_has_no_colour(folder: Folder) -> None:
    folder.add(flat(0, 0, 0))
    measured = folder.appearance()
    assert measured == {"red": 0, "green": 0, "blue": 0, "sharpness": 0, "filled": 1}


def test_a_blurred_image_is_less_sharp_at_any_size(folder: Folder) -> None:
    image = photograph(1)
    soft = np.asarray(cv2.GaussianBlur(image, (0, 0), 2.5), np.uint8)
    large = cv2.resize(image, None, fx=2, fy=2, interpolation=cv2.INTER_NEAREST)
    folder.add(image, "monocyte")
    folder.add(soft, "lymphocyte")
    folder.add(np.asarray(large, np.uint8), "eosinophil")
    sharp, blurred, enlarged = (
        folder.appearance(label)["sharpness"] for label in ("monocyte", "lymphocyte", "eosinophil")
    )
    assert blurred < 0.5 * sharp
    assert enlarged == pytest.approx(sharp, rel=0.01)


def test_the_median_of_a_class_is_not_moved_by_one_odd_image(folder: Folder) -> None:
    for level in (100, 110, 120, 130, 255):
        folder.add(flat(level, level, level))
    assert folder.appearance()["green"] == 120


def test_sizes_are_those_of_the_files_the_commonest_first(folder: Folder) -> None:
    for size in ((40, 60), (900, 700), (40, 60)):
        folder.add(flat(9, 99, 199, size=size))
    assert list(folder.facts()["sizes"].items()) == [("60x40", 2), ("700x900", 1)]


def test_what_can_not_be_read_is_told_and_counts_for_no_appearance(folder: Folder) -> None:
    folder.add(flat(200, 200, 200))
    folder.add(b"no picture")
    folder.add(None)
    facts = folder.facts()
    assert facts["images"] == 3
    assert list(facts["corrupt"]) == ["lab/1.png", "lab/2.png"]
    assert facts["corrupt"]["lab/2.png"] == "No such file or directory"
    assert facts["appearance"]["lab"]["monocyte"]["red"] == 200
    assert facts["duplicates"] == []


def test_counts_go_by_source_split_and_class(folder: Folder) -> None:
    for label, split, source in (
        ("monocyte", "train", "lab"), ("monocyte", "train", "lab"), ("basophil", "test", "lab"),
        ("basophil", "", "clinic"),
    ):  # fmt: skip
        folder.add(flat(1, 2, 3), label, split, source=source)
    assert folder.facts()["counts"] == {
        "clinic": {"unsplit": {"basophil": 1}},
        "lab": {"test": {"basophil": 1}, "train": {"monocyte": 2}},
    }


def test_equal_files_of_two_labels_are_one_conflict(folder: Folder) -> None:
    folder.add(photograph(1), "monocyte", group="a")
    folder.add(photograph(1), "neutrophil", group="a")
    folder.add(photograph(2), "monocyte", group="b")
    facts = folder.facts()
    assert facts["duplicates"] == [["lab/0.png", "lab/1.png"]]
    assert facts["conflicts"] == [{"monocyte": "lab/0.png", "neutrophil": "lab/1.png"}]


def test_a_photograph_in_two_splits_is_told_and_one_of_two_sources_too(folder: Folder) -> None:
    folder.add(photograph(1), split="train", group="a")
    folder.add(photograph(2), split="test", group="a")
    folder.add(photograph(3), split="train", group="b")
    folder.add(photograph(4), split="train", group="b")
    assert folder.facts()["cut_splits"] == {
        "lab test / lab train": {"groups": 1, "example": ["lab/1.png", "lab/0.png"]}
    }


def test_groups_are_counted_and_those_that_are_unknown_said(folder: Folder) -> None:
    for number, group in enumerate(("a", "a", "a", "b", None)):
        folder.add(photograph(number), group=group)
    assert folder.facts()["groups"] == {
        "groups": 2,
        "photographs": 2,
        "unknown": 1,
        "of_one_image": 1,
        "largest": 3,
    }


def test_without_a_known_group_there_is_nothing_to_count(folder: Folder) -> None:
    folder.add(photograph(1))
    assert folder.facts()["groups"] is None
    assert folder.facts()["cut_splits"] == {}


def test_groups_that_are_found_replace_those_that_were_said(folder: Folder) -> None:
    image = photograph(1)
    folder.add(image, group="x", split="train")
    folder.add(turned(image, 30), group="y", split="test")
    folder.add(photograph(2), group="x", split="test")
    folder.add(None, group="x", split="train")
    facts = folder.facts(find=True)
    assert facts["groups"]["groups"] == 2
    assert facts["groups"]["unknown"] == 1
    assert facts["cut_splits"]["lab test / lab train"]["groups"] == 1
    assert folder.facts(find=False)["groups"]["groups"] == 2
    assert folder.facts(find=False)["cut_splits"]["lab test / lab train"]["example"] == [
        "lab/2.png",
        "lab/0.png",
    ]
