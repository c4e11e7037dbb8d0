"""The ways in which a network is adapted to new cells, each able to say how well it would do.

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

from ml.adapted_trust import Crossed, gate_in, widened
from ml.assembly import Taught, outputs
from ml.bundle import Bundle
from ml.finetuning import network_of, recipe_of, taught_on
from ml.images import Pixels
from ml.inference import Outputs
from ml.loading import Labelled, Report
from ml.refitting import Cells, Change, best_turned, recalibrated
from ml.unfamiliar import Gate, Nearest

# Crops that teaching a whole network takes at least.
FEWEST_TO_TEACH = 40

Places = NDArray[np.int64]


@dataclass(frozen=True)
class Lesson:
    """A bundle, the new cells as its network sees them, and its `own` to rehearse, if any.

    `learn` and `own` are in the size that the recipe keeps images in; `folds` says of each new
    cell which part of a cross-validation it is in.
    """

    bundle: Bundle
    learn: Labelled
    cells: Cells
    own: Labelled | None
    folds: Places
    seed: int
    report: Report

    def turns(self) -> Iterator[tuple[Places, Places]]:
        """Of each fold: the places of the cells outside of it, and of those inside."""
        for fold in np.unique(self.folds):
            yield np.flatnonzero(self.folds != fold), np.flatnonzero(self.folds == fold)

    def seen(self, network: keras.Model, images: Pixels) -> Outputs:
        """What a network gives of images in the size of `learn`."""
        return outputs(Taught(network, recipe_of(self.bundle), self.learn, self.learn), images)

    def own_seen(self, network: keras.Model) -> Outputs | None:
        """What a network gives of the bundle's own cells; None if it carries none."""
        return None if self.own is None else self.seen(network, self.own.images)

    def own_right(self, found: Outputs | None) -> float:
        """The share of the bundle's own cells that is classified rightly."""
        if self.own is None or found is None:
            return 0.0
        return float((found.logits.argmax(axis=1) == self.own.truth).mean())


class Way(Protocol):
    """One way to adapt; `refusal` says why it can't be gone, and is empty where it can."""

    refusal: str

    def crossed(self) -> Crossed:
        """What it says of every new cell, learned from the photographs of other folds."""

    def network(self) -> keras.Model:
        """The network, adapted by all new cells."""

    def gate(self) -> Gate | None:
        """What tells strangers from cells for that network; None if the bundle has no such gate."""

    def note(self) -> str:
        """What it was adapted with, in words; empty where there is nothing to say."""


class Refit:
    """Changes the last layer alone: the features stay, and with them the gate's references."""

    def __init__(
        self, lesson: Lesson, fit: Callable[[Cells, Places], Change], refusal: str = ""
    ) -> None:
        self.lesson, self.fit, self.refusal = lesson, fit, refusal
        self._old_gate = gate_in(lesson.bundle)

    def crossed(self) -> Crossed:
        """See `Way`."""
        cells = self.lesson.cells
        logits = np.empty_like(cells.outputs.logits)
        distances = np.zeros(len(logits), np.float32)
        for others, places in self.lesson.turns():
            known, judged = cells.at(others), cells.at(places).outputs
            logits[places] = self.fit(known, self.lesson.folds[others]).logits(judged)
            if self._old_gate is not None:
                distances[places] = widened(self._old_gate, known).distance(judged)
        found = Outputs(logits, cells.outputs.features)
        return Crossed(found, None if self._old_gate is None else distances)

    def network(self) -> keras.Model:
        """See `Way`."""
        network = network_of(self.lesson.bundle)
        last = network.layers[-1]
        last.set_weights(self._change.layer(*last.get_weights()))
        return network

    def gate(self) -> Gate | None:
        """See `Way`."""
        return None if self._old_gate is None else widened(self._old_gate, self.lesson.cells)

    def note(self) -> str:
        """See `Way`."""
        return self._change.note

    @cached_property
    def _change(self) -> Change:
        return self.fit(self.lesson.cells, self.lesson.folds)


class TeachOn:
    """Teaches the whole network, along with the bundle's own cells."""

    def __init__(self, lesson: Lesson) -> None:
        self.lesson = lesson
        self.refusal = self._refusal()

    def crossed(self) -> Crossed:
        """See `Way`."""
        lesson = self.lesson
        logits = np.empty_like(lesson.cells.outputs.logits)
        features = np.empty_like(lesson.cells.outputs.features)
        distances = np.zeros(len(logits), np.float32)
        for others, places in lesson.turns():
            network = self._taught(others)
            found = lesson.seen(network, lesson.learn.images[places])
            logits[places], features[places] = found.logits, found.features
            gate = self._gate(network, others)
            if gate is not None:
                distances[places] = gate.distance(found)
        judges = bool(lesson.bundle.metadata.trust)
        return Crossed(Outputs(logits, features), distances if judges else None)

    def network(self) -> keras.Model:
        """See `Way`."""
        return self._network

    def gate(self) -> Gate | None:
        """See `Way`."""
        return self._gate(self._network, np.arange(len(self.lesson.cells.truth)))

    def note(self) -> str:
        """See `Way`."""
        own = self.lesson.own
        return (
            "no own cells to rehearse" if own is None else f"{len(own.truth)} own cells rehearsed"
        )

    @cached_property
    def _network(self) -> keras.Model:
        return self._taught(np.arange(len(self.lesson.cells.truth)))

    def _taught(self, places: Places) -> keras.Model:
        lesson = self.lesson
        learn = _at(lesson.learn, places)
        return taught_on(lesson.bundle, learn, lesson.own, lesson.seed, lesson.report)

    def _gate(self, network: keras.Model, places: Places) -> Gate | None:
        """The features are others now, so that a gate is made of the new cells and the own ones."""
        lesson, own = self.lesson, self.lesson.own
        if not lesson.bundle.metadata.trust or own is None:
            return None
        images = np.concatenate([own.images, lesson.learn.images[places]])
        truth = np.concatenate([own.truth, lesson.cells.truth[places]])
        names = [f"own/{sample.group}" for sample in own.samples]
        names += [lesson.cells.photographs[place] for place in places]
        return Nearest.fit(lesson.seen(network, images), truth, names)

    def _refusal(self) -> str:
        """The cells of a fold must be enough, too."""
        lesson = self.lesson
        if len(lesson.cells.truth) < FEWEST_TO_TEACH:
            return f"it takes {FEWEST_TO_TEACH} crops to learn from, or more"
        if lesson.bundle.metadata.trust and lesson.own is None:
            message = "the bundle carries no reference cells to rehearse and to tell strangers by; "
            return message + "name a folder that it was trained on with --rehearse"
        return ""


def ways_for(lesson: Lesson) -> dict[str, Way]:
    """All ways by name, the gentlest first."""
    flat = (
        ""
        if lesson.bundle.metadata.architecture.pooled
        else ("the bundle's last layer sees each place of an image apart, which is too much to fit")
    )
    return {
        "recalibrate": Refit(lesson, lambda cells, folds: recalibrated(cells)),
        "head": Refit(lesson, best_turned, flat),
        "network": TeachOn(lesson),
    }


def _at(data: Labelled, places: Places) -> Labelled:
    samples = tuple(data.samples[place] for place in places)
    return Labelled(samples, data.images[places], data.truth[places])
