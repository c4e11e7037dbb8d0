"""A cell is the same cell upside down, mirrored, moved or enlarged, and measured as such."""

from __future__ import annotations

from collections.abc import Callable

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lexicon.verdicts import Box
from ml.decoding import Pixels
from ml.reading import Location, Sight, Slide
from ml.reading.locate import locate
from ml.reading.redcells import diameter
from tests.ml.reading.test_locate import BACKGROUND, NUCLEUS, RED_CELL, smear

# How an image is turned, and where that brings a point, in shares of width and height.
Point = tuple[float, float]
TURNS: dict[str, tuple[Callable[[Pixels], Pixels], Callable[[float, float], Point]]] = {
    "left for right": (lambda image: image[:, ::-1], lambda x, y: (1 - x, y)),
    "upside down": (lambda image: image[::-1], lambda x, y: (x, 1 - y)),
    "a half turn": (lambda image: image[::-1, ::-1], lambda x, y: (1 - x, 1 - y)),
    "a quarter left": (lambda image: np.rot90(image), lambda x, y: (y, 1 - x)),
    "a quarter right": (lambda image: np.rot90(image, 3), lambda x, y: (1 - y, x)),
    "over the diagonal": (lambda image: image.transpose(1, 0, 2), lambda x, y: (y, x)),
}
PLACES = st.tuples(st.integers(50, 190), st.integers(50, 190))


def seen(image: Pixels) -> Location:
    return locate(Slide.of(np.ascontiguousarray(image)))


def box_of(image: Pixels) -> Box:
    box = seen(image).box
    assert box is not None
    return box


def turned_box(box: Box, moved: Callable[[float, float], Point]) -> Box:
    (x, y), (x_, y_) = moved(box.left, box.top), moved(box.right, box.bottom)
    return Box(min(x, x_), min(y, y_), max(x, x_), max(y, y_))


@pytest.mark.parametrize("turn", TURNS)
@settings(max_examples=12, deadline=None)
@given(place=PLACES, radius=st.integers(16, 30))
def test_the_box_turns_with_the_image(turn: str, place: tuple[int, int], radius: int) -> None:
    image = smear(place, radius=radius)
    make, moved = TURNS[turn]
    assert box_of(make(image)) == pytest.approx(turned_box(box_of(image), moved), abs=0.02)


@pytest.mark.parametrize("turn", TURNS)
@pytest.mark.parametrize(
    ("cells", "sight"),
    [([], Sight.NONE), ([(120, 120)], Sight.ONE), ([(60, 120), (180, 130)], Sight.SEVERAL)],
)
def test_how_many_cells_there_are_does_not_hang_on_the_side_they_are_seen_from(
    turn: str, cells: list[tuple[int, int]], sight: Sight
) -> None:
    image = np.full((240, 240, 3), BACKGROUND, np.uint8)
    for place in cells:
        cv2.circle(image, place, 26, NUCLEUS, -1)
    assert seen(TURNS[turn][0](image)).sight is sight


@settings(max_examples=20, deadline=None)
@given(PLACES, st.sampled_from([0.6, 2.0, 3.5]))
def test_the_box_is_the_same_at_any_size_of_the_picture(
    place: tuple[int, int], factor: float
) -> None:
    image = smear(place)
    resized = cv2.resize(image, None, fx=factor, fy=factor, interpolation=cv2.INTER_AREA)
    assert box_of(np.asarray(resized, np.uint8)) == pytest.approx(box_of(image), abs=0.02)


