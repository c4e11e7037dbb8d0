"""How far an image lies from the cells that a network was trained on.

A gate gives a larger number for a stranger image. `Nearest` is the one that bundles carry;
`benchmarks.gates` compares it with others. NumPy only.

Features are brought to length 1 first: their length says more about sharpness and light.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, ClassVar, Protocol

import numpy as np
from numpy.typing import NDArray

from ml.answers import Outputs
from ml.bundle import BundleError
from ml.trust.calibration import TooFewCells

NEIGHBOURS = 10
MOST_REFERENCES = 4000
WIDTH = 256

Floats = NDArray[np.float32]
Classes = NDArray[np.int64]
Arrays = Mapping[str, NDArray[Any]]


class TrustMismatch(BundleError):
    """A bundle's trust data does not fit its network and can't be used."""


class Gate(Protocol):
    """A measure of how strange an image is."""

    kind: ClassVar[str]

    def distance(self, outputs: Outputs) -> Floats:
        """float32 (N,): larger is stranger.

        Raises:
            TrustMismatch: if the outputs are of another network.
        """

    def arrays(self) -> dict[str, NDArray[Any]]:
        """Return the arrays needed to make this gate again."""


@dataclass(frozen=True)
class Nearest:
    """The distance to the k-th nearest reference cell, over how far apart cells lie there.

    The distance to a neighbour alone (Sun, Ming, Zhu and Li, ICML 2022) has one threshold for all
    sets, and the set with the loosest features sets it. Divided by the neighbours' own distance
    to *their* k-th neighbour it has none (the simplified local outlier factor of Schubert, Zimek
    and Kriegel, DMKD 2014, after Breunig et al. 2000).

    `centre` (F,) and `axes` (W, F) project unit features to their main directions; `references`
    (R, W) are cells so projected; `spreads` (R,) says of each how far its k-th nearest cell of
    another photograph is. All are float32; axes and references are kept as float16.
    """

    kind: ClassVar[str] = "nearest"
    centre: Floats
    axes: Floats
    references: Floats
    spreads: Floats
    neighbours: int

    @classmethod
    def fit(
        cls, outputs: Outputs, truth: Classes, groups: Sequence[str], neighbours: int = NEIGHBOURS
    ) -> Nearest:
        """References from training cells: their outputs, classes (N,) and photographs (N,).

        Raises:
            TooFewCells: if there are not more photographs than neighbours.
        """
        chosen = _evenly(truth, MOST_REFERENCES)
        photographs = np.unique(np.asarray(groups)[chosen], return_inverse=True)[1]
        if photographs.max(initial=-1) < neighbours:
            message = f"Cells of more than {neighbours} photographs are needed as references."
            raise TooFewCells(message)
        unit = unit_rows(outputs.features[chosen])
        centre = unit.mean(axis=0)
        axes = _rounded(main_axes(unit - centre, WIDTH)[1])
        references = _rounded((unit - centre) @ axes.T)
        apart = _apart(references, references)
        # Copies of one photograph lie close to each other and say nothing about other cells.
        apart[photographs[:, np.newaxis] == photographs] = np.inf
        spreads = np.partition(apart, neighbours - 1, axis=1)[:, neighbours - 1]
        return cls(centre, axes, references, spreads, neighbours)

    @classmethod
    def of(cls, arrays: Arrays) -> Nearest:
        """The gate that `arrays` were taken from."""
        names = ("centre", "axes", "references", "spreads")
        centre, axes, references, spreads = _floats(arrays, names)
        _require(centre.ndim == 1 and axes.ndim == 2 and references.ndim == 2, "nearest")
        _require(axes.shape == (references.shape[1], len(centre)), "nearest")
        _require(spreads.shape == (len(references),) and bool((spreads >= 0).all()), "nearest")
        neighbours = int(_number(arrays, "neighbours"))
        _require(1 <= neighbours < len(references), "nearest")
        return cls(centre, axes, references, spreads, neighbours)

    def distance(self, outputs: Outputs) -> Floats:
        """float32 (N,): about 1 for a cell among its like."""
        _require_width(outputs, len(self.centre))
        narrow = np.asarray((unit_rows(outputs.features) - self.centre) @ self.axes.T, np.float32)
        squared = _squared(narrow, self.references, self._lengths)
        order = np.argpartition(squared, self.neighbours - 1, axis=1)[:, : self.neighbours]
        reach = np.sqrt(np.take_along_axis(squared, order, axis=1).max(axis=1))
        # References that are all the same have no spread; any other image is then far away.
        around = np.maximum(self.spreads[order].mean(axis=1), 1e-4)
        return np.asarray(reach / around, dtype=np.float32)

    @cached_property
    def _lengths(self) -> Floats:
        """The squared lengths of the references, which are asked for with every batch."""
        return np.asarray(np.square(self.references).sum(axis=1), dtype=np.float32)

    def arrays(self) -> dict[str, NDArray[Any]]:
        """Return the arrays that a bundle stores, keyed by field name."""
        return {
            "centre": self.centre,
            "axes": self.axes.astype(np.float16),
            "references": self.references.astype(np.float16),
            "spreads": self.spreads,
            "neighbours": np.array(self.neighbours),
        }


def gate_of(kind: str, arrays: Arrays) -> Nearest:
    """The gate of that kind that `arrays` were taken from.

    Raises:
        TrustMismatch: if there is no such kind, or the arrays are not those of one.
    """
    if kind != Nearest.kind:
        raise TrustMismatch(f"There is no gate {kind!r}. This program knows {Nearest.kind}.")
    return Nearest.of(arrays)


def unit_rows(features: NDArray[Any]) -> Floats:
    """Rows of length 1; a row of zeros stays one."""
    length = np.linalg.norm(features.astype(np.float64), axis=1, keepdims=True)
    return np.asarray(features / np.maximum(length, 1e-12), dtype=np.float32)


def _rounded(array: NDArray[Any]) -> Floats:
    """The numbers as a file will give them back: float32 with the digits of float16."""
    return array.astype(np.float16).astype(np.float32)


def main_axes(centred: Floats, most: int) -> tuple[Floats, Floats]:
    """All variances, largest first, and the `most` directions, (K, F), that vary most."""
    wide = centred.astype(np.float64)
    values, vectors = np.linalg.eigh(wide.T @ wide / len(wide))
    most_first = vectors[:, ::-1][:, :most].T
    return np.maximum(values[::-1], 0).astype(np.float32), most_first.astype(np.float32)


def _apart(left: Floats, right: Floats) -> Floats:
    """(N, R): the Euclidean distance of each of the left from each of the right."""
    return np.asarray(np.sqrt(_squared(left, right, np.square(right).sum(axis=1))), np.float32)


def _squared(left: Floats, right: Floats, lengths: Floats) -> Floats:
    """(N, R): the squares of the same; `lengths` (R,) are the right ones' squared lengths."""
    squared = np.square(left).sum(axis=1)[:, np.newaxis] + lengths - 2 * left @ right.T
    return np.asarray(np.maximum(squared, 0), dtype=np.float32)


