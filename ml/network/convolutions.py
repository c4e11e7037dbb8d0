"""A convolution with the batch norm after it inside, frozen: what a network is taught with.

A frozen batch norm scales each channel, and a convolution whose kernel is scaled does the same
without going over every pixel once more. A convolution of one pixel is a matrix product, which
oneDNN differentiates faster. Results and gradients are those of the two layers apart; what is
gained is in `benchmarks/teaching.py`.

Needs TensorFlow; a CPU worker never imports this module.
"""

from __future__ import annotations

from typing import Any

import keras
import numpy as np
import tensorflow as tf
from numpy.typing import NDArray

KINDS = (keras.layers.Conv2D, keras.layers.DepthwiseConv2D)


class NormalizedConvolution(keras.layers.Layer):  # type: ignore[misc]
    """A convolution, then (y - mean) · gamma / deviation + beta, in one step.

    The kernel, gamma and beta learn. The mean and the deviation √(variance + ε) of each channel
    never do: with the statistics of a small batch fine-tuning collapses to chance.

    Args:
        size: height and width of the kernel.
        filters: channels that come out; None for a depthwise convolution, which keeps them.
        strides: down and across.
        padding: "valid" or "same".
    """

    def __init__(
        self,
        size: tuple[int, int],
        filters: int | None,
        strides: tuple[int, int],
        padding: str,
        **config: Any,
    ) -> None:
        super().__init__(**config)
        self.size, self.filters = tuple(size), filters
        self.strides, self.padding = tuple(strides), padding

    @classmethod
    def like(cls, layer: keras.layers.Layer) -> NormalizedConvolution:
        """One of the name and the shape of `layer`, a convolution without a bias."""
        depthwise = isinstance(layer, keras.layers.DepthwiseConv2D)
        filters = None if depthwise else layer.filters
        return cls(layer.kernel_size, filters, layer.strides, layer.padding, name=layer.name)

    def build(self, input_shape: tuple[int | None, ...]) -> None:
        """Make the weights, with which nothing is scaled yet."""
        inputs = input_shape[-1]
        channels = self.filters or inputs
        self.kernel = self.add_weight(
            name="kernel", shape=(*self.size, inputs, self.filters or 1), initializer="he_normal"
        )
        self.gamma = self.add_weight(name="gamma", shape=(channels,), initializer="ones")
        self.beta = self.add_weight(name="beta", shape=(channels,), initializer="zeros")
        self.mean = self.add_weight(
            name="mean", shape=(channels,), initializer="zeros", trainable=False
        )
        self.deviation = self.add_weight(
            name="deviation", shape=(channels,), initializer="ones", trainable=False
        )

    def get_config(self) -> dict[str, Any]:
        """What is needed to make this layer again."""
        own = {name: getattr(self, name) for name in ("size", "filters", "strides", "padding")}
        return {**super().get_config(), **own}

    def take(
        self, convolution: keras.layers.Layer, normalization: keras.layers.BatchNormalization
    ) -> None:
        """Compute from now on what these two layers compute, one after the other."""
        gamma, beta, mean, variance = normalization.get_weights()
        deviation = np.sqrt(variance.astype(np.float64) + normalization.epsilon)
        weights = (convolution.get_weights()[0], gamma, beta, mean, deviation)
        self.set_weights([np.asarray(values, np.float32) for values in weights])

    def folded(self) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """The kernel and the bias of a plain convolution that computes the same."""
        own = (self.kernel, self.gamma, self.beta, self.mean, self.deviation)
        kernel, bias = self._scaled(*(np.asarray(values, np.float64) for values in own))
        return kernel.astype(np.float32), bias.astype(np.float32)

    def call(self, inputs: Any) -> Any:
        """Convolve and normalise: float32 (N, h, w, channels) → (N, h', w', channels')."""
        kernel, bias = self._scaled(self.kernel, self.gamma, self.beta, self.mean, self.deviation)
        return tf.nn.bias_add(self._convolved(inputs, kernel), bias)

    def _scaled(self, kernel: Any, gamma: Any, beta: Any, mean: Any, deviation: Any) -> Any:
        """Kernel and bias: k · s and beta - mean · s, where s = gamma / deviation."""
        scale = gamma / deviation
        # A depthwise kernel (height, width, channels, 1) has its channels last but one.
        across = scale if self.filters else scale[:, np.newaxis]
        return kernel * across, beta - mean * scale

    def _convolved(self, inputs: Any, kernel: Any) -> Any:
        padding = self.padding.upper()
        if not self.filters:
            return tf.nn.depthwise_conv2d(inputs, kernel, (1, *self.strides, 1), padding)
        if self.size != (1, 1) or self.strides != (1, 1):
            return tf.nn.conv2d(inputs, kernel, self.strides, padding)
        height, width, channels = inputs.shape[1:]
        product = tf.matmul(tf.reshape(inputs, (-1, channels)), kernel[0, 0])
        return tf.reshape(product, (-1, height, width, self.filters))
