"""Copies of a photograph are found whatever was done to them, and other photographs never are."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ml.data.fingerprints import MIRRORED, fingerprint, rooted, vectors
from ml.data.grouping import Grouping, believed, find_groups
from ml.data.matching import Link
from ml.decoding import Pixels
from tests.ml.data.test_grouping import photograph, saved, silent, turned


def recompressed(image: Pixels) -> Pixels:
    data = cv2.imencode(".jpg", image, [cv2.IMWRITE_JPEG_QUALITY, 70])[1]
    return np.asarray(cv2.imdecode(data, cv2.IMREAD_COLOR), np.uint8)


def resized(image: Pixels, factor: float) -> Pixels:
    size = None
    made = cv2.resize(image, size, fx=factor, fy=factor, interpolation=cv2.INTER_AREA)
    return np.asarray(made, np.uint8)


CHANGES: dict[str, Callable[[Pixels], Pixels]] = {
    "a quarter turn": lambda image: np.rot90(image),
    "a half turn": lambda image: image[::-1, ::-1],
    "mirrored": lambda image: image[:, ::-1],
    "upside down": lambda image: image[::-1],
    "a slant": lambda image: turned(image, 33),
    "a slant, mirrored": lambda image: turned(image, -61, mirrored=True),
    "darker": lambda image: (image * 0.8).astype(np.uint8),
    "brighter": lambda image: np.minimum(image * 1.08, 255).astype(np.uint8),
    "cropped": lambda image: image[15:165, 20:220],
    "compressed": recompressed,
    "larger": lambda image: resized(image, 1.6),
    "smaller": lambda image: resized(image, 0.8),
}


def grouped(folder: Path, images: list[Pixels]) -> Grouping:
    return find_groups(saved(folder, [np.ascontiguousarray(image) for image in images]), silent)


@pytest.mark.parametrize("change", CHANGES)
def test_a_changed_copy_is_of_its_photograph_and_of_no_other(change: str, tmp_path: Path) -> None:
    first, other = photograph(11), photograph(12)
    grouping = grouped(tmp_path, [first, other, CHANGES[change](first)])
    assert grouping.scenes == (0, 1, 0)


def test_copies_of_small_pictures_are_found_as_those_of_large_ones(tmp_path: Path) -> None:
    """Smaller than the side at which keypoints are sought, and not of one size."""
    small = resized(photograph(13), 0.6)
    other = resized(photograph(14), 0.6)
    grouping = grouped(tmp_path, [small, other, turned(small, 25), small[8:100, 10:140]])
    assert grouping.scenes == (0, 1, 0, 0)


def test_photographs_are_told_apart_among_all_their_copies(tmp_path: Path) -> None:
    names = ["a slant, mirrored", "cropped"]
    originals = [photograph(seed) for seed in range(20, 24)]
    images = [
        made for image in originals for made in (image, *(CHANGES[name](image) for name in names))
    ]
    grouping = grouped(tmp_path, images)
    assert grouping.scenes == tuple(number for number in range(4) for _ in range(3))
    assert not grouping.unreadable


def test_photographs_of_one_stain_and_size_are_not_one(tmp_path: Path) -> None:
    grouping = grouped(tmp_path, [photograph(seed) for seed in range(30, 37)])
    assert grouping.scenes == grouping.photographs == tuple(range(7))
    assert not grouping.links


def test_copies_of_one_photograph_are_of_one_scene_too(tmp_path: Path) -> None:
    first = photograph(50)
    images = [first, first[:, ::-1], photograph(51), turned(first, 20), first]
    grouping = grouped(tmp_path, images)
    for one in range(5):
        for other in range(5):
            if grouping.photographs[one] == grouping.photographs[other]:
                assert grouping.scenes[one] == grouping.scenes[other]
    assert grouping.photographs[0] == grouping.photographs[1] == grouping.photographs[4]


@pytest.mark.parametrize("count", [0, 1])
def test_no_image_and_one_alone_are_grouped_without_a_fuss(count: int, tmp_path: Path) -> None:
    grouping = grouped(tmp_path, [photograph(60)] * count)
    assert grouping == Grouping(tuple(range(count)), tuple(range(count)), (), ())


def test_files_that_are_all_broken_stay_alone(tmp_path: Path) -> None:
    paths = [tmp_path / f"{number}.png" for number in range(3)]
    for number, path in enumerate(paths):
        path.write_bytes(b"no picture %d" % number)
    grouping = find_groups(paths, silent)
    assert (grouping.scenes, grouping.unreadable) == ((0, 1, 2), (0, 1, 2))


def test_an_equal_file_of_a_broken_one_is_told_as_well(tmp_path: Path) -> None:
    paths = [tmp_path / f"{number}.png" for number in range(2)]
    for path in paths:
        path.write_bytes(b"no picture")
    grouping = find_groups(paths, silent)
    assert (grouping.photographs, grouping.unreadable) == ((0, 0), (0, 1))


def test_a_descriptor_mirrored_twice_is_itself() -> None:
    assert np.array_equal(MIRRORED[MIRRORED], np.arange(128))
    assert not np.array_equal(MIRRORED, np.arange(128))


def test_the_mirror_of_a_fingerprint_is_the_fingerprint_of_the_mirror() -> None:
    """Half of the keypoints at least have one whose mirrored descriptor is nearly theirs."""
    image = photograph(70)
    there = rooted(fingerprint(image).descriptors)
    mirror = rooted(fingerprint(np.ascontiguousarray(image[:, ::-1])).descriptors)
    best = (there @ mirror[:, MIRRORED].T).max(axis=1)
    plain = (there @ mirror.T).max(axis=1)
    assert np.median(best) > 0.95
    assert np.median(best) > np.median(plain) + 0.02


def test_the_vectors_of_copies_are_nearer_than_those_of_other_photographs() -> None:
    images = [photograph(seed) for seed in range(80, 84)]
    prints = [fingerprint(image) for image in images]
    copies = [fingerprint(turned(image, 50, mirrored=True)) for image in images]
    near = vectors([*prints, *copies])
    assert np.linalg.norm(near, axis=1) == pytest.approx(np.ones(8), abs=1e-4)
    likeness = near[:4] @ near[4:].T
    assert (likeness.argmax(axis=1) == np.arange(4)).all()


def test_a_blank_picture_has_a_fingerprint_without_a_point() -> None:
    blank = fingerprint(np.full((50, 80, 3), 200, np.uint8))
    assert blank.points.shape == (0, 2)
    assert blank.descriptors.shape == (0, 128)


def sure(link: Link) -> bool:
    return link.agreeing >= 30


LINKS = st.lists(
    st.tuples(st.integers(0, 7), st.integers(0, 7), st.integers(15, 60)), max_size=20
).map(
    lambda drawn: [
        Link(min(one, other), max(one, other), agreeing, 0.99)
        for one, other, agreeing in drawn
        if one != other
    ]
)


@given(LINKS)
def test_every_sure_link_is_believed_and_none_that_was_not_found(links: list[Link]) -> None:
    pairs = believed(links, sure)
    assert set(pairs) <= {(link.first, link.second) for link in links}
    assert {(link.first, link.second) for link in links if sure(link)} <= set(pairs)


@given(LINKS)
def test_an_unsure_link_needs_a_third_image_or_an_end_without_another(links: list[Link]) -> None:
    pairs = set(believed(links, sure))
    neighbours = {
        number: {link.second if link.first == number else link.first
                 for link in links if number in (link.first, link.second)}
        for number in range(8)
    }  # fmt: skip
    certain = {(link.first, link.second) for link in links if sure(link)}
    for pair in pairs - certain:
        one, other = (neighbours[number] for number in pair)
        assert one & other or len(one) == 1 or len(other) == 1
