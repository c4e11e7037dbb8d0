"""The ways to adapt a network to new cells; each can estimate how well it would do.

Needs TensorFlow; a CPU worker never imports this module.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import Protocol

import keras
import numpy as np
from numpy.typing import NDArray

from ml.adaptation.finetuning import gate_over, network_of, seen, taught_on
from ml.adaptation.refitting import Cells, Change, best_turned, recalibrated
from ml.adaptation.selftraining import BESIDE_LABELS, Pupil, self_taught, surely
from ml.adaptation.trust import Crossed, gate_in, widened
from ml.answers import Outputs
from ml.bundle import Bundle
from ml.data import Labelled, Report
from ml.trust.unfamiliar import Gate

# Crops that teaching a whole network takes at least.
FEWEST_TO_TEACH = 40
# The way that teaches the whole network.
NETWORK = "network"
NO_OWN = (
    "the bundle has no reference cells to rehearse and to recognise strangers by; give a folder "
    "that it was trained on with --rehearse"
)
UNPOOLED = "the bundle's last layer sees each place of an image apart, which is too much to fit"

Rows = NDArray[np.int64]


@dataclass(frozen=True)
class Lesson:
    """A bundle, the new cells as its network sees them, its `own` to rehearse, if any, and crops
    of the same laboratory without labels, if any.

    All are in the size that the recipe keeps images in; `folds` says of each new cell which part
    of a cross-validation it is in.
    """

    bundle: Bundle
    learn: Labelled
    cells: Cells
    own: Labelled | None
    unlabelled: Labelled | None
    folds: Rows
    seed: int
    report: Report

    def turns(self) -> Iterator[tuple[Rows, Rows]]:
        """Yield the rows of the cells outside of each fold, and of those inside."""
        for fold in np.unique(self.folds):
            yield np.flatnonzero(self.folds != fold), np.flatnonzero(self.folds == fold)


class Way(Protocol):
    """One way to adapt; `refusal` says why it can't be used, and is empty if it can."""

    refusal: str

    def crossed(self) -> Crossed:
        """Its answers for every new cell, after learning from the photographs of other folds."""

    def network(self) -> keras.Model:
        """The network, adapted by all new cells."""

    def gate(self) -> Gate | None:
        """What tells strangers from cells for that network; None if the bundle has no such gate."""

    def note(self) -> str:
        """What it was adapted with, in words; empty if there is nothing to say."""


class Refit:
    """Changes the last layer alone: the features stay, and with them the gate's references."""

    def __init__(
        self, lesson: Lesson, fit: Callable[[Cells, Rows], Change], refusal: str = ""
    ) -> None:
        self.lesson, self.fit, self.refusal = lesson, fit, refusal
        self._old_gate = gate_in(lesson.bundle)

    def crossed(self) -> Crossed:
        """Refit the layer once per fold, and answer for the cells of that fold."""
        cells = self.lesson.cells
        logits = np.empty_like(cells.outputs.logits)
        distances = np.zeros(len(logits), np.float32)
        for others, rows in self.lesson.turns():
            learned, judged = cells.at(others), cells.at(rows).outputs
            logits[rows] = self.fit(learned, self.lesson.folds[others]).logits(judged)
            if self._old_gate is not None:
                distances[rows] = widened(self._old_gate, learned).distance(judged)
        outputs = Outputs(logits, cells.outputs.features)
        return Crossed(outputs, None if self._old_gate is None else distances)

    def network(self) -> keras.Model:
        """Return a copy of the bundle's network with the changed last layer."""
        network = network_of(self.lesson.bundle)
        last = network.layers[-1]
        last.set_weights(self._change.layer(*last.get_weights()))
        return network

    def gate(self) -> Gate | None:
        """Return the bundle's gate, with the new cells among its references."""
        return None if self._old_gate is None else widened(self._old_gate, self.lesson.cells)

    def note(self) -> str:
        """Return how far the last layer was changed, in words."""
        return self._change.note

    @cached_property
    def _change(self) -> Change:
        return self.fit(self.lesson.cells, self.lesson.folds)


class TeachOn:
    """Teaches the whole network, along with the bundle's own cells and the crops without labels."""

    def __init__(self, lesson: Lesson) -> None:
        self.lesson = lesson
        self.refusal = self._refusal()

    def crossed(self) -> Crossed:
        """Train a network once per fold, and answer for the cells of that fold."""
        lesson = self.lesson
        logits = np.empty_like(lesson.cells.outputs.logits)
        features = np.empty_like(lesson.cells.outputs.features)
        distances = np.zeros(len(logits), np.float32)
        for others, rows in lesson.turns():
            network, cells = self._taught(others)
            outputs = seen(lesson.bundle, network, lesson.learn.at(rows))
            logits[rows], features[rows] = outputs.logits, outputs.features
            gate = gate_over(lesson.bundle, network, cells)
            if gate is not None:
                distances[rows] = gate.distance(outputs)
        judges = bool(lesson.bundle.metadata.trust)
        return Crossed(Outputs(logits, features), distances if judges else None)

    def network(self) -> keras.Model:
        """Return the network trained on all new cells."""
        return self._all_taught[0]

    def gate(self) -> Gate | None:
        """Return a gate made from the taught cells, since the features have changed."""
        return gate_over(self.lesson.bundle, *self._all_taught)

    def note(self) -> str:
        """Return how many cells were rehearsed, and how many crops without labels were learned."""
        own = self.lesson.own
        words = f"{len(own.truth) if own is not None else 'no'} own cells rehearsed"
        if self.lesson.unlabelled is None:
            return words
        return f"{words}, {surely(self._all_taught[1][-1])}"

    @cached_property
    def _all_taught(self) -> tuple[keras.Model, tuple[Labelled, ...]]:
        return self._taught(np.arange(len(self.lesson.cells.truth)))

    def _taught(self, rows: Rows) -> tuple[keras.Model, tuple[Labelled, ...]]:
        """The network, taught by the new cells in these rows, and all cells it was taught by."""
        lesson = self.lesson
        learn = lesson.learn.at(rows)
        labelled = (learn,) if lesson.own is None else (learn, lesson.own)
        seed, report = lesson.seed, lesson.report
        network = taught_on(lesson.bundle, labelled, len(learn.samples), seed, report)
        if lesson.unlabelled is None:
            return network, labelled
        classes = frozenset(learn.truth.tolist())
        pupil = Pupil(
            lesson.bundle, BESIDE_LABELS, labelled, lesson.unlabelled, classes, (), seed, report
        )
        network, sure = self_taught(pupil, network)
        return network, (*labelled, sure)

    def _refusal(self) -> str:
        """Return why this way can't be used, if so; each fold needs enough cells as well."""
        lesson = self.lesson
        if len(lesson.cells.truth) < FEWEST_TO_TEACH:
            return f"it needs at least {FEWEST_TO_TEACH} crops to learn from"
        if lesson.bundle.metadata.trust and lesson.own is None:
            return NO_OWN
        return ""


def ways_for(lesson: Lesson) -> dict[str, Way]:
    """All ways by name, the gentlest first."""
    pooled = lesson.bundle.metadata.architecture.pooled
    return {
        "recalibrate": Refit(lesson, lambda cells, folds: recalibrated(cells)),
        "head": Refit(lesson, best_turned, "" if pooled else UNPOOLED),
        NETWORK: TeachOn(lesson),
    }


def right_share(outputs: Outputs, cells: Labelled) -> float:
    """The share of cells, of which a network gave this, that it classifies rightly."""
    return float((outputs.logits.argmax(axis=1) == cells.truth).mean())
