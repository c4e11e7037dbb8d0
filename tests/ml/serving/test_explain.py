"""What each place of an image adds to a class: exact on real networks, and drawn as it is."""

from __future__ import annotations

from pathlib import Path

import keras
import numpy as np
import pytest
import tensorflow as tf
from numpy.typing import NDArray

from ml.bundle import Architecture, Bundle
from ml.decoding import InputShape, Pixels
from ml.network.model import build_folded
from ml.serving.explain import (
    SHIFTS,
    Head,
    contributions,
    head_arrays,
    heat_map,
    map_classes,
    write_head,
)

SHAPE = InputShape(96, 128)
CLASSES = 4


class Small:
    """A small random network under Keras, read as a worker reads one."""

    def __init__(self, pooled: bool) -> None:
        self.network = build_folded(Architecture(alpha=0.35, pooled=pooled), SHAPE, CLASSES)
        rng = np.random.default_rng(0)
        for layer in self.network.layers:
            if layer.weights:
                # Kernels this large keep the signal alive through all layers (He et al. 2015).
                kernel, bias = layer.get_weights()
                inputs = 9 if "depthwise" in layer.name else kernel[..., 0].size
                large = rng.normal(0, np.sqrt(2 / inputs), kernel.shape)
                layer.set_weights([large, rng.normal(0, 0.1, bias.shape)])
        self.head = Head(**head_arrays(self.network))
        self._base = keras.Model(self.network.input, self.network.get_layer("out_relu").output)
        self._flat = keras.Model(self.network.input, self.network.layers[-1].input)

    def activations(self, batch: Pixels) -> NDArray[np.float32]:
        """The last feature map, channels first as the ONNX network gives it."""
        return np.asarray(self._base(batch.astype(np.float32))).transpose(0, 3, 1, 2)

    def logits(self, batch: Pixels) -> NDArray[np.float32]:
        """What Keras' own last layer makes of its input, before the softmax."""
        kernel, bias = self.network.layers[-1].get_weights()
        return np.asarray(np.asarray(self._flat(batch.astype(np.float32))) @ kernel + bias)


@pytest.fixture(scope="module", params=[True, False], ids=["pooled", "flattened"])
def small(request: pytest.FixtureRequest) -> Small:
    return Small(request.param)


def noise(seed: int = 1) -> Pixels:
    size = (SHAPE.height, SHAPE.width, 3)
    return np.random.default_rng(seed).integers(0, 256, size, dtype=np.uint8)


def test_contributions_and_bias_are_the_logit(small: Small) -> None:
    batch = np.stack([noise(seed) for seed in range(3)])
    logits = small.logits(batch)
    assert np.ptp(logits) > 0.1
    for image, activations in enumerate(small.activations(batch)):
        for index in range(CLASSES):
            contributed = contributions(activations, small.head, index)
            assert contributed.shape == activations.shape[1:] == (3, 4)
            assert contributed.dtype == np.float32
            total = contributed.sum() + small.head.bias[index]
            assert total == pytest.approx(logits[image, index], abs=1e-4)


def test_the_softmax_of_these_sums_is_what_the_network_says(small: Small) -> None:
    """The same by another way: Keras' probabilities know nothing of our head."""
    (activations,) = small.activations(noise()[np.newaxis])
    sums = [contributions(activations, small.head, index).sum() for index in range(CLASSES)]
    probabilities = np.asarray(small.network(noise()[np.newaxis].astype(np.float32)))[0]
    expected = np.exp(sums + small.head.bias)
    assert np.allclose(expected / expected.sum(), probabilities, atol=1e-4)


def test_it_is_grad_cam_without_gradients() -> None:
    small = Small(pooled=True)
    activations = tf.constant(small.activations(noise()[np.newaxis]).transpose(0, 2, 3, 1))
    after = keras.Model(small.network.get_layer("out_relu").output, small.network.layers[-1].input)
    kernel, bias = small.network.layers[-1].get_weights()
    with tf.GradientTape() as tape:
        tape.watch(activations)
        logit = (after(activations) @ kernel + bias)[0, 2]
    weights = tf.reduce_mean(tape.gradient(logit, activations), axis=(1, 2))
    grad_cam = np.asarray(tf.einsum("nhwc,nc->hw", activations, weights))
    ours = contributions(np.asarray(activations)[0].transpose(2, 0, 1), small.head, 2)
    assert np.abs(grad_cam).max() > 1e-3
    assert np.allclose(ours, grad_cam, atol=1e-5)


def test_a_look_has_a_map_a_class_and_the_features_of_the_image_as_it_is(small: Small) -> None:
    class_maps = map_classes(small, small.head, noise(), (2, 0))
    plain = small.activations(noise()[np.newaxis])[0]
    assert np.allclose(class_maps.features, plain.mean(axis=(1, 2)), atol=1e-5)
    assert [plane.shape for plane in class_maps.maps] == [(3 * SHIFTS, 4 * SHIFTS)] * 2


