"""Training images mixed with one another, and their labels with them.

MixUp lays one image over the other (Zhang et al. 2018, "mixup: Beyond Empirical Risk
Minimization"); CutMix pastes a rectangle of the other one in (Yun et al. 2019, "CutMix"). Either
way the label says how much of each image is left.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

# The parameters of the beta distributions that the papers draw the share of an image from.
MIXUP, CUTMIX = 0.2, 1.0

Floats = NDArray[np.float32]


def mixed(
    images: Floats, labels: Floats, share: float, rng: np.random.Generator
) -> tuple[Floats, Floats]:
    """Copies of a batch in which about `share` of the images are mixed with others of it.

    Args:
        images: float32 (N, height, width, 3).
        labels: float32 (N, classes), each row's sum 1.
        share: of the images, 0 to 1; half of them by MixUp, half by CutMix.
        rng: where the draws come from.
    """
    partners = rng.permutation(len(images))
    blended, described = images.copy(), labels.copy()
    for place in np.flatnonzero(rng.random(len(images)) < share):
        partner = images[partners[place]]
        mix = _mixup if rng.random() < 0.5 else _cutmix
        blended[place], kept = mix(images[place], partner, rng)
        described[place] = kept * labels[place] + (1 - kept) * labels[partners[place]]
    return blended, described


def _mixup(image: Floats, other: Floats, rng: np.random.Generator) -> tuple[Floats, float]:
    """The two laid over each other, and the share of the first."""
    kept = rng.beta(MIXUP, MIXUP)
    return (kept * image + (1 - kept) * other).astype(np.float32), kept


def _cutmix(image: Floats, other: Floats, rng: np.random.Generator) -> tuple[Floats, float]:
    """The first with a rectangle of the second in it, and the share of the first that is left."""
    height, width = image.shape[:2]
    side = math.sqrt(1 - rng.beta(CUTMIX, CUTMIX))
    tall, wide = round(side * height), round(side * width)
    top, left = rng.integers(height - tall + 1), rng.integers(width - wide + 1)
    cut = image.copy()
    cut[top : top + tall, left : left + wide] = other[top : top + tall, left : left + wide]
    return cut, 1 - tall * wide / (height * width)
