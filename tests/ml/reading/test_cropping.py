"""The square that a network sees: balanced, filled, centred on the cell."""

from __future__ import annotations

import numpy as np
import pytest

from lexicon.verdicts import Box
from ml.decoding import InputShape, Pixels
from ml.reading import Preprocessing, Slide, read
from ml.reading.cropping import balanced
from ml.reading.cropping import crop as crop_in_light
from ml.reading.steps import UNLOOKED
from tests.ml.decoding.test_images import encoded
from tests.ml.reading.test_locate import smear


def crop(image: Pixels, box: Box | None, side: int, margin: float) -> Pixels:
    """The crop in the image's own light."""
    return crop_in_light(image, Slide.of(image).light, box, side, margin)


@pytest.fixture
def field() -> Pixels:
    return smear((120, 120))


def test_the_crop_is_a_square_of_the_size_asked_for(field: Pixels) -> None:
    for side in (32, 96, 224):
        square = crop(field, Box(0.3, 0.3, 0.7, 0.6), side, 1.3)
        assert square.shape == (side, side, 3)
        assert square.dtype == np.uint8


def test_the_cell_fills_the_crop_but_for_the_margin(field: Pixels) -> None:
    square = crop(field, Box(96 / 240, 96 / 240, 144 / 240, 144 / 240), 100, 2.0)
    dark = square[..., 1] < 120
    assert dark.any(axis=0).sum() == pytest.approx(50, abs=4)
    assert np.flatnonzero(dark.any(axis=0)).mean() == pytest.approx(50, abs=2)


def test_the_background_becomes_a_neutral_near_white(field: Pixels) -> None:
    tinted = (field * (1.0, 0.8, 0.6)).astype(np.uint8)
    for image in (field, tinted):
        brightest = np.percentile(crop(image, None, 96, 1.3).reshape(-1, 3), 95, axis=0)
        assert np.abs(brightest - 240).max() <= 4


def test_what_lies_outside_the_image_is_background(field: Pixels) -> None:
    square = crop(field, Box(0.0, 0.0, 0.1, 0.1), 96, 3.0)
    assert np.abs(square[:20, :20].astype(int) - 240).max() <= 4


def test_black_corners_are_filled(field: Pixels) -> None:
    field[:60, :60] = 0
    assert crop(field, None, 96, 1.3).min() > 40


def test_without_a_box_the_largest_square_is_taken() -> None:
    image = np.full((100, 300, 3), 200, np.uint8)
    image[:, 140:160] = (90, 40, 120)
    square = crop(image, None, 100, 1.3)
    assert (square[50, :, 1] < 120).sum() == pytest.approx(20, abs=2)


def test_balancing_leaves_the_darkest_dark() -> None:
    image = np.array([[[0, 0, 0], [100, 200, 50]]], np.uint8)
    pixels = balanced(image, np.array([100, 200, 50], np.float32))
    assert pixels.tolist() == [[[0, 0, 0], [240, 240, 240]]]


def test_reading_locates_only_where_the_bundle_was_taught_to() -> None:
    from PIL import Image

    data = encoded(Image.fromarray(smear((80, 150))), "PNG")
    shape = InputShape(64, 64)
    plain = read(data, shape, Preprocessing())
    located = read(data, shape, Preprocessing.located(1.3))
    assert plain.location == UNLOOKED
    assert plain.pixels.shape == located.pixels.shape == (64, 64, 3)
    assert located.location.box is not None
    assert located.pixels[32, 32, 1] < 120
    assert plain.pixels[32, 32, 1] > 120


def test_a_wider_reading_shows_the_same_cell_smaller() -> None:
    from PIL import Image

    data = encoded(Image.fromarray(smear((120, 120))), "PNG")
    near = read(data, InputShape(64, 64), Preprocessing.located(1.3)).pixels
    steps = Preprocessing.located(1.3).widened(88 / 64)
    wide = read(data, InputShape(88, 88), steps).pixels
    assert np.abs(wide[12:76, 12:76].astype(int) - near).mean() < 12
