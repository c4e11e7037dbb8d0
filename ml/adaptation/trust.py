"""When to believe an adapted network: its numbers measured anew on the new laboratory's cells.

Each cell is measured by a network, and by references, that were made without its photograph
(cross-fitting), so that few cells serve for learning and for measuring. NumPy only.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ml.adaptation.refitting import Cells
from ml.answers import Outputs
from ml.bundle import Bundle
from ml.trust import TRUST, TooFewCells
from ml.trust.conformal import FEWEST
from ml.trust.fitting import LabelledOutputs, fit_threshold, fit_trust
from ml.trust.judge import read_trust
from ml.trust.unfamiliar import Gate, Nearest, gate_of

KEPT = (
    "Kept from the bundle that this one was adapted from: there were too few new cells to measure "
    "when to believe it. Its promises of coverage and familiarity hold only for the old images."
)

UNMEASURED = (
    "Adapted without labels: familiarity was measured on the new laboratory's own crops, but "
    "confidence and the promise of coverage come from the old images and were not measured here."
)


@dataclass(frozen=True)
class Crossed:
    """The answers for each new cell from networks that did not learn its photograph: the outputs,
    and how strange it is, float32 (N,), where the bundle has a gate."""

    outputs: Outputs
    distances: NDArray[np.float32] | None


@dataclass(frozen=True)
class Trusted:
    """What a bundle judges by: numbers for its metadata, arrays for a file, and whether they were
    measured anew."""

    numbers: Mapping[str, Any]
    arrays: Mapping[str, NDArray[Any]]
    anew: bool


def gate_in(bundle: Bundle) -> Gate | None:
    """The gate that a bundle carries, or None."""
    numbers = bundle.metadata.trust
    return gate_of(str(numbers["gate"]), read_trust(bundle.path / TRUST)) if numbers else None


def widened(gate: Gate, cells: Cells) -> Gate:
    """The gate with cells, seen by the same network, among its references.

    Of the gates, the nearest cells alone can take in more; another one stays as it is.
    """
    if not isinstance(gate, Nearest):
        return gate
    features = cells.outputs.features
    unit = features / np.maximum(np.linalg.norm(features, axis=1, keepdims=True), 1e-12)
    # As a file will give them back.
    narrow = ((unit - gate.centre) @ gate.axes.T).astype(np.float16).astype(np.float32)
    references = np.concatenate([gate.references, narrow])
    names = np.array(["", *cells.photographs])
    names = np.concatenate([np.repeat(names[:1], len(gate.references)), names[1:]])
    spreads = [
        _reach(row, references[names != name], gate.neighbours)
        for row, name in zip(narrow, cells.photographs, strict=True)
    ]
    together = np.concatenate([gate.spreads, np.array(spreads, np.float32)])
    return replace(gate, references=references, spreads=together)


def measured(
    bundle: Bundle,
    crossed: Crossed,
    cells: Cells,
    gate: Gate | None,
    rows: NDArray[np.int64],
    source: str,
) -> Trusted:
    """What the adapted bundle judges by; as the old one does, if the new cells are too few.

    Args:
        bundle: the one that is adapted.
        crossed: the cross-fitted answers for the new cells.
        cells: their classes and photographs.
        gate: the adapted bundle's; None if it has none.
        rows: int64, of the cells in whose image just one was found.
        source: whose cells they are.
    """
    numbers = bundle.metadata.trust
    if not numbers or gate is None or crossed.distances is None:
        return Trusted({}, {}, False)
    try:
        if len(set(np.array(cells.photographs)[rows])) < FEWEST:
            raise TooFewCells("Too few photographs.")
        fitted, arrays = _fitted(bundle, crossed, cells.at(rows), gate, rows)
    except TooFewCells:
        return Trusted({**numbers, "note": KEPT}, read_trust(bundle.path / TRUST), False)
    return Trusted({**fitted, "note": f"Measured on cells of {source}."}, arrays, True)


def without_labels(bundle: Bundle, gate: Gate | None, strangeness: NDArray[np.float32]) -> Trusted:
    """What a bundle judges by that was adapted by crops without labels alone: the new gate, with a
    threshold that takes in as many of those crops as the bundle says; confidence and sets, which
    take labels to measure, are kept.

    Args:
        bundle: the one that is adapted.
        gate: the adapted bundle's; None if it has none.
        strangeness: of each crop in which one cell was found, by a gate that did not know it.
    """
    old = bundle.metadata.trust
    if gate is None:
        return Trusted({}, {}, False)
    accepted = float(old.get("accepted", 0.95))
    threshold, distances = fit_threshold(strangeness, np.ones(len(strangeness)), accepted)
    numbers = {
        **old,
        "gate": gate.kind,
        "threshold": threshold,
        "calibrated": False,
        "note": UNMEASURED,
    }
    return Trusted(numbers, {"distances": distances, **gate.arrays()}, False)


def _fitted(
    bundle: Bundle, crossed: Crossed, cells: Cells, gate: Gate, rows: NDArray[np.int64]
) -> tuple[dict[str, Any], dict[str, NDArray[Any]]]:
    metadata, distances = bundle.metadata, crossed.distances
    outputs = Outputs(crossed.outputs.logits[rows], crossed.outputs.features[rows])
    classes = metadata.classes
    lacking = [name for number, name in enumerate(classes) if number not in cells.truth]
    apart = None if distances is None else distances[rows]
    crossed_cells = LabelledOutputs(
        outputs, cells.truth, cells.photographs, [""] * len(rows), apart
    )
    numbers, arrays = fit_trust(
        crossed_cells,
        classes,
        gate,
        few_shot=metadata.data.get("few_shot", ()),
        lacking=lacking,
        coverage=float(metadata.trust["coverage"]),
        accepted=float(metadata.trust.get("accepted", 0.95)),
    )
    absent = [classes.index(name) for name in lacking]
    return {
        **numbers,
        "levels": _levels(numbers["levels"], metadata.trust["levels"], absent),
    }, arrays


def _levels(
    new: Sequence[Mapping[str, Any]], old: Sequence[Mapping[str, Any]], absent: Sequence[int]
) -> list[dict[str, Any]]:
    """The new levels; classes that the laboratory has no cell of keep their old limits."""
    old_levels = {entry["coverage"]: entry for entry in old}
    merged = []
    for entry in new:
        limits, pooled = list(entry["limits"]), list(entry["pooled"])
        for number in absent if entry["coverage"] in old_levels else ():
            limits[number] = old_levels[entry["coverage"]]["limits"][number]
            pooled[number] = old_levels[entry["coverage"]]["pooled"][number]
        merged.append({"coverage": entry["coverage"], "limits": limits, "pooled": pooled})
    return merged


def _reach(
    row: NDArray[np.float32], references: NDArray[np.float32], neighbours: int
) -> np.floating[Any]:
    apart = np.linalg.norm(references - row, axis=1)
    reach: np.floating[Any] = np.partition(apart, neighbours - 1)[neighbours - 1]
    return reach
