"""Changed training images stay within what the recipe allows, and mixed ones say what they are."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from ml.decoding import InputShape, Pixels
from ml.training.augmentation import changed, mixed
from ml.training.recipes import load_recipe
from ml.training.recipes.recipe import Jitter

STILL = Jitter(**dict.fromkeys(Jitter.__dataclass_fields__, 0.0))
JITTERS = {"default": Jitter(), "wbc8": load_recipe("wbc8").jitter or Jitter()}
SEEDS = st.integers(0, 100_000)


def drawn(image: Pixels, jitter: Jitter, seed: int, shape: InputShape | None = None) -> Pixels:
    return changed(image, jitter, np.random.default_rng(seed), shape)


def disc(x: float = 47.5, y: float = 47.5, radius: float = 12, side: int = 96) -> Pixels:
    """A dark cell on a bright field."""
    rows, columns = np.mgrid[0:side, 0:side]
    image = np.full((side, side, 3), 240, np.uint8)
    image[np.hypot(columns - x, rows - y) <= radius] = (100, 40, 150)
    return image


def dark(image: Pixels) -> NDArray[np.bool_]:
    return np.asarray(image[..., 1] < 140)


def middle_of(image: Pixels) -> tuple[float, float]:
    rows, columns = np.nonzero(dark(image))
    return float(columns.mean()), float(rows.mean())


@pytest.mark.parametrize("name", JITTERS)
@settings(max_examples=25, deadline=None)
@given(seed=SEEDS, height=st.integers(20, 70), width=st.integers(20, 70))
def test_whatever_is_drawn_it_is_an_image_of_the_shape_asked_for(
    name: str, seed: int, height: int, width: int
) -> None:
    image = np.random.default_rng(seed).integers(0, 256, (72, 80, 3), dtype=np.uint8)
    before = image.copy()
    result = drawn(image, JITTERS[name], seed, InputShape(height, width))
    assert result.shape == (height, width, 3)
    assert result.dtype == np.uint8
    assert np.array_equal(image, before), "the image that is kept must stay as it was"
    assert np.array_equal(result, drawn(image, JITTERS[name], seed, InputShape(height, width)))


@pytest.mark.parametrize("name", JITTERS)
def test_an_empty_background_stays_bright_and_nearly_white(name: str) -> None:
    white = np.full((64, 64, 3), 240, np.uint8)
    jitter = replace(JITTERS[name], erase=0.0)
    for seed in range(40):
        means = drawn(white, jitter, seed).reshape(-1, 3).mean(axis=0)
        assert means.min() > 200
        assert np.ptp(means) < 25


@settings(max_examples=40, deadline=None)
@given(SEEDS, st.floats(0.02, 0.2))
def test_a_cell_is_shifted_no_farther_than_allowed(seed: int, shift: float) -> None:
    x, y = middle_of(drawn(disc(), replace(STILL, shift=shift), seed))
    assert abs(x - 47.5) <= shift * 96 + 1
    assert abs(y - 47.5) <= shift * 96 + 1


@settings(max_examples=40, deadline=None)
@given(SEEDS, st.floats(0.05, 0.4))
def test_a_cell_is_zoomed_no_more_than_allowed(seed: int, zoom: float) -> None:
    share = dark(drawn(disc(), replace(STILL, zoom=zoom), seed)).sum() / dark(disc()).sum()
    assert math.exp(-2 * zoom) * 0.93 <= share <= math.exp(2 * zoom) * 1.07


@settings(max_examples=40, deadline=None)
@given(SEEDS, st.floats(0.05, 0.4))
def test_stretching_changes_the_sides_and_not_the_area(seed: int, stretch: float) -> None:
    seen = dark(drawn(disc(), replace(STILL, stretch=stretch), seed))
    tall, wide = seen.any(axis=1).sum(), seen.any(axis=0).sum()
    assert math.exp(-stretch) * 0.9 <= wide / tall <= math.exp(stretch) * 1.1
    assert seen.sum() == pytest.approx(dark(disc()).sum(), rel=0.06)


@settings(max_examples=30, deadline=None)
@given(SEEDS)
def test_turning_keeps_the_distance_from_the_middle(seed: int) -> None:
    x, y = middle_of(drawn(disc(x=60, y=47.5, radius=8), replace(STILL, turn=1.0), seed))
    assert math.hypot(x - 47.5, y - 47.5) == pytest.approx(12.5, abs=0.7)


def test_a_full_turn_reaches_every_side_and_a_small_one_does_not() -> None:
    image = disc(x=75, y=47.5, radius=8)

    def angles(turn: float) -> NDArray[np.float64]:
        places = [middle_of(drawn(image, replace(STILL, turn=turn), seed)) for seed in range(60)]
        return np.array([math.atan2(y - 47.5, abs(x - 47.5)) for x, y in places])

    assert angles(1.0).min() < -1.2
    assert angles(1.0).max() > 1.2
    assert np.abs(angles(0.05)).max() <= 0.05 * math.pi + 0.05


@settings(max_examples=30, deadline=None)
@given(SEEDS, st.floats(0.02, 0.2))
def test_the_light_changes_by_no_more_than_allowed(seed: int, light: float) -> None:
    white = np.full((8, 8, 3), 200, np.uint8)
    levels = drawn(white, replace(STILL, light=light), seed).reshape(-1, 3).mean(axis=0)
    most = math.exp(1.5 * light)
    assert (levels + 8 <= (200 + 8) * most + 1).all()
    assert (levels + 8 >= (200 + 8) / most - 1).all()


def test_noise_is_about_what_was_there() -> None:
    grey = np.full((64, 64, 3), 128, np.uint8)
    noisy = np.stack([drawn(grey, replace(STILL, noise=1.0), seed) for seed in range(10)])
    assert noisy.mean() == pytest.approx(127.5, abs=1)
    assert 1 < noisy.std() < 14


def test_a_hidden_patch_is_one_square_of_one_colour() -> None:
    white = np.full((60, 60, 3), 250, np.uint8)
    plain = drawn(white, STILL, 0)[0, 0]
    for seed in range(10):
        image = drawn(white, replace(STILL, erase=1.0), seed)
        rows, columns = np.nonzero((image != plain).any(axis=2))
        top, left, side = rows.min(), columns.min(), np.ptp(rows) + 1
        assert np.ptp(columns) + 1 == side
        assert 0.1 <= side / 60 <= 0.3
        assert (image[top : top + side, left : left + side] == image[top, left]).all()


BATCHES = st.tuples(SEEDS, st.integers(1, 12), st.floats(0, 1))


@settings(max_examples=60, deadline=None)
@given(BATCHES)
def test_a_mixed_image_is_of_two_and_its_label_says_of_which(
    batch: tuple[int, int, float],
) -> None:
    """Each image is of one value of its own: which two are in a mixture can be read from it."""
    seed, count, share = batch
    values = np.arange(count, dtype=np.float32) * 10
    images = np.broadcast_to(values[:, None, None, None], (count, 8, 6, 3)).copy()
    labels = np.eye(count, dtype=np.float32)
    blended, described = mixed(images, labels, share, np.random.default_rng(seed))
    assert described.sum(axis=1) == pytest.approx(np.ones(count), abs=1e-5)
    assert ((described > 0).sum(axis=1) <= 2).all()
    assert (described >= 0).all()
    assert blended.mean(axis=(1, 2, 3)) == pytest.approx(described @ values, abs=1e-2)
    assert (images[:, 0, 0, 0] == values).all()
    assert np.array_equal(labels, np.eye(count))


def test_about_the_share_that_was_asked_for_is_mixed() -> None:
    images = np.zeros((400, 2, 2, 3), np.float32)
    labels = np.eye(400, dtype=np.float32)
    _, described = mixed(images, labels, 0.25, np.random.default_rng(3))
    assert (described.max(axis=1) < 1).mean() == pytest.approx(0.2, abs=0.08)
