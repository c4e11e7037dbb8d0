"""Scores of a network on validation photographs, by which the best pass is chosen."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ml.loading import Labelled


@dataclass(frozen=True)
class Found:
    """How many cells of a class from one data folder there were, and the share that was found."""

    recall: float
    support: int


@dataclass(frozen=True)
class Standing:
    """The scores of a network on validation photographs.

    `recall` is the mean of the recalls, `nll` that of the mean negative log-likelihoods (natural
    logarithm), of every class from every data folder, each counting alike; `sources` holds the
    recall of each, by data folder and class.
    """

    recall: float
    nll: float
    accuracy: float
    sources: dict[str, dict[str, Found]]

    def beats(self, other: Standing | None) -> bool:
        """Whether it found more of each class or, having found as much, was surer of it."""
        return other is None or (self.recall, -self.nll) > (other.recall, -other.nll)


def standing(
    probabilities: NDArray[np.float32], data: Labelled, classes: Sequence[str]
) -> Standing:
    """How float32 (N, classes) stand to the truth of `data`; recall and NLL are over what is
    there."""
    hits = probabilities.argmax(axis=1) == data.truth
    right = probabilities[np.arange(len(data.truth)), data.truth].astype(np.float64)
    # A probability that is 0 in float32 may be anything below its smallest number.
    losses = -np.log(np.maximum(right, 1e-38))
    origins = np.array([sample.source for sample in data.samples])
    sources: dict[str, dict[str, Found]] = {}
    means = []
    for origin in sorted(set(origins)):
        for number, label in enumerate(classes):
            members = (origins == origin) & (data.truth == number)
            if members.any():
                found = Found(float(hits[members].mean()), int(members.sum()))
                sources.setdefault(str(origin), {})[label] = found
                means.append((found.recall, float(losses[members].mean())))
    recall, nll = np.mean(means, axis=0)
    return Standing(float(recall), float(nll), float(hits.mean()), sources)
