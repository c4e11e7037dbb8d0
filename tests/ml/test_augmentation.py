"""Random changes keep an image an image."""

from __future__ import annotations

import numpy as np
import pytest
import tensorflow as tf
from numpy.typing import NDArray

from ml.augmentation import Augmentation
from ml.images import Pixels
from ml.recipes.recipe import Jitter

STILL = Jitter(turn=0, zoom=0, stretch=0, shift=0, light=0, contrast=0, tint=0)


@pytest.fixture
def batch(crops: Pixels) -> NDArray[np.float32]:
    """Real images: float32 (16, height, width, 3)."""
    return crops[:16].astype(np.float32)


def changed(batch: NDArray[np.float32], jitter: Jitter) -> NDArray[np.float32]:
    tf.random.set_seed(0)
    result: NDArray[np.float32] = Augmentation(jitter)(tf.constant(batch)).numpy()
    return result


def test_changed_images_keep_shape_and_range(batch: NDArray[np.float32]) -> None:
    result = changed(batch, Jitter())
    assert result.shape == batch.shape
    assert result.min() >= 0
    assert result.max() <= 255
    assert np.abs(result - batch).mean(axis=(1, 2, 3)).min() > 5


def test_without_jitter_an_image_is_at_most_flipped(batch: NDArray[np.float32]) -> None:
    result = changed(batch, STILL)
    same = np.abs(result - batch).max(axis=(1, 2, 3)) < 0.1
    flipped = np.abs(result - batch[:, :, ::-1]).max(axis=(1, 2, 3)) < 0.1
    assert (same | flipped).all()
    assert same.any()
    assert flipped.any()


def test_turning_leaves_no_empty_corners() -> None:
    white = np.full((16, 32, 32, 3), 255, np.float32)
    assert changed(white, Jitter(light=0, contrast=0, tint=0)).min() > 254


def test_every_image_is_changed_in_its_own_way(batch: NDArray[np.float32]) -> None:
    result = changed(np.repeat(batch[:1], 8, axis=0), Jitter())
    assert len({image.tobytes() for image in result}) == 8


def test_zoom_makes_cells_both_larger_and_smaller() -> None:
    disc = np.hypot(*np.mgrid[-32:32, -32:32]) < 12
    batch = np.repeat((disc * 255.0).astype(np.float32)[None, :, :, None], 3, axis=3)
    sizes = changed(np.repeat(batch, 64, axis=0), Jitter(light=0, contrast=0, tint=0, shift=0))
    areas = (sizes[..., 0] > 127).sum(axis=(1, 2)) / disc.sum()
    assert areas.min() < 0.85
    assert areas.max() > 1.15
