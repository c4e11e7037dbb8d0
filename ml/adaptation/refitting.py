"""A few labelled cells of a new laboratory → a change of a network's last layer.

All changes are pulled towards zero, less so the more cells there are: they are the most probable
ones under a normal prior about the old weights (Chelba and Acero, "Adaptation of
maximum entropy capitalizer", 2006, have the same pull for text). Classes without a cell keep
their weights, and the mean change of the other classes is none, so that the absent ones neither
gain nor lose by being absent.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import Protocol

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import minimize

from ml.answers import Outputs
from ml.trust.calibration import even_weights, softmax

Floats = NDArray[np.float64]
Classes = NDArray[np.int64]
# A value and its slope at a point.
Slope = Callable[[Floats], tuple[float, Floats]]

# How far, in natural logarithms, the scale and the bias of a class are expected to move.
SCALE_SPREAD, BIAS_SPREAD = 0.5, 2.0
# What a head may be pulled by: the standard deviation that its weights' changes are expected to
# have, for features of length 1. The first one hardly moves, the last one is hardly pulled.
SPREADS = (0.3, 1.0, 3.0, 6.0, 12.0, 25.0)


@dataclass(frozen=True)
class Cells:
    """Labelled cells: what the network gave of them, class numbers, int64 (N,), and photographs.

    `temperature` is what its logits are divided by before they are believed.
    """

    outputs: Outputs
    truth: Classes
    photographs: tuple[str, ...]
    temperature: float = 1.0

    @cached_property
    def logits(self) -> Floats:
        """float64 (N, classes): those that the probabilities are the softmax of."""
        return np.asarray(self.outputs.logits, np.float64) / self.temperature

    @cached_property
    def weights(self) -> Floats:
        """float64 (N,), mean 1: every class counts alike, and within it every photograph."""
        return even_weights(self.photographs, [str(number) for number in self.truth])

    def at(self, rows: NDArray[np.int64]) -> Cells:
        """Those cells alone."""
        outputs = Outputs(self.outputs.logits[rows], self.outputs.features[rows])
        photographs = tuple(self.photographs[row] for row in rows)
        return Cells(outputs, self.truth[rows], photographs, self.temperature)


class Change(Protocol):
    """A change of the last layer."""

    def logits(self, outputs: Outputs) -> NDArray[np.float32]:
        """float32 (N, classes): what the changed layer gives, by what the old one gave."""

    def layer(
        self, kernel: NDArray[np.float32], bias: NDArray[np.float32]
    ) -> list[NDArray[np.float32]]:
        """The changed kernel, (F, classes), and bias, (classes,)."""

    @property
    def note(self) -> str:
        """How large the change is, in words."""


@dataclass(frozen=True)
class Scaled:
    """All logits times `scale`, and `bias`, float64 (classes,), added."""

    scale: float
    bias: Floats

    def logits(self, outputs: Outputs) -> NDArray[np.float32]:
        """Return the old logits, scaled and shifted: float32 (N, classes)."""
        return np.asarray(outputs.logits * self.scale + self.bias, np.float32)

    def layer(
        self, kernel: NDArray[np.float32], bias: NDArray[np.float32]
    ) -> list[NDArray[np.float32]]:
        """Return the scaled kernel, (F, classes), and the scaled and shifted bias, (classes,)."""
        changed = (kernel * self.scale, bias * self.scale + self.bias)
        return [np.asarray(part, np.float32) for part in changed]

    @property
    def note(self) -> str:
        """Return the scale in words."""
        return f"logits times {self.scale:.2f}"


@dataclass(frozen=True)
class Turned:
    """`kernel`, float64 (F, classes), and `bias`, (classes,), added to the layer's own; `spread`
    is how freely they could change."""

    kernel: Floats
    bias: Floats
    spread: float

    def logits(self, outputs: Outputs) -> NDArray[np.float32]:
        """Return the old logits plus those of the added layer: float32 (N, classes)."""
        return np.asarray(outputs.logits + outputs.features @ self.kernel + self.bias, np.float32)

    def layer(
        self, kernel: NDArray[np.float32], bias: NDArray[np.float32]
    ) -> list[NDArray[np.float32]]:
        """Return the kernel, (F, classes), and the bias, (classes,), with the changes added."""
        return [np.asarray(kernel + self.kernel, np.float32), np.asarray(bias + self.bias, "f4")]

    @property
    def note(self) -> str:
        """Return the spread in words."""
        return f"spread {self.spread:g}"


def recalibrated(cells: Cells) -> Scaled:
    """One scale for all logits and a bias for each class that has cells."""
    logits, shared = cells.logits, _present(cells)

    def slope(point: Floats) -> tuple[float, Floats]:
        scale, bias = np.exp(point[0]), point[1:] @ shared
        loss, by_logit = _loss(scale * logits + bias, cells)
        pull = point[0] ** 2 / SCALE_SPREAD**2 + (point[1:] ** 2).sum() / BIAS_SPREAD**2
        by_scale = (by_logit * logits).sum() * scale + point[0] / SCALE_SPREAD**2
        by_bias = by_logit.sum(axis=0) @ shared + point[1:] / BIAS_SPREAD**2
        return loss + pull / 2, np.append(by_scale, by_bias)

    best = minimum(slope, np.zeros(1 + logits.shape[1]))
    return Scaled(float(np.exp(best[0])), best[1:] @ shared * cells.temperature)


def turned(cells: Cells, spread: float) -> Turned:
    """A change of the whole layer, pulled as `spread` says, for the classes that have cells."""
    logits, shared = cells.logits, _present(cells)
    length = float(np.linalg.norm(cells.outputs.features, axis=1).mean())
    ones = np.ones((len(logits), 1))
    seen = np.hstack([cells.outputs.features / max(length, 1e-9), ones]).astype(np.float64)
    shape = (seen.shape[1], logits.shape[1])

    def slope(point: Floats) -> tuple[float, Floats]:
        change = point.reshape(shape)
        loss, by_logit = _loss(logits + seen @ (change @ shared), cells)
        by_change = seen.T @ by_logit @ shared + change / spread**2
        return loss + (change**2).sum() / spread**2 / 2, by_change.ravel()

    best = minimum(slope, np.zeros(shape[0] * shape[1])).reshape(shape) @ shared
    best = best * cells.temperature
    return Turned(best[:-1] / max(length, 1e-9), best[-1], spread)


def best_turned(cells: Cells, folds: Classes) -> Turned:
    """The same with the spread whose changes said most of cells that they were not fitted to."""
    losses = []
    for spread in SPREADS:
        loss = 0.0
        for fold in np.unique(folds):
            inside, outside = np.flatnonzero(folds != fold), np.flatnonzero(folds == fold)
            judged = cells.at(outside)
            changed = turned(cells.at(inside), spread).logits(judged.outputs)
            loss += _loss(np.asarray(changed / cells.temperature, np.float64), judged)[0]
        losses.append(loss)
    return turned(cells, SPREADS[int(np.argmin(losses))])


def minimum(slope: Slope, start: Floats, steps: int = 500) -> Floats:
    """Where a smooth convex function is least, by L-BFGS (Byrd, Lu, Nocedal and Zhu 1995)."""
    options = {"maxiter": steps, "ftol": 1e-14, "gtol": 1e-8}
    fit = minimize(slope, start, method="L-BFGS-B", jac=True, options=options)
    return np.asarray(fit.x, np.float64)


def _loss(logits: Floats, cells: Cells) -> tuple[float, Floats]:
    """The weighted sum of -log p(true class), and its slope by each logit."""
    probabilities, rows = softmax(logits), np.arange(len(logits))
    loss = -float(cells.weights @ np.log(np.maximum(probabilities[rows, cells.truth], 1e-300)))
    probabilities[rows, cells.truth] -= 1
    return loss, probabilities * cells.weights[:, np.newaxis]


def _present(cells: Cells) -> Floats:
    """float64 (classes, classes), symmetric: takes the mean over the classes that have cells off
    them, and makes the others none."""
    there = np.isin(np.arange(cells.outputs.logits.shape[1]), cells.truth).astype(np.float64)
    return np.asarray(np.diag(there) - np.outer(there, there) / there.sum())
