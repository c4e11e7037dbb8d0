"""Validation cells → the numbers and arrays by which `ml.trust` judges images. NumPy only."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ml.answers import Outputs
from ml.trust.calibration import TooFewCells, even_weights, fit_temperature, softmax
from ml.trust.conformal import fit_quantiles
from ml.trust.unfamiliar import Gate

# The coverages whose sets a bundle carries, if there are cells enough to promise them.
LEVELS = (0.9, 0.95, 0.98, 0.99)
# Validation distances are kept at so many evenly spaced quantiles.
STEPS = 1000


@dataclass(frozen=True)
class LabelledOutputs:
    """Cells with a label that the network was not trained on: what it gave, the class numbers,
    int64 (N,), and of each the photograph and the source it is from.

    `distances`, float32 (N,), is how strange each is; None leaves it to the gate. Cells that the
    gate was fitted on must be measured by others, which were fitted without them.
    """

    outputs: Outputs
    truth: NDArray[np.int64]
    photographs: Sequence[str]
    sources: Sequence[str]
    distances: NDArray[np.float32] | None = None


def fit_trust(
    validation: LabelledOutputs,
    classes: Sequence[str],
    gate: Gate,
    *,
    few_shot: Collection[str] = (),
    lacking: Collection[str] = (),
    coverage: float = 0.95,
    accepted: float = 0.95,
) -> tuple[dict[str, Any], dict[str, NDArray[Any]]]:
    """What validation cells say about when to believe a network.

    Every source counts alike, and within it every photograph, in the temperature and in the
    threshold; in the sets every photograph counts one.

    Args:
        validation: of images in which one cell was found.
        classes: the network's, in its order.
        gate: fitted on training cells, or the one of a bundle that is being adapted.
        few_shot: classes with few training images, whose sets are pooled in any case.
        lacking: classes that need have no validation cell, whose sets are then pooled.
        coverage: the promised share of images whose set holds the true class; one of `LEVELS`.
        accepted: the share of validation cells within the threshold.

    Returns:
        What goes into the bundle's metadata as `trust`, and the arrays of its trust.npz.

    Raises:
        TooFewCells: if a class has no validation cell, or all are too few for the coverage.
    """
    _require_every_class(validation, [name for name in classes if name not in lacking], classes)
    weights = even_weights(validation.photographs, validation.sources)
    temperature = fit_temperature(validation.outputs.logits, validation.truth, weights)
    few = [number for number, name in enumerate(classes) if name in few_shot]
    levels = _fit_levels(validation, temperature, few, coverage)
    measured = validation.distances
    if measured is None:
        measured = gate.distance(validation.outputs)
    threshold, distances = fit_threshold(measured, weights, accepted)
    numbers = {
        "temperature": temperature,
        "coverage": coverage,
        "levels": levels,
        "gate": gate.kind,
        "threshold": threshold,
        "accepted": accepted,
        "validation": _counts(validation, classes),
    }
    return numbers, {"distances": distances, **gate.arrays()}


def fit_threshold(
    measured: NDArray[np.float32], weights: NDArray[np.float64], accepted: float
) -> tuple[float, NDArray[np.float32]]:
    """The distance within which the share `accepted` of cells lies, and the distances' quantiles,
    float32 (STEPS,), by how strange each cell is, (N,), and what each counts, (N,)."""
    distances = _quantiles(measured, weights)
    return float(distances[math.ceil(round(accepted * STEPS, 6)) - 1]), distances


def _fit_levels(
    validation: LabelledOutputs, temperature: float, few: Sequence[int], coverage: float
) -> list[dict[str, Any]]:
    probabilities = softmax(validation.outputs.logits, temperature)
    levels = []
    for level in sorted({*LEVELS, coverage}):
        try:
            quantiles = fit_quantiles(
                probabilities, validation.truth, level, groups=validation.photographs, few_shot=few
            )
        except TooFewCells:
            if level == coverage:
                raise
            continue
        levels.append({"coverage": level, "limits": quantiles.limits, "pooled": quantiles.pooled})
    return levels


def _quantiles(distances: NDArray[np.float32], weights: NDArray[np.float64]) -> NDArray[np.float32]:
    """float32 (STEPS,), rising: the weighted quantiles in the middle of as many equal shares."""
    order = np.argsort(distances)
    reached = np.cumsum(weights[order]) / weights.sum()
    wanted = (np.arange(STEPS) + 0.5) / STEPS
    ranks = np.minimum(np.searchsorted(reached, wanted), len(order) - 1)
    return np.asarray(distances[order][ranks], dtype=np.float32)


def _counts(validation: LabelledOutputs, classes: Sequence[str]) -> dict[str, dict[str, int]]:
    """How many cells and photographs of each class were measured on."""
    cells = Counter(validation.truth.tolist())
    pairs = set(zip(validation.truth.tolist(), validation.photographs, strict=True))
    photographs = Counter(number for number, _ in pairs)
    return {
        "cells": {name: cells[number] for number, name in enumerate(classes)},
        "photographs": {name: photographs[number] for number, name in enumerate(classes)},
    }


def _require_every_class(
    validation: LabelledOutputs, needed: Collection[str], classes: Sequence[str]
) -> None:
    there = {classes[number] for number in validation.truth}
    missing = [name for name in needed if name not in there]
    if missing:
        message = f"There are no validation cells of {', '.join(missing)}, so nothing can be "
        raise TooFewCells(message + "promised for them. Hold some out.")
