"""Reading is its parts in their order, by the versions that a bundle names, and by no other."""

from __future__ import annotations

from dataclasses import asdict, replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from lexicon.verdicts import Box
from ml.decoding import DECODER_VERSION, InputShape, Pixels, UnreadableImage, decode
from ml.reading import Preprocessing, Sight, Slide, read, see
from ml.reading.cropping import balanced, crop
from ml.reading.locate import LOCATOR_VERSION, locate
from ml.reading.redcells import diameter
from tests.ml.decoding.test_images import encoded
from tests.ml.reading.test_locate import BACKGROUND, smear

SHAPE = InputShape(80, 80)


@pytest.fixture
def image() -> Pixels:
    return smear((100, 140))


def test_a_whole_image_is_stretched_as_pillow_does(image: Pixels) -> None:
    shape = InputShape(50, 90)
    by_pillow = np.asarray(Image.fromarray(image).resize((90, 50), Image.Resampling.BILINEAR))
    assert np.array_equal(see(image, shape, Preprocessing()).pixels, by_pillow)


def test_seeing_is_light_then_place_then_crop(image: Pixels) -> None:
    slide = Slide.of(image)
    location = locate(slide)
    reading = see(image, SHAPE, Preprocessing.located(1.4))
    assert reading.location == location
    assert np.array_equal(reading.pixels, crop(image, slide.light, location.box, 80, 1.4))


def test_with_a_span_the_square_is_so_many_red_cells_wide(image: Pixels) -> None:
    slide = Slide.of(image)
    box = locate(slide).box
    assert box is not None
    red = diameter(slide, box)
    assert red is not None
    margin = 3.0 * red / max(box.right - box.left, box.bottom - box.top)
    steps = Preprocessing.located(margin / 1.2, span=3.0)
    expected = crop(image, slide.light, box, 80, margin)
    assert np.array_equal(see(image, SHAPE, steps).pixels, expected)


def test_a_span_says_nothing_where_no_red_cell_is() -> None:
    bare = np.full((240, 240, 3), BACKGROUND, np.uint8)
    bare[100:150, 90:140] = (110, 60, 140)
    with_span = see(bare, SHAPE, Preprocessing.located(1.3, span=3.2))
    without = see(bare, SHAPE, Preprocessing.located(1.3))
    assert np.array_equal(with_span.pixels, without.pixels)
    assert with_span.location == without.location


def test_where_no_cell_is_the_middle_is_shown() -> None:
    blank = np.full((90, 150, 3), (220, 210, 200), np.uint8)
    blank[40:50, 70:80] = (190, 170, 180)
    reading = see(blank, SHAPE, Preprocessing.located(1.3, span=3.2))
    assert (reading.location.sight, reading.location.box) == (Sight.NONE, None)
    assert reading.pixels[40, 40, 1] < reading.pixels[5, 5, 1]


def test_reading_a_file_is_seeing_what_was_decoded(image: Pixels) -> None:
    data = encoded(Image.fromarray(image), "JPEG", quality=80)
    steps = Preprocessing.located(1.3, span=3.2)
    one, other = read(data, SHAPE, steps), see(decode(data), SHAPE, steps)
    assert np.array_equal(one.pixels, other.pixels)
    assert one.location == other.location


def test_a_file_with_more_pixels_than_allowed_is_not_read(image: Pixels) -> None:
    data = encoded(Image.fromarray(image), "PNG")
    assert read(data, SHAPE, Preprocessing(), max_pixels=240 * 240).pixels.shape == (80, 80, 3)
    with pytest.raises(UnreadableImage) as caught:
        read(data, SHAPE, Preprocessing(), max_pixels=240 * 240 - 1)
    assert caught.value.code == "too_many_pixels"


@pytest.mark.parametrize("steps", [Preprocessing(), Preprocessing.located(1.3, span=3.2)])
def test_seeing_leaves_the_image_as_it_was(image: Pixels, steps: Preprocessing) -> None:
    image[165:] = 0
    before = image.copy()
    assert see(image, SHAPE, steps).location.sight is Sight.ONE
    assert np.array_equal(image, before)


@settings(max_examples=40, deadline=None)
@given(st.integers(1, 300), st.integers(1, 300), st.integers(16, 96), st.integers(0, 99))
def test_an_image_of_any_size_comes_out_in_the_network_s_shape(
    height: int, width: int, side: int, seed: int
) -> None:
    noise = np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8)
    for steps in (Preprocessing(), Preprocessing.located(1.3, span=3.2)):
        reading = see(noise, InputShape(side, side), steps)
        assert reading.pixels.shape == (side, side, 3)
        assert reading.pixels.dtype == np.uint8


@pytest.mark.parametrize("size", [(1, 400), (400, 1), (2, 640), (640, 3)])
def test_a_file_of_one_line_is_read_as_any_other(size: tuple[int, int]) -> None:
    line = Image.fromarray(np.full((*size, 3), 200, np.uint8))
    reading = read(encoded(line, "PNG"), SHAPE, Preprocessing.located(1.3, span=3.2))
    assert reading.location.sight is Sight.NONE
    assert np.abs(reading.pixels.astype(int) - 240).max() <= 1


