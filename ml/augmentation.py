"""Random changes to training images that leave the cell what it is.

All act on a whole batch of float32 images (N, height, width, 3) in 0 … 255 with one draw an
image. A cell has no upright side, and its size and colour depend on the microscope and the
stain; so images are flipped, turned, zoomed and tinted. Needs TensorFlow.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import tensorflow as tf

from ml.recipes.recipe import Jitter

# A tensor; TensorFlow's own annotations are not usable by a type checker.
Tensor = Any


@dataclass(frozen=True)
class Augmentation:
    """The random changes that a recipe's `Jitter` allows."""

    jitter: Jitter

    def __call__(self, images: Tensor) -> Tensor:
        """Changed copies of `images`, in the same shape and range."""
        return self.recolored(self.moved(images))

    def moved(self, images: Tensor) -> Tensor:
        """Flipped, turned, zoomed and shifted; what lies outside is filled by reflection."""
        height, width = images.shape[1:3]
        return tf.raw_ops.ImageProjectiveTransformV3(
            images=images,
            transforms=self._transforms(tf.shape(images)[0], height, width),
            output_shape=(height, width),
            fill_value=0.0,
            interpolation="BILINEAR",
            fill_mode="REFLECT",
        )

    def recolored(self, images: Tensor) -> Tensor:
        """Lighter or darker, of more or less contrast, each channel by a little of its own."""
        count = tf.shape(images)[0]
        gain = _around_one(count, 1, self.jitter.light) * _around_one(count, 3, self.jitter.tint)
        contrast = _around_one(count, 1, self.jitter.contrast)
        mean = tf.reduce_mean(images, axis=(1, 2), keepdims=True)
        changed = (images - mean) * _over_image(contrast) + mean
        return tf.clip_by_value(changed * _over_image(gain), 0.0, 255.0)

    def _transforms(self, count: Tensor, height: int, width: int) -> Tensor:
        """One row of 8 a image: output place → input place, about the middle of the image."""
        angle = tf.random.uniform([count], -self.jitter.turn, self.jitter.turn) * 2 * math.pi
        flip = tf.sign(tf.random.uniform([count], -1.0, 1.0))
        zoom = _around_one(count, 1, self.jitter.zoom)[:, 0]
        wider = _around_one(count, 1, self.jitter.stretch)[:, 0]
        a, b = tf.cos(angle) * zoom * wider * flip, -tf.sin(angle) * zoom
        c, d = tf.sin(angle) * zoom * wider * flip, tf.cos(angle) * zoom
        middle_x, middle_y = (width - 1) / 2, (height - 1) / 2
        shift_x, shift_y = (
            tf.random.uniform([count], -self.jitter.shift, self.jitter.shift) * side
            for side in (width, height)
        )
        x = middle_x - a * middle_x - b * middle_y + shift_x
        y = middle_y - c * middle_x - d * middle_y + shift_y
        zero = tf.zeros([count])
        return tf.stack([a, b, x, c, d, y, zero, zero], axis=1)


def _around_one(count: Tensor, channels: int, spread: float) -> Tensor:
    """Factors (count, channels), as often above one as below: exp of a uniform draw."""
    limit = math.log1p(spread)
    return tf.exp(tf.random.uniform([count, channels], -limit, limit))


def _over_image(factors: Tensor) -> Tensor:
    """(N, channels) → (N, 1, 1, channels), to multiply images by."""
    return factors[:, tf.newaxis, tf.newaxis, :]
