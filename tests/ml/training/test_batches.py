"""Batches: the same whatever the threads, in the network's size, changed and mixed as told."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from ml.data import Labelled, Sample
from ml.decoding import InputShape
from ml.training.augmentation import mixed
from ml.training.batches import Batches, ahead, middle
from ml.training.recipes.recipe import Recipe


@pytest.fixture
def data(recipe: Recipe) -> Labelled:
    """40 images of noise, ten of each class, larger than the network's input."""
    labels = [label for label in recipe.classes for _ in range(10)]
    samples = tuple(Sample(Path("x"), f"{n}", la, "a", "", f"{n}") for n, la in enumerate(labels))
    images = np.random.default_rng(0).integers(0, 256, (40, 40, 40, 3), np.uint8)
    return Labelled(samples, images, np.repeat(np.arange(4), 10).astype(np.int64))


def test_the_threads_change_nothing(data: Labelled, recipe: Recipe) -> None:
    jittered = replace(recipe, mix=0.5, per_pass=50)
    alone, many = (list(Batches(data, jittered, 3, threads).of_pass(2)) for threads in (1, 5))
    assert [len(images) for images, _ in alone] == [16, 16, 16, 2]
    for (images, labels), (images_, labels_) in zip(alone, many, strict=True):
        assert np.array_equal(images, images_)
        assert np.array_equal(labels, labels_)


def test_each_pass_changes_images_anew(data: Labelled, recipe: Recipe) -> None:
    first, again, second = (
        next(Batches(data, recipe, 0).of_pass(number))[0] for number in (1, 1, 2)
    )
    assert np.array_equal(first, again)
    assert not np.array_equal(first, second)


def test_batches_have_the_networks_size_and_the_labels_of_their_images(
    data: Labelled, recipe: Recipe
) -> None:
    plain = replace(recipe, jitter=None)
    truth = {
        middle(i, recipe.shape).tobytes(): t for i, t in zip(data.images, data.truth, strict=True)
    }
    for images, labels in Batches(data, plain, 0).of_pass(1):
        assert images.dtype == labels.dtype == np.float32
        assert images.shape[1:] == (32, 32, 3)
        expected = [truth[image.astype(np.uint8).tobytes()] for image in images]
        assert labels.argmax(axis=1).tolist() == expected


def test_the_middle_is_of_the_networks_size_and_of_the_same_scale() -> None:
    image = np.random.default_rng(0).integers(0, 256, (8, 10, 3), np.uint8)
    assert np.array_equal(middle(image, InputShape(4, 6)), image[2:6, 2:8])
    assert np.array_equal(middle(image, InputShape(8, 10)), image)


def test_mixing_keeps_labels_whole_and_says_how_much_is_left() -> None:
    images = np.repeat(np.arange(64, dtype=np.float32), 8 * 8 * 3).reshape(64, 8, 8, 3)
    labels = np.eye(64, dtype=np.float32)
    changed, described = mixed(images, labels, 0.5, np.random.default_rng(0))
    assert described.sum(axis=1) == pytest.approx(np.ones(64), abs=1e-5)
    # Each image is of one value, its own number: so the mean value follows from the label.
    assert changed.mean(axis=(1, 2, 3)) == pytest.approx(described @ np.arange(64), abs=1e-2)
    assert 16 < (described.max(axis=1) < 1).sum() < 48
    assert np.array_equal(images[5], np.full((8, 8, 3), 5, np.float32))


def test_no_share_mixes_nothing() -> None:
    images, labels = np.ones((4, 2, 2, 3), np.float32), np.eye(4, dtype=np.float32)
    changed, described = mixed(images, labels, 0.0, np.random.default_rng(0))
    assert np.array_equal(changed, images)
    assert np.array_equal(described, labels)


def test_work_ahead_keeps_its_order_and_is_not_done_all_at_once() -> None:
    begun: list[int] = []
    made = ahead(lambda n: begun.append(n) or n, range(100), threads=2)  # type: ignore[func-returns-value]
    assert next(made) == 0
    assert len(begun) <= 5
    assert list(made) == list(range(1, 100))


def test_an_error_in_a_thread_reaches_whoever_takes_the_batches() -> None:
    def make(number: int) -> int:
        return 1 // number

    with pytest.raises(ZeroDivisionError):
        list(ahead(make, [2, 1, 0], threads=2))


def test_who_stops_in_the_middle_leaves_no_thread_behind() -> None:
    before = threading.active_count()
    made: Iterator[int] = ahead(lambda n: n, range(100), threads=3)
    next(made)
    made.close()  # type: ignore[attr-defined]
    assert threading.active_count() == before
