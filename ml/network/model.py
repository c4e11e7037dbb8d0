"""The network: MobileNetV2 with a small head, to train and, folded, to ship.

Images come in as 0 to 255; the scaling to -1 … 1 that MobileNetV2 wants is the first layer.

Needs TensorFlow; a CPU worker never imports this module.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from itertools import pairwise
from pathlib import Path
from typing import Any

import keras

from ml.bundle import Architecture
from ml.decoding import InputShape
from ml.errors import MlError
from ml.network.convolutions import KINDS, NormalizedConvolution

SCALE, OFFSET = 1 / 127.5, -1.0
FEATURES = "out_relu"
# After these layers, early enough to hold stain and light rather than kinds of cells, images of a
# batch lend each other their style.
STYLED = frozenset({"bn_Conv1", "block_2_project_BN", "block_4_project_BN"})
# The concentration of the beta distribution of how much of its own style an image keeps.
_KEPT = 0.2


class WeightsUnavailable(MlError):
    """The ImageNet weights are not here and can't be downloaded."""


class StyleMixing(keras.layers.Layer):  # type: ignore[misc]
    """While learning, an image may take on another one's style; nothing else.

    With the probability `share` the mean and spread of each of its channels are mixed with those
    of another image of the batch (K. Zhou et al., "Domain generalization with MixStyle", ICLR
    2021): what a network learns then hangs less on one laboratory's stain and camera.
    """

    def __init__(self, share: float, **config: Any) -> None:
        super().__init__(**config)
        self.share = share
        self.seed_generator = keras.random.SeedGenerator()

    def call(self, inputs: Any, training: bool | None = None, mask: Any = None) -> Any:
        """Mix the styles of `inputs`, float32 (N, h, w, channels), while learning."""
        return self._mixed(inputs) if training else inputs

    def get_config(self) -> dict[str, Any]:
        """What is needed to make this layer again."""
        return {**super().get_config(), "share": self.share}

    def _mixed(self, values: Any) -> Any:
        ops, draw = keras.ops, self.seed_generator
        count = ops.shape(values)[0]
        mean = ops.stop_gradient(ops.mean(values, (1, 2), keepdims=True))
        spread = ops.stop_gradient(ops.std(values, (1, 2), keepdims=True)) + 1e-3
        first, second = (keras.random.gamma((count, 1, 1, 1), _KEPT, seed=draw) for _ in "ab")
        own = first / (first + second + 1e-8)
        own = ops.where(keras.random.uniform((count, 1, 1, 1), seed=draw) < self.share, own, 1.0)
        partners = keras.random.shuffle(ops.arange(count), seed=draw)
        mixed_mean = own * mean + (1 - own) * ops.take(mean, partners, axis=0)
        mixed_spread = own * spread + (1 - own) * ops.take(spread, partners, axis=0)
        return (values - mean) / spread * mixed_spread + mixed_mean


class FoldedNormalization(keras.layers.Layer):  # type: ignore[misc]
    """What is left of a batch norm that was folded into its convolution: nothing."""

    def call(self, inputs: Any, training: bool | None = None, mask: Any = None) -> Any:
        """Return `inputs`; a cloned network calls this with a batch norm's arguments."""
        return inputs


def build(
    architecture: Architecture,
    shape: InputShape,
    classes: int,
    dropout: float = 0.0,
    style: float = 0.0,
) -> keras.Model:
    """The network to train, with random weights and no statistics yet.

    `style` is the share of images that take on another one's style while learning.

    Returns:
        A flat functional model: float32 (N, height, width, 3) in 0 … 255 → (N, classes).
    """
    plain = _plain(architecture, shape, classes, dropout)
    return keras.models.clone_model(plain, clone_function=partial(_taught, style=style))


def build_folded(architecture: Architecture, shape: InputShape, classes: int) -> keras.Model:
    """The network a bundle's weights belong to: convolutions with biases, no batch norms."""
    plain = _plain(architecture, shape, classes, 0.0)
    return keras.models.clone_model(plain, clone_function=_without_normalization)