class Rim:
    """A network that sees nothing, and says other things in each column of its map."""

    def activations(self, batch: Pixels) -> NDArray[np.float32]:
        columns = np.tile(np.array([1, 3, 2], np.float32), (3, 1))
        return np.broadcast_to(columns, (len(batch), 1, 3, 3))


def test_what_hangs_on_the_place_alone_leaves_no_pattern() -> None:
    head = Head(np.ones((1, 1), np.float32), np.zeros(1, np.float32))
    (plane,) = map_classes(Rim(), head, np.zeros((96, 96, 3), np.uint8), (0,)).maps
    assert not np.diff(plane, axis=0).any()
    steps = np.diff(plane[0].round(5))
    turns = np.diff(np.sign(steps[steps != 0]))
    assert np.count_nonzero(turns) == 1, "it rises and falls as the columns do, and no more"


class Brightness:
    """The smallest network there is: its map is how bright it is about the pixels 31, 63 and 95,
    which are the middles of what MobileNetV2's places see."""

    def activations(self, batch: Pixels) -> NDArray[np.float32]:
        wide = np.pad(batch, ((0, 0), (0, 16), (0, 16), (0, 0)))[:, 16:, 16:]
        places = wide.reshape(len(batch), 3, 32, 3, 32, 3).mean(axis=(2, 4, 5))
        return np.asarray(places[:, np.newaxis], dtype=np.float32)


@pytest.mark.parametrize("middle", [(36, 66), (44, 34), (68, 60)])
def test_what_was_looked_at_is_marked_where_it_is(middle: tuple[int, int]) -> None:
    """Shifts that went the wrong way, or were stitched in another order, would move it."""
    image = np.zeros((96, 96, 3), np.uint8)
    down, across = middle
    image[down - 10 : down + 10, across - 10 : across + 10] = 255
    head = Head(np.ones((1, 1), np.float32), np.zeros(1, np.float32))
    (plane,) = map_classes(Brightness(), head, image, (0,)).maps
    opacity = heat_map(plane, InputShape(96, 96), 2)[..., 3]
    rows, columns = np.nonzero(opacity > 0.9 * opacity.max())
    assert rows.mean() / 2 == pytest.approx(down, abs=4)
    assert columns.mean() / 2 == pytest.approx(across, abs=4)


def test_a_place_of_the_map_is_drawn_about_the_middle_of_what_it_sees() -> None:
    """Measured by gradients: MobileNetV2's places see what lies half a place further on."""
    side, index = 256, 4
    keras.utils.set_random_seed(0)
    network = build_folded(Architecture(alpha=0.35), InputShape(side, side), CLASSES)
    base = keras.Model(network.input, network.get_layer("out_relu").output)
    image = tf.random.stateless_uniform((1, side, side, 3), (0, 0), 0, 255)
    with tf.GradientTape() as tape:
        tape.watch(image)
        seen = tf.reduce_sum(base(image)[0, index, index])
    strength = np.square(np.asarray(tape.gradient(seen, image))[0]).sum(axis=2)
    middle = (strength.sum(axis=0) * np.arange(side)).sum() / strength.sum()
    alone = np.zeros((8, 8), np.float32)
    alone[index, index] = 1
    opacity = heat_map(alone, InputShape(side, side))[..., 3].astype(np.float32)
    drawn = (opacity.sum(axis=0) * np.arange(side)).sum() / opacity.sum()
    assert drawn == pytest.approx(middle, abs=8)
    assert drawn > index * 32 + 16 + 10


def test_a_heat_map_shows_what_speaks_for_and_nothing_else() -> None:
    contributed = np.array([[2.0, -5.0], [1.0, 0.0]], np.float32)
    drawn = heat_map(contributed, InputShape(40, 60))
    assert drawn.shape == (40, 60, 4)
    assert drawn.dtype == np.uint8
    opacity = drawn[..., 3]
    assert opacity[0, 0] > opacity[-1, 0] > 0
    assert opacity[0, -1] == 0
    assert drawn[0, 0, 0] > drawn[-1, 0, 0], "stronger is more yellow"


def test_a_map_with_nothing_for_the_class_is_clear() -> None:
    assert not heat_map(-np.ones((3, 3), np.float32), InputShape(8, 8))[..., 3].any()
    assert not heat_map(np.zeros((3, 3), np.float32), InputShape(8, 8))[..., 3].any()


def test_a_bundle_gives_its_head_back(small: Small, shipped: Bundle, tmp_path: Path) -> None:
    write_head(tmp_path, small.network)
    loaded = Head.load(Bundle(tmp_path, shipped.metadata, "d"))
    assert np.array_equal(loaded.kernel, small.head.kernel)
    assert np.array_equal(loaded.bias, small.head.bias)
