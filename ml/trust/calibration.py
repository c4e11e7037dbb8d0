"""Logits → calibrated probabilities: of images stated at 0.9, nine in ten are right.

One number is fitted, the temperature T: probabilities are softmax(logits / T), so the best guess
stays what it was (Guo, Pleiss, Sun and Weinberger, On calibration of modern neural networks,
ICML 2017, section 4.2). NumPy only.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from ml.errors import MlError

COLDEST, HOTTEST = 0.05, 20.0
BINS = 15

Floats = NDArray[np.float64]
Classes = NDArray[np.int64]
# Bins as wide as each other, or holding as many images as each other.
Division = Literal["width", "mass"]


class TooFewCells(MlError):
    """There are too few labelled cells to measure when the network may be trusted."""


@dataclass(frozen=True)
class Bin:
    """The images whose confidence lies in one part of 0 to 1.

    `confidence` is what was stated on average and `accuracy` the share that was right; both are
    0 where there are no images.
    """

    low: float
    high: float
    images: int
    confidence: float
    accuracy: float


def softmax(logits: NDArray[Any], temperature: float = 1.0) -> Floats:
    """float64 (N, C), rows sum to 1: the probabilities at a temperature."""
    return np.asarray(np.exp(_log_softmax(logits, temperature)))


def negative_log_likelihood(
    logits: NDArray[Any], truth: Classes, temperature: float = 1.0, weights: Floats | None = None
) -> float:
    """The mean of -log p(true class), in nats, over the images by weight."""
    picked = _log_softmax(logits, temperature)[np.arange(len(truth)), truth]
    return float(-np.average(picked, weights=weights))


def fit_temperature(logits: NDArray[Any], truth: Classes, weights: Floats | None = None) -> float:
    """The temperature with the least negative log likelihood.

    With β = 1/T the likelihood's slope is the mean of Σ p·z - z(true), which only rises with β,
    so that halving finds its zero. Where no image is wrong there is none: the result stays
    between 0.05 and 20.

    Args:
        logits: (N, C), of images that the network was not trained on.
        truth: int64 (N,).
        weights: how much each image counts, (N,); all alike if None.

    Raises:
        TooFewCells: if there is no image.
    """
    if not len(truth):
        raise TooFewCells("Calibration needs labelled validation cells. Add some.")
    low, high = np.log(COLDEST), np.log(HOTTEST)
    for _ in range(60):
        middle = (low + high) / 2
        # A slope above zero says that β is too large, so T has to rise.
        if _slope(logits, truth, float(np.exp(middle)), weights) > 0:
            low = middle
        else:
            high = middle
    return float(np.exp((low + high) / 2))


def even_weights(*namings: Sequence[str]) -> Floats:
    """float64 (N,), mean 1: weights by which the units of each naming count alike.

    Given the photograph of each image, every photograph counts alike, however many copies it
    has. Given the photographs and then the sources, each source counts alike in sum and, within
    it, each photograph.
    """
    weights = np.ones(len(namings[0]))
    for names in namings:
        _, groups = np.unique(np.asarray(names), return_inverse=True)
        weights = weights / np.bincount(groups, weights=weights)[groups]
    return np.asarray(weights * (len(weights) / max(weights.sum(), 1e-300)))


def reliability(
    probabilities: NDArray[Any], truth: Classes, bins: int = BINS, division: Division = "width"
) -> tuple[Bin, ...]:
    """What was stated beside what came true, by confidence (DeGroot and Fienberg 1983).

    Args:
        probabilities: (N, C).
        truth: int64 (N,).
        bins: how many.
        division: bins of the same width, or with as many images each.
    """
    confidence = np.asarray(probabilities, np.float64).max(axis=1, initial=0.0)
    right = np.asarray(probabilities).argmax(axis=1) == truth
    edges = _edges(confidence, bins, division)
    # A confidence on an edge belongs to the bin below it, and 0 to the first.
    numbers = np.clip(np.searchsorted(edges, confidence, side="left") - 1, 0, len(edges) - 2)
    return tuple(
        _bin(
            edges[number],
            edges[number + 1],
            confidence[numbers == number],
            right[numbers == number],
        )
        for number in range(len(edges) - 1)
    )


def expected_calibration_error(
    probabilities: NDArray[Any], truth: Classes, bins: int = BINS, division: Division = "width"
) -> float:
    """The mean over the images of |accuracy - confidence| of their bin, 0 to 1.

    Bins of the same width follow Naeini, Cooper and Hauskrecht (AAAI 2015); with as many images
    in each ("mass", Nixon et al. 2019), the few unsure images weigh less by chance.

    Raises:
        ValueError: if there is no image.
    """
    if not len(truth):
        raise ValueError("There must be at least one image.")
    parts = reliability(probabilities, truth, bins, division)
    return sum(part.images * abs(part.accuracy - part.confidence) for part in parts) / len(truth)


def _log_softmax(logits: NDArray[Any], temperature: float) -> Floats:
    scaled = np.asarray(logits, np.float64) / temperature
    # The largest logit is taken off first, so that no exponential overflows.
    scaled = scaled - scaled.max(axis=1, keepdims=True)
    return np.asarray(scaled - np.log(np.exp(scaled).sum(axis=1, keepdims=True)))


def _slope(
    logits: NDArray[Any], truth: Classes, temperature: float, weights: Floats | None
) -> float:
    """By how much the negative log likelihood grows with 1/T."""
    expected = (softmax(logits, temperature) * logits).sum(axis=1)
    return float(np.average(expected - logits[np.arange(len(truth)), truth], weights=weights))


def _edges(confidence: Floats, bins: int, division: Division) -> Floats:
    """The bins' edges from 0 to 1; of many equal confidences, no edge parts some from others."""
    if division == "width" or not len(confidence):
        return np.linspace(0, 1, bins + 1)
    inner = np.quantile(confidence, np.arange(1, bins) / bins)
    return np.unique(np.concatenate([[0.0], inner, [1.0]]))


def _bin(low: float, high: float, confidence: Floats, right: NDArray[np.bool_]) -> Bin:
    if not len(confidence):
        return Bin(float(low), float(high), 0, 0.0, 0.0)
    stated, true = float(confidence.mean()), float(right.mean())
    return Bin(float(low), float(high), len(confidence), stated, true)