def _evenly(truth: Classes, most: int) -> Classes:
    """Places of at most `most` cells, so that no class is crowded out by another; sorted."""
    rng = np.random.default_rng(0)
    ranks = np.empty(len(truth))
    for number in np.unique(truth):
        own = np.flatnonzero(truth == number)
        ranks[own] = rng.permutation(len(own))
    return np.sort(np.argsort(ranks, kind="stable")[:most])


def _require_width(outputs: Outputs, width: int) -> None:
    given = outputs.features.shape[1]
    if given != width:
        message = f"The gate was made for {width} features and the network gives {given}. "
        raise TrustMismatch(message + "Fetch the bundle again.")


def _require(fits: bool, kind: str) -> None:
    if not fits:
        message = f"The arrays of the gate {kind!r} don't fit together. Fetch the bundle again."
        raise TrustMismatch(message)


def _floats(arrays: Arrays, names: Sequence[str]) -> list[Floats]:
    """The named arrays, all of them finite floating-point numbers."""
    for name in names:
        array = arrays.get(name)
        if array is None or array.dtype.kind != "f" or not np.isfinite(array).all():
            message = f"The bundle's array {name!r} is missing or damaged. Fetch the bundle again."
            raise TrustMismatch(message)
    return [arrays[name].astype(np.float32) for name in names]


def _number(arrays: Arrays, name: str) -> float:
    array = arrays.get(name)
    if array is None or array.shape != () or array.dtype.kind not in "iuf":
        raise TrustMismatch(f"The bundle's number {name!r} is missing. Fetch the bundle again.")
    return float(array)