def load_imagenet(network: keras.Model, weights: Path | None, alpha: float = 1.0) -> None:
    """Give the base of `network` its ImageNet weights, from a file or from the internet.

    Raises:
        WeightsUnavailable: if the file can't be read or the download fails.
    """
    source = _imagenet_base(network.input_shape[1:], weights, alpha)
    for convolution, normalization in _pairs(source):
        network.get_layer(convolution.name).take(convolution, normalization)


def parts(network: keras.Model) -> tuple[keras.Model, keras.Model]:
    """`network` in two: images → the last feature map, (N, h, w, channels) → logits."""
    maps = keras.Model(network.input, network.get_layer(FEATURES).output)
    return maps, keras.Model(maps.output, _logits(network))


def _logits(network: keras.Model) -> Any:
    """The tensor, (N, classes), that the softmax at the end of `network` is taken of."""
    last = network.layers[-1]
    config = {**last.get_config(), "activation": "linear", "name": "logits"}
    layer = keras.layers.Dense.from_config(config)
    logits = layer(last.input)
    layer.set_weights(last.get_weights())
    return logits


def fold(network: keras.Model, folded: keras.Model) -> None:
    """Set the weights of `folded` so that it computes what the trained `network` computes."""
    for layer in network.layers:
        if isinstance(layer, NormalizedConvolution):
            folded.get_layer(layer.name).set_weights(layer.folded())
    head = network.layers[-1]
    folded.get_layer(head.name).set_weights(head.get_weights())


def _plain(
    architecture: Architecture, shape: InputShape, classes: int, dropout: float
) -> keras.Model:
    layers = keras.layers
    image = keras.Input((shape.height, shape.width, 3), name="image")
    scaled = layers.Rescaling(SCALE, OFFSET, name="scaled")(image)
    base = keras.applications.MobileNetV2(
        input_tensor=scaled, alpha=architecture.alpha, include_top=False, weights=None
    )
    features = base.output
    if architecture.pooled:
        size = tuple(features.shape[1:3])
        features = layers.AveragePooling2D(size, name="pooled")(features)
    flat = layers.Flatten(name="flat")(features)
    dropped = layers.Dropout(dropout, name="dropout")(flat)
    probabilities = layers.Dense(classes, activation="softmax", name="probabilities")(dropped)
    return keras.Model(image, probabilities, name="hematovision")


def _taught(layer: keras.Layer, style: float) -> keras.Layer:
    if isinstance(layer, KINDS):
        return NormalizedConvolution.like(layer)
    if isinstance(layer, keras.layers.BatchNormalization):
        if style and layer.name in STYLED:
            return StyleMixing(style, name=layer.name)
        return FoldedNormalization(name=layer.name)
    return type(layer).from_config(layer.get_config())


def _without_normalization(layer: keras.Layer) -> keras.Layer:
    config = layer.get_config()
    if isinstance(layer, keras.layers.BatchNormalization):
        return FoldedNormalization(name=layer.name)
    if isinstance(layer, KINDS):
        config["use_bias"] = True
    return type(layer).from_config(config)


def _imagenet_base(shape: tuple[int, int, int], weights: Path | None, alpha: float) -> keras.Model:
    build_base = partial(keras.applications.MobileNetV2, alpha=alpha)
    try:
        if weights is None:
            return build_base(input_shape=shape, include_top=False, weights="imagenet")
        base = build_base(input_shape=shape, include_top=False, weights=None)
        base.load_weights(weights)
    except Exception as error:
        origin = weights or "the internet"
        message = f"The ImageNet weights can't be loaded from {origin} ({error}). "
        raise WeightsUnavailable(message + "Give a file with --weights.") from error
    return base


def _pairs(network: keras.Model) -> Iterator[tuple[keras.Layer, keras.Layer]]:
    """Each convolution with its batch norm, which MobileNetV2 lists right after it."""
    for layer, following in pairwise(network.layers):
        if isinstance(layer, KINDS):
            if not isinstance(following, keras.layers.BatchNormalization):
                raise TypeError(f"The convolution {layer.name} has no batch norm after it.")
            yield layer, following
