"""Seen from four sides, explained place by place, compared by likeness: what must not change."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from lexicon.verdicts import Box
from ml.answers import Outputs
from ml.bundle import Bundle
from ml.decoding import InputShape, Pixels
from ml.reading import Location, Preprocessing, Reading, Sight
from ml.serving.explain import SHIFTS, Head, contributions, heat_map, shifted
from ml.serving.looking import outputs_of
from ml.serving.neighbours import (
    References,
    choose_references,
    nearest,
    nearest_of_each_class,
)
from ml.trust import Trust
from tests.ml.judgements import THREE, a_bundle

SEEDS = st.integers(0, 10_000)
Floats = NDArray[np.float32]


@dataclass
class Linear:
    """A classifier of images of 8 pixels a side that weighs each pixel: the plainest there is."""

    bundle: Bundle
    weights: Floats
    backend: str = "numpy"
    device: str = "cpu"

    @classmethod
    def doubting(cls, doubt: float, seed: int = 0) -> Linear:
        plain = a_bundle(Path("nowhere"))
        steps = Preprocessing(doubt=doubt)
        bundle = replace(plain, metadata=replace(plain.metadata, preprocessing=steps))
        weights = np.random.default_rng(seed).normal(size=(8 * 8 * 3, 3)) / 900
        return cls(bundle, weights.astype(np.float32))

    @property
    def trust(self) -> Trust:
        return Trust(THREE)

    def classify(self, batch: Pixels) -> Outputs:
        flat = batch.reshape(len(batch), -1).astype(np.float32)
        logits = flat @ self.weights
        return Outputs(logits, np.tanh(logits))

    def activations(self, batch: Pixels) -> Floats:
        return batch.transpose(0, 3, 1, 2).astype(np.float32)


def noise(seed: int, count: int = 6) -> Pixels:
    return np.random.default_rng(seed).integers(0, 256, (count, 8, 8, 3), dtype=np.uint8)


@settings(max_examples=30)
@given(SEEDS)
@pytest.mark.parametrize("turn", [np.s_[:, :, ::-1], np.s_[:, ::-1], np.s_[:, ::-1, ::-1]])
def test_in_doubt_an_image_is_the_same_from_every_side(turn: tuple[slice, ...], seed: int) -> None:
    network, images = Linear.doubting(1.0, seed), noise(seed)
    upright, turned = outputs_of(network, images), outputs_of(network, images[turn])
    assert np.allclose(upright.logits, turned.logits, atol=1e-4)
    assert np.allclose(upright.features, turned.features, atol=1e-4)
    once = Linear.doubting(0.0, seed)
    assert not np.allclose(
        outputs_of(once, images).logits, outputs_of(once, images[turn]).logits, atol=1e-2
    )


@settings(max_examples=30)
@given(SEEDS, st.floats(0.34, 0.99))
def test_only_what_is_in_doubt_is_seen_from_other_sides(seed: int, doubt: float) -> None:
    images = noise(seed, 20)
    network = Linear.doubting(doubt, seed)
    plain, looked = network.classify(images), outputs_of(network, images)
    shares = np.exp(plain.logits - plain.logits.max(axis=1, keepdims=True))
    sure = (shares / shares.sum(axis=1, keepdims=True)).max(axis=1) >= doubt
    assert np.array_equal(looked.logits[sure], plain.logits[sure])
    assert np.array_equal(looked.features[sure], plain.features[sure])
    assert (looked.logits[~sure] != plain.logits[~sure]).any(axis=1).all()


@settings(max_examples=30)
@given(SEEDS)
def test_what_is_made_of_an_image_does_not_hang_on_its_neighbours(seed: int) -> None:
    images = noise(seed, 7)
    network = Linear.doubting(0.6, seed)
    order = np.random.default_rng(seed).permutation(7)
    together, shuffled = outputs_of(network, images), outputs_of(network, images[order])
    assert np.allclose(shuffled.logits, together.logits[order], atol=1e-4)
    for number in range(7):
        alone = outputs_of(network, images[number : number + 1])
        assert np.allclose(alone.logits[0], together.logits[number], atol=1e-4)


def test_a_place_that_the_network_did_not_look_for_is_kept_in_the_verdict() -> None:
    network = Linear.doubting(0.5)
    box = Box(0.1, 0.2, 0.6, 0.7)
    readings = [
        Reading(image, Location(Sight.ONE, box if number else None))
        for number, image in enumerate(noise(1, 3))
    ]
    outputs = outputs_of(network, np.stack([reading.pixels for reading in readings]))
    verdicts = network.trust.judge(outputs, [reading.location for reading in readings])
    assert [verdict.box for verdict in verdicts] == [None, box, box]


MAPS = st.tuples(SEEDS, st.integers(1, 5), st.integers(1, 5), st.integers(1, 6))


@given(MAPS, st.booleans())
def test_what_all_places_add_is_the_logit_but_for_the_bias(
    drawn: tuple[int, int, int, int], pooled: bool
) -> None:
    seed, height, width, channels = drawn
    rng = np.random.default_rng(seed)
    activations = rng.normal(size=(channels, height, width)).astype(np.float32)
    bias = rng.normal(size=3).astype(np.float32)
    if pooled:
        kernel = rng.normal(size=(channels, 3)).astype(np.float32)
        logits = activations.mean(axis=(1, 2)) @ kernel + bias
    else:
        kernel = rng.normal(size=(height, width, channels, 3)).astype(np.float32)
        flat = activations.transpose(1, 2, 0).ravel()
        logits = flat @ kernel.reshape(-1, 3) + bias
    for index in range(3):
        places = contributions(activations, Head(kernel, bias), index)
        assert places.shape == (height, width)
        assert places.sum() + bias[index] == pytest.approx(logits[index], abs=1e-3)


@given(MAPS)
def test_a_place_adds_what_it_alone_would_add(drawn: tuple[int, int, int, int]) -> None:
    seed, height, width, channels = drawn
    rng = np.random.default_rng(seed)
    activations = rng.normal(size=(channels, height, width)).astype(np.float32)
    head = Head(rng.normal(size=(channels, 2)).astype(np.float32), np.zeros(2, np.float32))
    row, column = int(rng.integers(height)), int(rng.integers(width))
    alone = np.zeros_like(activations)
    alone[:, row, column] = activations[:, row, column]
    only = contributions(alone, head, 1)
    assert only[row, column] == contributions(activations, head, 1)[row, column]
    assert np.count_nonzero(only) <= 1


@settings(max_examples=30)
@given(SEEDS, st.floats(0.01, 100), st.integers(1, 3))
def test_a_heat_map_is_the_same_however_strong_all_of_it_is(
    seed: int, factor: float, enlarged: int
) -> None:
    contributed = np.random.default_rng(seed).normal(size=(5, 4)).astype(np.float32)
    shape = InputShape(40, 32)
    drawn = heat_map(contributed, shape, enlarged).astype(int)
    assert drawn.shape == (40 * enlarged, 32 * enlarged, 4)
    again = heat_map(contributed * np.float32(factor), shape, enlarged)
    assert np.abs(drawn - again).max() <= 3


def test_what_speaks_more_is_drawn_less_transparent_and_more_yellow() -> None:
    ramp = np.linspace(-1, 1, 16, dtype=np.float32)
    drawn = heat_map(np.tile(ramp, (16, 1)), InputShape(160, 160)).astype(int)[80]
    opacity, red = drawn[:, 3], drawn[:, 0]
    inner = slice(10, 150)
    assert (np.diff(opacity[inner]) >= 0).all()
    assert opacity[:60].max() == 0
    assert red[140] > red[110] > 33


@settings(max_examples=20)
@given(SEEDS, st.sampled_from([(32, 3, 3), (64, 2, 2), (160, 5, 5)]))
def test_an_image_is_shifted_evenly_about_its_place(seed: int, sizes: tuple[int, int, int]) -> None:
    side, rows, columns = sizes
    rng = np.random.default_rng(seed)
    y, x = (int(n) for n in rng.integers(side // 4, side - side // 4, 2))
    image = np.zeros((side, side, 3), np.uint8)
    image[y, x] = 255
    views = shifted(image, rows, columns)
    assert views.shape == (SHIFTS**2, side, side, 3)
    places = np.array([np.argwhere(view[..., 0])[0] for view in views])
    moves = (y, x) - places
    assert np.abs(moves.mean(axis=0)).max() <= 0.5
    down = moves.reshape(SHIFTS, SHIFTS, 2)[:, 0, 0]
    across = moves.reshape(SHIFTS, SHIFTS, 2)[0, :, 1]
    for steps, stride in ((down, side / rows), (across, side / columns)):
        assert np.diff(steps) == pytest.approx([stride / SHIFTS] * (SHIFTS - 1), abs=1)


def references(seed: int, count: int = 24) -> References:
    rng = np.random.default_rng(seed)
    features = rng.random((count, 10)).astype(np.float32) ** 3
    features /= np.linalg.norm(features, axis=1, keepdims=True)
    labels = tuple(THREE[int(number)] for number in rng.integers(0, 3, count))
    return References(features, labels, ("here",) * count, (b"",) * count, "")


@given(SEEDS, st.integers(0, 23), st.floats(0.001, 1000))
def test_a_cell_of_any_length_is_most_like_itself(seed: int, index: int, length: float) -> None:
    known = references(seed)
    near = nearest(known.features[index] * np.float32(length), known, 24)
    assert near[0].similarity == pytest.approx(1, abs=1e-3)
    assert index in [one.index for one in near if one.similarity > 0.9999 - 1e-4]
    assert sorted(one.index for one in near) == list(range(24))
    assert all(known.labels[one.index] == one.label for one in near)
    similarities = [one.similarity for one in near]
    assert similarities == sorted(similarities, reverse=True)
    assert min(similarities) >= 0
    assert max(similarities) <= 1


@given(SEEDS, SEEDS)
def test_the_nearest_of_each_class_is_the_first_of_it_among_all(seed: int, other: int) -> None:
    known = references(seed)
    cell = np.random.default_rng(other).random(10).astype(np.float32)
    ranked = nearest(cell, known, 24)
    first = {label: next(one for one in ranked if one.label == label) for label in known.labels}
    each = nearest_of_each_class(cell, known)
    assert {one.label: one for one in each} == first
    assert [one.similarity for one in each] == sorted(
        (one.similarity for one in each), reverse=True
    )


@settings(max_examples=30, deadline=None)
@given(SEEDS, st.integers(1, 60), st.integers(1, 15))
def test_references_are_right_cells_each_once_and_as_many_as_there_are(
    seed: int, count: int, per_class: int
) -> None:
    rng = np.random.default_rng(seed)
    features = rng.random((count, 6)).astype(np.float32)
    truth = rng.integers(0, 3, count)
    predicted = np.where(rng.random(count) < 0.8, truth, rng.integers(0, 3, count))
    chosen = choose_references(features, truth, predicted, per_class)
    assert len(set(chosen.tolist())) == len(chosen)
    assert (truth[chosen] == predicted[chosen]).all()
    assert (np.diff(truth[chosen]) >= 0).all(), "class by class"
    for label in range(3):
        right = int(((truth == label) & (predicted == label)).sum())
        assert (truth[chosen] == label).sum() == min(per_class, right)


def of_classes(rows: Sequence[int]) -> NDArray[np.int64]:
    return np.array(rows, np.int64)


def test_without_cells_there_are_no_references() -> None:
    nothing = of_classes([])
    assert choose_references(np.empty((0, 4), np.float32), nothing, nothing, 5).tolist() == []


def test_an_odd_cell_is_among_many_that_are_alike() -> None:
    features = np.tile(np.array([1, 0, 0, 0], np.float32), (40, 1))
    features[:, 1] += np.random.default_rng(0).random(40).astype(np.float32) * 0.05
    features[17] = (0, 0, 1, 0)
    same = np.zeros(40, np.int64)
    assert 17 in choose_references(features, same, same, 6)
