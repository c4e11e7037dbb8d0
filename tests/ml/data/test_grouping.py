"""Copies of one photograph are found, and different photographs are never welded."""

from __future__ import annotations

import random
from collections import Counter, defaultdict
from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np
import pytest

from ml.data import Sample
from ml.data.grouping import believed, find_groups
from ml.data.matching import Link
from ml.decoding import Pixels


def photograph(seed: int) -> Pixels:
    """A field of many overlapping discs on a bright ground: uint8 (180, 240, 3)."""
    rng = np.random.default_rng(seed)
    image = np.full((180, 240, 3), 225, np.uint8)
    for _ in range(90):
        centre = (int(rng.integers(240)), int(rng.integers(180)))
        colour = tuple(int(value) for value in rng.integers(60, 220, 3))
        cv2.circle(image, centre, int(rng.integers(4, 22)), colour, -1, cv2.LINE_AA)
    return image


def turned(image: Pixels, degrees: float, mirrored: bool = False) -> Pixels:
    """The same photograph turned, with black corners."""
    height, width = image.shape[:2]
    matrix = cv2.getRotationMatrix2D((width / 2, height / 2), degrees, 1.0)
    source = np.ascontiguousarray(image[:, ::-1]) if mirrored else image
    return np.asarray(cv2.warpAffine(source, matrix, (width, height)), np.uint8)


def saved(folder: Path, images: Sequence[Pixels]) -> list[Path]:
    paths = [folder / f"{number}.png" for number in range(len(images))]
    for path, image in zip(paths, images, strict=True):
        cv2.imwrite(str(path), image)
    return paths


def silent(stage: str, done: float, note: str) -> None:
    """Show no progress."""


def sure(link: Link) -> bool:
    return link.agreeing >= 30


def test_turned_and_mirrored_copies_are_of_their_photograph(tmp_path: Path) -> None:
    first, second = photograph(1), photograph(2)
    images = [first, turned(first, 40), turned(first, 75, mirrored=True), second, turned(second, 9)]
    grouping = find_groups(saved(tmp_path, images), silent)
    assert grouping.scenes == (0, 0, 0, 1, 1)


def test_equal_files_are_one_even_without_anything_to_see(tmp_path: Path) -> None:
    blank = np.full((60, 60, 3), 200, np.uint8)
    grouping = find_groups(saved(tmp_path, [blank, blank, blank + 1]), silent)
    assert grouping.photographs == (0, 0, 1)


def test_a_broken_file_is_told_and_stays_alone(tmp_path: Path) -> None:
    paths = saved(tmp_path, [photograph(1), turned(photograph(1), 20)])
    broken = tmp_path / "broken.png"
    broken.write_bytes(b"no picture")
    grouping = find_groups([*paths, broken], silent)
    assert (grouping.scenes, grouping.unreadable) == ((0, 0, 1), (2,))


def test_one_wrong_link_does_not_weld_two_photographs() -> None:
    right = [Link(a, b, 20, 0.99) for a, b in ((0, 1), (1, 2), (0, 2), (3, 4), (4, 5), (3, 5))]
    wrong = Link(2, 3, 16, 0.91)
    assert (2, 3) not in believed([*right, wrong], sure)
    assert len(believed([*right, wrong], sure)) == 6


def test_a_link_beyond_doubt_needs_no_other() -> None:
    right = [Link(a, b, 20, 0.99) for a, b in ((0, 1), (1, 2), (0, 2), (3, 4), (4, 5), (3, 5))]
    assert (2, 3) in believed([*right, Link(2, 3, 50, 0.95)], sure)


def pairs(groups: Sequence[object]) -> int:
    return sum(count * (count - 1) // 2 for count in Counter(groups).values())


@pytest.fixture(scope="module")
def copies(bccd4: list[Sample]) -> list[Sample]:
    """4 copies of each of 30 photographs."""
    by_photograph: dict[str, list[Sample]] = defaultdict(list)
    for sample in bccd4:
        by_photograph[sample.group or ""].append(sample)
    rng = random.Random(0)
    chosen = rng.sample(sorted(by_photograph), 30)
    return [sample for name in chosen for sample in rng.sample(by_photograph[name], 4)]


def test_the_photographs_of_the_real_set_are_found(copies: list[Sample]) -> None:
    grouping = find_groups([sample.path for sample in copies], silent)
    truth = [sample.group for sample in copies]
    both = pairs(list(zip(truth, grouping.photographs, strict=True)))
    assert both / pairs(grouping.photographs) >= 0.99
    assert both / pairs(truth) >= 0.95
    # Every photograph lies in one scene: a split by scenes cuts none.
    assert pairs(list(zip(truth, grouping.scenes, strict=True))) == pairs(truth)
