"""The convolution with its batch norm inside, against the two layers of Keras apart."""

from __future__ import annotations

from typing import Any

import keras
import numpy as np
import pytest
import tensorflow as tf

from ml.network.convolutions import NormalizedConvolution

Layers = tuple[keras.layers.Layer, keras.layers.BatchNormalization, NormalizedConvolution]

KINDS = {
    "one pixel": lambda: keras.layers.Conv2D(7, 1, use_bias=False),
    "strided, unpadded": lambda: keras.layers.Conv2D(7, 3, strides=2, use_bias=False),
    "depthwise": lambda: keras.layers.DepthwiseConv2D(3, padding="same", use_bias=False),
}


@pytest.fixture(params=KINDS)
def layers(request: pytest.FixtureRequest) -> Layers:
    """A convolution of 5 channels, a batch norm with statistics of its own, and both in one."""
    rng = np.random.default_rng(0)
    keras.utils.set_random_seed(0)
    convolution = KINDS[request.param]()
    normalization = keras.layers.BatchNormalization()
    normalization(convolution(np.zeros((1, 9, 9, 5), np.float32)))
    channels = normalization.gamma.shape[0]
    gamma, variance = rng.uniform(0.5, 1.5, (2, channels))
    beta, mean = rng.normal(0, 1, (2, channels))
    normalization.set_weights([gamma, beta, mean, variance])
    both = NormalizedConvolution.like(convolution)
    both.build((None, 9, 9, 5))
    both.take(convolution, normalization)
    return convolution, normalization, both


@pytest.fixture
def images() -> Any:
    """float32 (4, 9, 9, 5)."""
    return np.random.default_rng(1).normal(0, 1, (4, 9, 9, 5)).astype(np.float32)


def test_it_computes_what_the_two_layers_compute(layers: Layers, images: Any) -> None:
    convolution, normalization, both = layers
    apart = np.asarray(normalization(convolution(images), training=False))
    assert np.allclose(both(images), apart, atol=1e-5)


def test_its_gradients_are_those_of_the_two_layers(layers: Layers, images: Any) -> None:
    convolution, normalization, both = layers
    learning = [convolution.weights[0], normalization.gamma, normalization.beta]
    with tf.GradientTape(persistent=True) as tape:
        apart = tf.reduce_sum(normalization(convolution(images), training=False) ** 2)
        together = tf.reduce_sum(both(images) ** 2)
    expected = tape.gradient(apart, [variable.value for variable in learning])
    gradients = tape.gradient(together, [variable.value for variable in both.trainable_variables])
    assert len(gradients) == 3
    for gradient, other in zip(gradients, expected, strict=True):
        assert np.allclose(gradient, other, rtol=1e-3, atol=1e-3)


def test_it_folds_into_one_plain_convolution(layers: Layers, images: Any) -> None:
    convolution, _, both = layers
    plain = type(convolution).from_config({**convolution.get_config(), "use_bias": True})
    plain.build((None, 9, 9, 5))
    plain.set_weights(both.folded())
    assert np.allclose(plain(images), both(images), atol=1e-5)


def test_its_configuration_makes_it_again(layers: Layers) -> None:
    both = layers[2]
    again = NormalizedConvolution.from_config(both.get_config())
    assert again.get_config() == both.get_config()


def test_what_an_image_becomes_does_not_hang_on_the_images_beside_it(
    layers: Layers, images: Any
) -> None:
    """The trap: with batch statistics, it would."""
    both = layers[2]
    assert np.allclose(both(images)[:1], both(images[:1]), atol=1e-5)
