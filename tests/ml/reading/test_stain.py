"""The light of drawn slides whose background is known, and what no stain can colour."""

from __future__ import annotations

import math

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ml.decoding import Pixels
from ml.reading import Slide
from ml.reading.stain import SIDE, lit, shrunk

Colour = tuple[int, int, int]
LIGHTS = st.tuples(*[st.integers(120, 255)] * 3)
# What a unit of each dye takes in of red, green and blue (A. C. Ruifrok & D. A. Johnston, 2001).
EOSIN, AZURE = np.array([0.42, 0.74, 0.52]), np.array([0.52, 0.84, 0.15])


def slide_of(colour: Colour, cells: Colour, share: float, side: int = 120) -> Pixels:
    """A background with the left `share` of it covered by cells of one colour."""
    image = np.full((side, side, 3), colour, np.uint8)
    image[:, : round(share * side)] = cells
    return image


@given(LIGHTS, st.floats(0, 0.85))
def test_the_light_is_the_background_however_much_the_cells_cover(
    colour: Colour, share: float
) -> None:
    cells = (colour[0] // 2, colour[1] // 3, colour[2] // 2)
    assert Slide.of(slide_of(colour, cells, share)).light.tolist() == list(colour)


def test_the_black_rim_of_a_turned_image_is_no_background() -> None:
    image = np.zeros((140, 140, 3), np.uint8)
    image[50:90, 50:90] = (210, 200, 190)
    assert Slide.of(image).light.tolist() == [210, 200, 190]


def test_a_little_glare_is_no_background() -> None:
    image = slide_of((200, 190, 180), (255, 255, 255), 0.06)
    assert Slide.of(image).light.tolist() == [200, 190, 180]


def test_an_unlit_image_has_a_light_that_one_can_divide_by() -> None:
    slide = Slide.of(np.zeros((40, 40, 3), np.uint8))
    assert slide.light.tolist() == [1, 1, 1]
    assert not slide.lit.any()
    assert not slide.foreign


@pytest.mark.parametrize("size", [(60, 60), (144, 90), (480, 640), (333, 501)])
def test_the_light_does_not_hang_on_the_picture_s_size(size: tuple[int, int]) -> None:
    image = cv2.resize(slide_of((222, 211, 199), (90, 60, 130), 0.4), size)
    assert np.abs(Slide.of(np.asarray(image, np.uint8)).light - (222, 211, 199)).max() <= 1


@settings(deadline=None)
@given(st.integers(1, 700), st.integers(1, 700), st.integers(0, 255))
def test_a_small_copy_keeps_proportions_and_colour(height: int, width: int, level: int) -> None:
    image = np.full((height, width, 3), level, np.uint8)
    small = shrunk(image, SIDE)
    if max(height, width) <= SIDE:
        assert small is image
        return
    factor = max(height, width) / SIDE
    assert max(small.shape[:2]) == SIDE
    assert small.shape[0] == pytest.approx(max(1, height / factor), abs=0.51)
    assert small.shape[1] == pytest.approx(max(1, width / factor), abs=0.51)
    assert (small == level).all()


def test_a_small_copy_shows_everything_where_it_was() -> None:
    image = np.zeros((600, 900, 3), np.uint8)
    image[100:200, 600:800] = 255
    rows, columns = np.nonzero(shrunk(image, 90)[..., 0] > 127)
    assert (rows.min(), rows.max() + 1) == pytest.approx((10, 20), abs=1)
    assert (columns.min(), columns.max() + 1) == pytest.approx((60, 80), abs=1)


def test_what_lies_beside_black_is_unlit_and_what_is_dark_is_lit() -> None:
    image = np.full((9, 9, 3), 200, np.uint8)
    image[4, 4] = 0
    image[0, 0] = (20, 20, 60)
    dark = np.argwhere(lit(image) == 0)
    assert {(int(y), int(x)) for y, x in dark} == {(y, x) for y in (3, 4, 5) for x in (3, 4, 5)}


def test_half_the_light_is_a_density_of_the_logarithm_of_two() -> None:
    green = Slide.of(slide_of((240, 240, 240), (120, 120, 120), 0.5)).green
    assert green[60, 10] == pytest.approx(math.log(2), abs=0.04)
    assert not green[:, 70:].any()


def test_two_layers_are_as_dense_as_both_together() -> None:
    image = np.full((60, 60, 3), 250, np.uint8)
    for column, layers in ((0, 1), (10, 2), (20, 3)):
        image[:, column : column + 10] = round(250 * 0.8**layers)
    one, two, three = Slide.of(image).green[30, [5, 15, 25]].tolist()
    assert (two, three) == pytest.approx((2 * one, 3 * one), rel=0.06)


def test_what_is_brighter_than_the_background_takes_in_nothing() -> None:
    assert Slide.of(slide_of((200, 200, 200), (255, 255, 255), 0.05)).green.min() == 0


@settings(max_examples=60)
@given(LIGHTS, st.floats(0, 1.6), st.floats(0, 1.6), st.floats(0, 0.8))
def test_no_mixture_of_the_dyes_is_foreign_in_any_light(
    light: Colour, eosin: float, azure: float, share: float
) -> None:
    cells = np.array(light) * np.exp(-(eosin * EOSIN + azure * AZURE))
    red, green, blue = (int(level) for level in cells)
    assert not Slide.of(slide_of(light, (red, green, blue), share)).foreign


@pytest.mark.parametrize("yellow", [(220, 200, 60), (230, 160, 20), (90, 140, 40)])
def test_only_much_of_a_colour_that_no_dye_has_is_foreign(yellow: Colour) -> None:
    assert not Slide.of(slide_of((230, 225, 220), yellow, 0.03)).foreign
    assert Slide.of(slide_of((230, 225, 220), yellow, 0.12)).foreign


def test_black_corners_under_a_violet_light_are_not_foreign() -> None:
    """Black lacks more of the brighter blue than of the green: it must not be asked."""
    image = slide_of((200, 150, 245), (120, 60, 160), 0.3)
    image[:50, :50] = image[-50:, -50:] = 0
    assert not Slide.of(image).foreign
