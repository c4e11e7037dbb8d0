"""Reference cells: chosen to show a class, kept small, and found again by likeness."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from ml.bundle import Bundle
from ml.decoding import Pixels
from ml.serving.neighbours import (
    LARGEST_SIDE,
    REFERENCES,
    References,
    choose_references,
    nearest,
    nearest_of_each_class,
    write_references,
)

NAMES = ("eosinophil", "neutrophil")


def clusters(sizes: tuple[int, ...], dimensions: int = 16) -> tuple[NDArray[np.float32], Pixels]:
    """Non-negative features in tight groups about random directions, and the group of each."""
    rng = np.random.default_rng(0)
    middles = rng.random((len(sizes), dimensions)) ** 4
    group = np.repeat(np.arange(len(sizes)), sizes)
    features = middles[group] + rng.random((len(group), dimensions)) * 0.1
    return features.astype(np.float32) * 7, group.astype(np.uint8)


def test_every_group_of_a_class_is_among_its_references() -> None:
    features, group = clusters((60, 60, 60, 2, 50))
    truth = np.where(group == 4, 1, 0)
    chosen = choose_references(features, truth, truth, 12)
    assert len(chosen) == len(set(chosen)) == 24
    assert set(group[chosen]) == {0, 1, 2, 3, 4}, "the rare two are there as well"
    assert np.bincount(truth[chosen]).tolist() == [12, 12]
    assert (group[chosen] == 3).sum() < 4


def test_a_cell_the_network_takes_for_another_is_no_reference() -> None:
    features, group = clusters((20, 20))
    truth = group.astype(np.int64)
    predicted = truth.copy()
    predicted[:15] = 1
    chosen = choose_references(features, truth, predicted, 8)
    assert set(chosen[truth[chosen] == 0]) == set(range(15, 20))


def test_cells_that_are_all_alike_are_chosen_once_each() -> None:
    features = np.ones((9, 4), np.float32)
    zeros = np.zeros(9, np.int64)
    chosen = choose_references(features, zeros, zeros, 6)
    assert len(set(chosen)) == 6


def test_the_choice_is_the_same_every_time() -> None:
    features, group = clusters((40, 40))
    truth = group.astype(np.int64)
    first = choose_references(features, truth, truth, 10)
    assert np.array_equal(first, choose_references(features, truth, truth, 10))


@pytest.fixture
def bundle(shipped: Bundle, tmp_path: Path) -> Bundle:
    """A bundle with eight references, on whose files nothing else hangs."""
    features, group = clusters((4, 4))
    crops = [np.full((120, 100, 3), 30 * i, np.uint8) for i in range(8)]
    labels = [NAMES[number] for number in group]
    write_references(tmp_path, features, labels, crops, ["pbc8"] * 8, "By somebody, CC BY 4.0.")
    return Bundle(tmp_path, shipped.metadata, "d")


def test_what_was_written_is_read_back_small(bundle: Bundle) -> None:
    references = References.load(bundle)
    assert references is not None
    assert np.allclose(np.linalg.norm(references.features, axis=1), 1, atol=1e-3)
    assert references.labels == ("eosinophil",) * 4 + ("neutrophil",) * 4
    assert (references.sources[0], references.attribution) == ("pbc8", "By somebody, CC BY 4.0.")
    for number, data in enumerate(references.pictures):
        picture = Image.open(io.BytesIO(data))
        assert (picture.format, max(picture.size)) == ("JPEG", LARGEST_SIDE)
        assert abs(np.asarray(picture).mean() - 30 * number) < 3


def test_a_bundle_without_references_has_none(bundle: Bundle) -> None:
    (bundle.path / REFERENCES).unlink()
    assert References.load(bundle) is None


def test_the_same_references_make_the_same_file(bundle: Bundle, tmp_path: Path) -> None:
    before = (bundle.path / REFERENCES).read_bytes()
    features, group = clusters((4, 4))
    crops = [np.full((120, 100, 3), 30 * i, np.uint8) for i in range(8)]
    labels = [NAMES[number] for number in group]
    write_references(tmp_path, features, labels, crops, ["pbc8"] * 8, "By somebody, CC BY 4.0.")
    assert (bundle.path / REFERENCES).read_bytes() == before


def test_the_most_alike_come_first_and_a_cell_is_most_like_itself(bundle: Bundle) -> None:
    references = References.load(bundle)
    assert references is not None
    features, _ = clusters((4, 4))
    near = nearest(features[5] * 3, references, 6)
    assert (near[0].index, near[0].label) == (5, "neutrophil")
    assert near[0].similarity == pytest.approx(1, abs=1e-3)
    assert len(near) == 6
    similarities = [neighbour.similarity for neighbour in near]
    assert similarities == sorted(similarities, reverse=True)
    assert {neighbour.label for neighbour in near[:4]} == {"neutrophil"}
    each = nearest_of_each_class(features[5], references)
    assert [neighbour.label for neighbour in each] == ["neutrophil", "eosinophil"]
    assert each[0].index == 5