def test_what_a_bundle_says_of_its_reading_is_understood_again() -> None:
    for steps in (Preprocessing(), Preprocessing.located(1.3, 0.7, 3.2)):
        assert Preprocessing.of(asdict(steps)) == steps
    assert Preprocessing.of({}).locator == 0
    assert Preprocessing.of({"locator": 2, "margin": 1.5}).margin == 1.5


@pytest.mark.parametrize(
    "document",
    [
        {"decoder": DECODER_VERSION - 1},
        {"decoder": DECODER_VERSION + 1},
        {"locator": LOCATOR_VERSION + 1},
        {"locator": 1},
        {"locator": -1},
    ],
)
def test_a_version_that_is_no_longer_or_not_yet_here_is_refused(document: dict[str, int]) -> None:
    with pytest.raises(ValueError, match="in a way that this program no longer has"):
        Preprocessing.of(document)


def test_a_step_that_is_not_known_is_refused_by_its_name() -> None:
    with pytest.raises(ValueError, match=r"not understood: .*'sharpen'"):
        Preprocessing.of({"sharpen": 1})


def test_a_wider_reading_changes_how_wide_it_is_and_nothing_else() -> None:
    steps = Preprocessing.located(1.3, 0.7, 3.2)
    wide = steps.widened(1.375)
    assert (wide.margin, wide.span) == pytest.approx((1.3 * 1.375, 3.2 * 1.375))
    assert replace(wide, margin=steps.margin, span=steps.span) == steps


COLOURS = st.tuples(*[st.integers(60, 255)] * 3)


@given(COLOURS)
def test_the_background_of_any_colour_becomes_the_same_white(colour: tuple[int, int, int]) -> None:
    image = np.full((6, 5, 3), colour, np.uint8)
    even = balanced(image, np.array(colour, np.float32))
    assert np.abs(even.astype(int) - 240).max() <= 1


@given(COLOURS, st.integers(0, 2))
def test_balancing_keeps_darker_darker_and_wraps_nothing_round(
    colour: tuple[int, int, int], channel: int
) -> None:
    ramp = np.zeros((1, 256, 3), np.uint8)
    ramp[0, :, channel] = np.arange(256)
    even = balanced(ramp, np.array(colour, np.float32))[0].astype(int)
    assert (np.diff(even[:, channel]) >= 0).all()
    assert even[255, channel] >= 239
    assert not np.delete(even, channel, axis=1).any()


@settings(max_examples=60, deadline=None)
@given(
    st.integers(60, 200), st.integers(60, 200), st.floats(0.1, 0.9), st.floats(0.1, 0.9),
    st.floats(0.08, 0.5), st.floats(1.0, 3.0),
)  # fmt: skip
def test_the_middle_of_the_box_is_the_middle_of_the_crop(
    height: int, width: int, x: float, y: float, size: float, margin: float
) -> None:
    image = np.full((height, width, 3), 230, np.uint8)
    column, row = int(x * width), int(y * height)
    image[max(0, row - 2) : row + 3, max(0, column - 2) : column + 3] = (90, 40, 120)
    middle = ((column + 0.5) / width, (row + 0.5) / height)
    across, down = size / 2, size / 2 * width / height
    box = Box(middle[0] - across, middle[1] - down, middle[0] + across, middle[1] + down)
    shown = crop(image, np.full(3, 230, np.float32), box, 64, margin)
    darkness = 240.0 - shown[..., 1]
    steps = np.arange(64) + 0.5
    # A pixel of the image is so many pixels of the crop.
    pixel = 64 / max(8, size * width * margin)
    for along in (darkness.sum(axis=0), darkness.sum(axis=1)):
        assert along @ steps / along.sum() == pytest.approx(32, abs=1.3 * pixel + 1)


@pytest.mark.parametrize(
    ("box", "outside"),
    [
        (Box(0, 0, 0.25, 0.25), np.s_[:20, :20]),
        (Box(0.75, 0, 1, 0.25), np.s_[:20, -20:]),
        (Box(0, 0.75, 0.25, 1), np.s_[-20:, :20]),
        (Box(0.75, 0.75, 1, 1), np.s_[-20:, -20:]),
    ],
)
def test_beyond_every_corner_lies_background(box: Box, outside: tuple[slice, slice]) -> None:
    image = np.full((100, 100, 3), (100, 50, 140), np.uint8)
    shown = crop(image, np.array([220, 200, 180], np.float32), box, 96, 3.0)
    assert np.abs(shown[outside].astype(int) - 240).max() <= 1
    opposite = shown[::-1, ::-1][outside]
    assert np.abs(opposite - np.array([100 / 220, 50 / 200, 140 / 180]) * 240).max() <= 2
