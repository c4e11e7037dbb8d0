"""Random changes keep an image an image of the same cell."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from ml.decoding import InputShape, Pixels
from ml.training.augmentation import changed
from ml.training.recipes.recipe import Jitter

STILL = Jitter(**dict.fromkeys(Jitter.__dataclass_fields__, 0.0))
MOVED = replace(STILL, turn=1.0, zoom=0.3, stretch=0.2, shift=0.1)


def drawn(image: Pixels, jitter: Jitter, seed: int = 0) -> Pixels:
    return changed(image, jitter, np.random.default_rng(seed))


@pytest.fixture
def smear() -> Pixels:
    """A dark nucleus off the middle of a bright field: uint8 (64, 64, 3)."""
    image = np.full((64, 64, 3), 240, np.uint8)
    image[20:36, 16:40] = (100, 40, 150)
    return image


def test_changed_images_keep_shape_and_differ(smear: Pixels) -> None:
    result = drawn(smear, Jitter())
    assert result.shape == smear.shape
    assert result.dtype == np.uint8
    assert np.abs(result.astype(int) - smear).mean() > 1


def test_the_same_draws_make_the_same_image(smear: Pixels) -> None:
    assert np.array_equal(drawn(smear, Jitter(), 3), drawn(smear, Jitter(), 3))
    assert len({drawn(smear, Jitter(), seed).tobytes() for seed in range(8)}) == 8


def test_without_jitter_an_image_is_at_most_flipped(smear: Pixels) -> None:
    results = [drawn(smear, STILL, seed).astype(int) for seed in range(12)]
    same = [np.abs(result - smear).max() <= 2 for result in results]
    flipped = [np.abs(result - smear[:, ::-1]).max() <= 2 for result in results]
    assert all(is_same or is_flipped for is_same, is_flipped in zip(same, flipped, strict=True))
    assert any(same)
    assert any(flipped)


def test_a_smaller_shape_shows_the_middle_at_the_same_scale(smear: Pixels) -> None:
    result = changed(smear, STILL, np.random.default_rng(1), InputShape(32, 32)).astype(int)
    middle = smear[16:48, 16:48].astype(int)
    assert result.shape == (32, 32, 3)
    assert min(np.abs(result - original).max() for original in (middle, middle[:, ::-1])) <= 2


def test_turning_and_shifting_leave_no_empty_corners() -> None:
    white = np.full((32, 32, 3), 240, np.uint8)
    assert min(int(drawn(white, MOVED, seed).min()) for seed in range(20)) > 230


def test_zoom_makes_cells_both_larger_and_smaller(smear: Pixels) -> None:
    zoomed = [drawn(smear, replace(STILL, zoom=0.3), seed) for seed in range(40)]
    areas = np.array([(image[..., 1] < 140).sum() for image in zoomed]) / (16 * 24)
    assert areas.min() < 0.75
    assert areas.max() > 1.3


def test_another_density_changes_the_cell_and_not_the_background(smear: Pixels) -> None:
    stained = [drawn(smear, replace(STILL, density=0.8), seed) for seed in range(20)]
    nuclei = np.array([image.reshape(-1, 3).min(axis=0) for image in stained], int)
    assert np.ptp(nuclei[:, 0]) > 60
    assert min(int(image.max()) for image in stained) > 230


@pytest.mark.parametrize("damage", ["fade", "sharpen", "blur", "noise", "compression", "erase"])
def test_every_damage_leaves_an_image(smear: Pixels, damage: str) -> None:
    result = drawn(smear, replace(STILL, **{damage: 1.0}))
    assert result.shape == smear.shape
    assert not np.array_equal(result, smear)


def test_another_eosin_moves_red_cells_apart_from_nuclei() -> None:
    red_cell, nucleus = (200, 150, 170), (90, 40, 140)
    image = np.empty((16, 32, 3), np.uint8)
    image[:, :16], image[:, 16:] = red_cell, nucleus
    hues = []
    for seed in range(40):
        result = np.sort(drawn(image, replace(STILL, dyes=0.5), seed).reshape(-1, 3).astype(int), 0)
        dark, bright = result[100], result[-100]
        hues.append([(colour[0] - colour[2]) / colour.sum() for colour in (bright, dark)])
    spread = np.ptp(hues, axis=0)
    assert spread.min() > 0.05
    assert abs(np.corrcoef(np.transpose(hues))[0, 1]) < 0.8
