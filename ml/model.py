"""The network: MobileNetV2 with a small head, to train and, folded, to ship.

Images come in as 0 to 255; the scaling to -1 … 1 that MobileNetV2 wants is the first layer.

Needs TensorFlow; a CPU worker never imports this module.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import keras
import numpy as np
from numpy.typing import NDArray

from ml.bundle import Architecture
from ml.errors import MlError
from ml.images import InputShape

SCALE, OFFSET = 1 / 127.5, -1.0
FEATURES = "out_relu"
# After these layers, early enough to hold stain and light rather than kinds of cells, images of a
# batch lend each other their style.
STYLED = frozenset({"bn_Conv1", "block_2_project_BN", "block_4_project_BN"})
# The concentration of the beta distribution of how much of its own style an image keeps.
_KEPT = 0.2


class WeightsUnavailable(MlError):
    """The ImageNet weights are neither at hand nor to be had."""


class FrozenNormalization(keras.layers.BatchNormalization):  # type: ignore[misc]
    """Batch normalisation that always uses its stored statistics; gamma and beta still learn.

    `training=False` on the call of a whole network is not honoured once `fit` calls it with
    `training=True`: batch statistics come back and fine-tuning collapses to chance.
    """

    def call(self, inputs: Any, training: bool | None = None, mask: Any = None) -> Any:
        """Normalise `inputs` by the stored mean and variance, whatever `training` says."""
        return super().call(inputs, training=False, mask=mask)


class StyledNormalization(FrozenNormalization):
    """Normalisation after which, while learning, an image may take on another one's style.

    With the probability `share` the mean and spread of each of its channels are mixed with those
    of another image of the batch (K. Zhou et al., "Domain generalization with MixStyle", ICLR
    2021): what a network learns then hangs less on one laboratory's stain and camera.
    """

    def __init__(self, share: float = 0.0, **config: Any) -> None:
        super().__init__(**config)
        self.share = share
        self.seed_generator = keras.random.SeedGenerator()

    def call(self, inputs: Any, training: bool | None = None, mask: Any = None) -> Any:
        """Normalise `inputs` and, while learning, mix their styles."""
        normal = super().call(inputs, mask=mask)
        return self._mixed(normal) if training else normal

    def get_config(self) -> dict[str, Any]:
        """What is needed to make this layer again."""
        return {**super().get_config(), "share": self.share}

    def _mixed(self, values: Any) -> Any:
        ops, draw = keras.ops, self.seed_generator
        count = ops.shape(values)[0]
        mean = ops.stop_gradient(ops.mean(values, (1, 2), keepdims=True))
        spread = ops.stop_gradient(ops.std(values, (1, 2), keepdims=True)) + 1e-3
        one, other = (keras.random.gamma((count, 1, 1, 1), _KEPT, seed=draw) for _ in "ab")
        own = one / (one + other + 1e-8)
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
    """The network to train, with random weights and frozen statistics.

    `style` is the share of images that take on another one's style while learning.

    Returns:
        A flat functional model: float32 (N, height, width, 3) in 0 … 255 → (N, classes).
    """
    plain = _plain(architecture, shape, classes, dropout)
    return keras.models.clone_model(plain, clone_function=partial(_frozen, style=style))


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
    for layer in source.layers:
        if layer.weights:
            network.get_layer(layer.name).set_weights(layer.get_weights())


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
    """Set the weights of `folded` so that it computes what the trained `network` computes.

    A convolution k followed by (y - mean) · gamma / √(var + ε) + beta is one convolution with
    the kernel k · s and the bias beta - mean · s, where s = gamma / √(var + ε).
    """
    for convolution, normalization in _folding_pairs(network):
        kernel, bias = _fold_pair(convolution, normalization)
        folded.get_layer(convolution.name).set_weights([kernel, bias])
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


def _frozen(layer: keras.Layer, style: float) -> keras.Layer:
    config = layer.get_config()
    if not isinstance(layer, keras.layers.BatchNormalization):
        return type(layer).from_config(config)
    if style and layer.name in STYLED:
        return StyledNormalization(share=style, **config)
    return FrozenNormalization.from_config(config)


def _without_normalization(layer: keras.Layer) -> keras.Layer:
    config = layer.get_config()
    if isinstance(layer, keras.layers.BatchNormalization):
        return FoldedNormalization(name=layer.name)
    if isinstance(layer, keras.layers.Conv2D | keras.layers.DepthwiseConv2D):
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
        place = weights or "the internet"
        message = f"The ImageNet weights can't be had from {place} ({error}). "
        raise WeightsUnavailable(message + "Name a file of them with --weights.") from error
    return base


def _folding_pairs(network: keras.Model) -> Iterator[tuple[keras.Layer, keras.Layer]]:
    """Each convolution with its batch norm, which MobileNetV2 lists right after it."""
    kinds = (keras.layers.Conv2D, keras.layers.DepthwiseConv2D)
    for layer, following in zip(network.layers, network.layers[1:], strict=False):
        if isinstance(layer, kinds):
            if not isinstance(following, keras.layers.BatchNormalization):
                raise TypeError(f"The convolution {layer.name} has no batch norm after it.")
            yield layer, following


def _fold_pair(
    convolution: keras.Layer, normalization: keras.Layer
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    gamma, beta, mean, variance = (
        np.asarray(value, dtype=np.float64) for value in normalization.get_weights()
    )
    scale = gamma / np.sqrt(variance + normalization.epsilon)
    kernel = np.asarray(convolution.get_weights()[0], dtype=np.float64)
    if isinstance(convolution, keras.layers.DepthwiseConv2D):
        kernel = kernel * scale[:, np.newaxis]
    else:
        kernel = kernel * scale
    return kernel.astype(np.float32), (beta - mean * scale).astype(np.float32)
