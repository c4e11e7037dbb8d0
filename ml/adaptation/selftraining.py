"""Trains a network further on cells without labels, by its own surest answers.

The crops of which the network is sure are taken for what it says they are, and taught to it
changed at random, along with the cells whose labels are known; then it is asked again (D.-H. Lee,
"Pseudo-label", ICML workshop 2013; Q. Xie et al., "Self-training with noisy student improves
ImageNet classification", CVPR 2020).

Needs TensorFlow; a CPU worker never imports this module.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, replace

import keras
import numpy as np
from numpy.typing import NDArray

from ml.adaptation.finetuning import gate_over, seen, taught_on
from ml.bundle import Bundle
from ml.data import DataError, Labelled, Report
from ml.trust.calibration import softmax

# How sure the network must be of a crop, as it says itself, before any calibration.
SURE = 0.8
# Rounds beside labelled cells, which have made a good teacher before the first, and without any.
BESIDE_LABELS, ALONE = 1, 3
# Of a class, so many sure crops are needed: fewer may all be mistakes, and would come often.
FEWEST_SURE = 8
# Without labels so many are needed of each class. Of 193 crops with 14 monocytes, 6 eosinophils and
# 2 basophils a network learned that such a stain has few kinds of cells: of other eosinophils of
# the laboratory it then knew 38 % in place of 58 %.
FEWEST_ALONE = 20
# How many images of each data folder a pass draws, if there are that many.
SHARE = 200

# How they are called among the data folders; no folder has such a name.
SURE_CROPS = "/sure"


@dataclass(frozen=True)
class Pupil:
    """A network to be taught on by itself: the bundle's, in some rounds; the `labelled`
    cells, those of the laboratory and those to rehearse; the crops without labels; the numbers of
    the classes that are looked for among them, and of those that must be found."""

    bundle: Bundle
    rounds: int
    labelled: tuple[Labelled, ...]
    unlabelled: Labelled
    classes: Collection[int]
    needed: Collection[int]
    seed: int
    report: Report

    def sure(self, network: keras.Model) -> Labelled:
        """The crops of one cell that the network is sure of, labelled as it says, of the classes
        that count and of which there are enough.

        Raises:
            DataError: if there is no such crop, or of a class that must be found too few.
        """
        single = self.unlabelled.at(self.unlabelled.one_cell)
        names = self.bundle.metadata.classes
        if not len(single.truth):
            raise DataError("None of the unlabelled crops shows exactly one cell. Check them.")
        probabilities = softmax(seen(self.bundle, network, single).logits)
        truth = probabilities.argmax(axis=1)
        sure = (probabilities.max(axis=1) >= SURE) & np.isin(truth, sorted(self.classes))
        counted = np.bincount(truth[sure], minlength=len(names))
        rare = [f"{names[n]} {counted[n]}" for n in self.needed if counted[n] < FEWEST_ALONE]
        if rare:
            raise DataError(
                f"Of {len(single.truth):,} unlabelled crops with one cell, the network is sure of "
                f"too few: {', '.join(rare)}. It needs {FEWEST_ALONE} of each class, or it forgets "
                "rare ones. Give more crops, or label some for --data."
            )
        rows = np.flatnonzero(sure & (counted >= FEWEST_SURE)[truth])
        if not len(rows):
            raise DataError(
                f"The network is not sure of {FEWEST_SURE} crops of any class among the "
                f"{len(single.truth):,} unlabelled crops with one cell. Give more, or leave them "
                "out."
            )
        crops, labels = single.at(rows), truth[rows]
        samples = zip(crops.samples, labels, strict=True)
        named = (replace(s, source=SURE_CROPS, label=names[n], group=s.file) for s, n in samples)
        return replace(crops, samples=tuple(named), truth=labels)


def self_taught(pupil: Pupil, network: keras.Model) -> tuple[keras.Model, Labelled]:
    """A network after some rounds of learning from what it is sure of, and the crops that the last
    round learned from. Every round begins with the bundle's own weights, not with those that the
    last one left, so that it can forget mistakes.

    Raises:
        DataError: if the network is sure of too few crops.
        TrainingFailed: if the loss is no number any more.
    """
    for number in range(1, pupil.rounds + 1):
        sure = pupil.sure(network)

        def report(stage: str, done: float, words: str, number: int = number) -> None:
            pupil.report(f"{stage} itself, round {number} of {pupil.rounds}", done, words)

        network = taught_on(pupil.bundle, (*pupil.labelled, sure), SHARE, pupil.seed, report)
    return network, sure


def surely(sure: Labelled) -> str:
    """How many crops a network was sure of, in words."""
    return f"{len(sure.truth):,} crops without labels learned as what the network was sure of"


def strangeness(pupil: Pupil, network: keras.Model, sure: Labelled) -> NDArray[np.float32]:
    """How strange each crop of one cell without a label is, float32 (N,), to a gate that has only
    the sure ones of the other half of the crops among its references; 0 where the bundle has no
    gate."""
    single = pupil.unlabelled.at(pupil.unlabelled.one_cell)
    distances = np.zeros(len(single.truth), np.float32)
    for half in (0, 1):
        judged = np.arange(half, len(single.truth), 2)
        names = {single.samples[row].file for row in judged}
        others = [row for row, s in enumerate(sure.samples) if s.file not in names]
        references = (*pupil.labelled, sure.at(np.array(others, np.int64)))
        gate = gate_over(pupil.bundle, network, references)
        if gate is not None:
            distances[judged] = gate.distance(seen(pupil.bundle, network, single.at(judged)))
    return distances