@settings(max_examples=20, deadline=None)
@given(st.integers(70, 170), st.integers(70, 170), st.integers(-20, 20), st.integers(-20, 20))
def test_a_cell_that_is_moved_takes_its_box_along(x: int, y: int, right: int, down: int) -> None:
    image = np.full((240, 240, 3), BACKGROUND, np.uint8)
    there = image.copy()
    cv2.circle(image, (x, y), 22, NUCLEUS, -1)
    cv2.circle(there, (x + right, y + down), 22, NUCLEUS, -1)
    moved = np.array(box_of(there)) - np.array(box_of(image))
    assert moved * 240 == pytest.approx([right, down, right, down], abs=2)


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 239), st.integers(0, 239), st.integers(14, 40))
def test_no_box_leaves_the_image_or_is_empty(x: int, y: int, radius: int) -> None:
    box = seen(smear((x, y), radius=radius)).box
    if box is not None:
        assert 0 <= box.left < box.right <= 1
        assert 0 <= box.top < box.bottom <= 1


@pytest.mark.parametrize("corner", [(6, 6), (234, 6), (6, 234), (234, 234)])
def test_a_cell_in_a_corner_has_a_box_in_that_corner(corner: tuple[int, int]) -> None:
    image = np.full((240, 240, 3), BACKGROUND, np.uint8)
    cv2.circle(image, corner, 30, NUCLEUS, -1)
    box = box_of(image)
    assert (box.left == 0 if corner[0] < 120 else box.right == 1) is True
    assert (box.top == 0 if corner[1] < 120 else box.bottom == 1) is True
    assert 0.1 < box.right - box.left < 0.35


def test_a_box_in_a_wide_image_is_in_shares_of_each_side() -> None:
    image = np.full((120, 240, 3), BACKGROUND, np.uint8)
    cv2.circle(image, (60, 60), 20, NUCLEUS, -1)
    box = box_of(image)
    assert ((box.left + box.right) / 2, (box.top + box.bottom) / 2) == pytest.approx(
        (0.25, 0.5), abs=0.02
    )
    assert (box.bottom - box.top) == pytest.approx(2 * (box.right - box.left), rel=0.1)


def discs(radius: int, nucleus: int = 26, step: int = 60, size: int = 240) -> Pixels:
    """Red cells of a radius in rows, and a nucleus in their middle."""
    image = np.full((size, size, 3), BACKGROUND, np.uint8)
    for x in range(step // 2, size, step):
        for y in range(step // 2, size, step):
            cv2.circle(image, (x, y), radius, RED_CELL, -1)
    cv2.circle(image, (size // 2, size // 2), nucleus, NUCLEUS, -1)
    return image


def ruler(image: Pixels) -> float:
    slide = Slide.of(np.ascontiguousarray(image))
    box = locate(slide).box
    assert box is not None
    measured = diameter(slide, box)
    assert measured is not None
    return measured


@settings(max_examples=15, deadline=None)
@given(st.integers(11, 27))
def test_red_cells_of_any_size_are_measured(radius: int) -> None:
    assert ruler(discs(radius)) == pytest.approx((2 * radius + 1) / 240, rel=0.13)


@pytest.mark.parametrize("turn", TURNS)
def test_the_ruler_is_the_same_from_every_side(turn: str) -> None:
    image = discs(19)
    image[:, 200:] = BACKGROUND
    assert ruler(TURNS[turn][0](image)) == pytest.approx(ruler(image), rel=0.04)


def test_the_ruler_does_not_measure_the_white_cell() -> None:
    small, large = ruler(discs(18, nucleus=16)), ruler(discs(18, nucleus=45))
    assert large == pytest.approx(small, rel=0.1)


def test_the_ruler_is_a_share_of_the_longer_side() -> None:
    image = discs(20)
    wide = np.concatenate([image, image[:, :120]], axis=1)
    assert ruler(wide) == pytest.approx(ruler(image) * 240 / 360, rel=0.1)


def test_debris_among_the_red_cells_shortens_no_ruler() -> None:
    image = discs(22)
    plain = ruler(image)
    for x in range(0, 240, 60):
        for y in range(0, 240, 60):
            cv2.circle(image, (x, y), 6, RED_CELL, -1)
    assert ruler(image) == pytest.approx(plain, rel=0.1)
