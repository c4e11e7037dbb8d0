"""A picture → what tells whether another one shows the same scene, however turned or mirrored.

Keypoints with SIFT descriptors (Lowe 2004) survive rotation, shift, zoom and new compression. One
descriptor of a mirrored picture is the other's with its rows reversed and its directions negated,
so that mirrored copies are found without looking at each picture twice.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from ml.decoding import Pixels

Floats = NDArray[np.float32]

# Longer side, in pixels, at which keypoints are sought; finer detail does not survive the copies.
SIDE = 240
KEYPOINTS = 200
# The fill of a rotation's corners is black; nothing in a stained smear is this dark.
BLACK = 24
WORDS = 16
LENGTH = 256
MIRRORED = np.arange(128).reshape(4, 4, 8)[::-1][:, :, -np.arange(8) % 8].ravel()


@dataclass(frozen=True)
class Fingerprint:
    """The keypoints of a picture brought down to `SIDE`, and the picture at half that size.

    `points` is float32 (N, 2), x and y; `descriptors` uint8 (N, 128); `width` is the width, in
    pixels, of the picture that the points are in; `grey` is uint8 (height, width) of its half.
    """

    points: Floats
    descriptors: Pixels
    width: int
    grey: Pixels


def fingerprint(pixels: Pixels) -> Fingerprint:
    """The fingerprint of a picture, uint8 (height, width, 3)."""
    grey = shrunk(cv2.cvtColor(pixels, cv2.COLOR_RGB2GRAY), SIDE)
    finder = cv2.SIFT.create(nfeatures=KEYPOINTS, contrastThreshold=0.02)
    keypoints, descriptors = finder.detectAndCompute(grey, unfilled(grey, margin=5))
    points = np.array([keypoint.pt for keypoint in keypoints], np.float32).reshape(-1, 2)
    if descriptors is None:
        descriptors = np.zeros((0, 128), np.float32)
    return Fingerprint(
        points[:KEYPOINTS],
        descriptors[:KEYPOINTS].astype(np.uint8),
        grey.shape[1],
        # Half of this very picture, which may be smaller than `SIDE`: that is what is laid over.
        shrunk(grey, max(grey.shape) / 2),
    )


def shrunk(grey: Any, side: float) -> Any:
    """The same picture with its longer side at most `side` pixels."""
    scale = min(1.0, side / max(grey.shape))
    height, width = (max(1, round(length * scale)) for length in grey.shape)
    return cv2.resize(grey, (width, height), interpolation=cv2.INTER_AREA)


def unfilled(grey: Any, margin: int) -> Any:
    """Where a picture is not black fill, nor within `margin` pixels of it: uint8, 0 or 255."""
    light = (cv2.medianBlur(grey, 5) > BLACK).astype(np.uint8) * 255
    return cv2.erode(light, np.ones((2 * margin + 1, 2 * margin + 1), np.uint8))


def rooted(descriptors: Pixels) -> Floats:
    """Unit vectors, float32 (N, 128), whose products compare descriptors (Arandjelović 2012)."""
    values = descriptors.astype(np.float32)
    roots: Floats = np.sqrt(values / np.maximum(values.sum(axis=1, keepdims=True), 1))
    return roots


def vectors(prints: Sequence[Fingerprint]) -> Floats:
    """One unit vector per picture, float32 (N, LENGTH): near vectors mean the same scene.

    Each descriptor and its mirror image are told apart by their nearest of a few words; a picture
    is the sum of what its descriptors differ from their words (VLAD, Jégou 2010), shortened by
    random directions.
    """
    words = _words(prints)
    sums = np.stack([_summed(picture, words) for picture in prints])
    directions = np.random.default_rng(1).normal(size=(sums.shape[1], LENGTH)).astype(np.float32)
    return _unit(_unit(sums - sums.mean(axis=0)) @ directions)


def _words(prints: Sequence[Fingerprint]) -> Floats:
    """Typical descriptors, float32 (at most WORDS, 128): k-means on a sample of all."""
    rng = np.random.default_rng(0)
    chosen = rng.permutation(len(prints))[:400]
    sample = np.concatenate([rooted(prints[index].descriptors) for index in chosen])
    sample = np.concatenate([sample, sample[:, MIRRORED]])
    if len(sample) < WORDS:
        return np.zeros((1, 128), np.float32)
    words = sample[rng.choice(len(sample), WORDS, replace=False)]
    for _ in range(10):
        nearest = _nearest(sample, words)
        for word in np.unique(nearest):
            words[word] = sample[nearest == word].mean(axis=0)
    return words


def _summed(picture: Fingerprint, words: Floats) -> Floats:
    plain = rooted(picture.descriptors)
    both = np.concatenate([plain, plain[:, MIRRORED]])
    belongs = np.zeros((len(words), len(both)), np.float32)
    belongs[_nearest(both, words), np.arange(len(both))] = 1
    return _unit(belongs @ both - belongs.sum(axis=1)[:, None] * words).ravel()


def _nearest(descriptors: Floats, words: Floats) -> NDArray[np.intp]:
    closeness: Floats = descriptors @ words.T - (words * words).sum(axis=1) / 2
    nearest: NDArray[np.intp] = closeness.argmax(axis=1)
    return nearest


def _unit(rows: Floats) -> Floats:
    lengths = np.linalg.norm(rows, axis=1, keepdims=True)
    scaled: Floats = (rows / np.maximum(lengths, 1e-6)).astype(np.float32)
    return scaled
