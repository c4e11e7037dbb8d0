"""Decides what to report for an image: a class, several possible classes, or no known cell.

`ml.trust.fitting` measures it once on validation cells, a bundle carries it, and `Trust.judge`
applies it to every image. All answers of a bundle without it are accepted. NumPy only.
"""

from __future__ import annotations

import math
import zipfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lexicon.outcomes import (
    BETWEEN_CLASSES,
    NO_CELL,
    NO_SMEAR,
    SEVERAL_CELLS,
    UNLIKE_TRAINING,
    Outcome,
)
from lexicon.verdicts import Verdict
from ml.answers import Outputs
from ml.bundle import Bundle
from ml.reading import Location, Sight
from ml.trust.calibration import softmax
from ml.trust.conformal import Quantiles, conforming, sets
from ml.trust.unfamiliar import Gate, TrustMismatch, gate_of

TRUST = "trust.npz"
# Why an image is turned away before anything is asked of the network.
SIGHTS = {
    Sight.FOREIGN: NO_SMEAR,
    Sight.NONE: NO_CELL,
    Sight.SEVERAL: SEVERAL_CELLS,
}
NOT_ONE_CELL = frozenset(SIGHTS.values())
# What is kept of a probability, of a box's edge and of a share of cells: as much as float32, a
# pixel and a thousand cells can mean. More digits would double what a verdict takes in SQL.
_DIGITS, _BOX_DIGITS, _SHARE_DIGITS = 7, 5, 4


@dataclass(frozen=True)
class Familiar:
    """A gate with what it measured on validation cells: `distances`, float32, rising, and the
    `threshold` beyond which an image is a stranger."""

    gate: Gate
    distances: NDArray[np.float32]
    threshold: float

    def shares(self, distances: NDArray[np.float32]) -> NDArray[np.float64]:
        """float64 (N,): the share of validation cells at least as far as each distance, 0 to 1."""
        nearer = np.searchsorted(self.distances, distances, side="left")
        return np.asarray(1 - nearer / len(self.distances)).round(_SHARE_DIGITS)


@dataclass(frozen=True)
class Trust:
    """When to believe a network with these `classes`.

    `levels` are the sets' limits by promised coverage, of which `coverage` is in force; without
    levels every best guess stands, without `familiar` no image is a stranger.
    """

    classes: tuple[str, ...]
    temperature: float = 1.0
    coverage: float = 0.95
    levels: tuple[Quantiles, ...] = ()
    familiar: Familiar | None = None

    @classmethod
    def load(cls, bundle: Bundle) -> Trust:
        """The trust that a bundle carries.

        Raises:
            TrustMismatch: if it is damaged or is another network's.
        """
        numbers = bundle.metadata.trust
        arrays = read_trust(bundle.path / TRUST) if numbers else {}
        return cls.of(bundle.metadata.classes, numbers, arrays)

    @classmethod
    def of(
        cls, classes: Sequence[str], numbers: Mapping[str, Any], arrays: Mapping[str, NDArray[Any]]
    ) -> Trust:
        """The trust that `fit_trust` gave as `numbers` and `arrays`; plain if there are no numbers.

        Raises:
            TrustMismatch: if they fit neither each other nor the classes.
        """
        if not numbers:
            return cls(tuple(classes))
        try:
            levels = tuple(_level(entry, len(classes)) for entry in numbers["levels"])
            trust = cls(
                classes=tuple(classes),
                temperature=_positive(numbers["temperature"]),
                coverage=float(numbers["coverage"]),
                levels=levels,
                familiar=_familiar(numbers, arrays),
            )
        except (KeyError, TypeError, ValueError) as error:
            message = f"The bundle's trust data can't be used ({error}). "
            raise TrustMismatch(message + "Fetch the bundle again.") from None
        return trust.at(trust.coverage)

    def at(self, coverage: float) -> Trust:
        """The same with sets of another promised coverage.

        Raises:
            TrustMismatch: if the bundle has no sets of that coverage.
        """
        if coverage not in [level.coverage for level in self.levels]:
            coverages = ", ".join(f"{level.coverage:g}" for level in self.levels) or "none"
            message = f"The bundle carries no sets of coverage {coverage:g}; it has {coverages}."
            raise TrustMismatch(message)
        return replace(self, coverage=coverage)

    def judge(self, outputs: Outputs, locations: Sequence[Location]) -> list[Verdict]:
        """Return the verdict on each image.

        Args:
            outputs: what the network gave, N rows.
            locations: where the cell is in each, N.

        Raises:
            TrustMismatch: if the outputs are of another network.
        """
        if outputs.logits.shape[1:] != (len(self.classes),):
            message = f"The network has {outputs.logits.shape[1]} classes, "
            raise TrustMismatch(message + f"not {len(self.classes)}. Fetch the bundle again.")
        probabilities = softmax(outputs.logits, self.temperature)
        members, strange, shares = self._sets(probabilities), *self._strangeness(outputs)
        rows = zip(probabilities, members, strange, shares, locations, strict=True)
        return [self._verdict(*row) for row in rows]

    def promised(self, probabilities: NDArray[np.float64]) -> NDArray[np.bool_] | None:
        """bool (N, C): the sets, maybe empty, on which the promise of coverage rests, of calibrated
        probabilities (N, C); None if nothing is promised. Candidates hold more than these."""
        level = self._level
        return None if level is None else conforming(probabilities, level)

    @property
    def _level(self) -> Quantiles | None:
        return next((level for level in self.levels if level.coverage == self.coverage), None)

    def _sets(self, probabilities: NDArray[np.float64]) -> NDArray[np.bool_]:
        """bool (N, C): the classes that can't be ruled out."""
        if self._level is not None:
            return sets(probabilities, self._level)
        best = probabilities.argmax(axis=1)
        return np.asarray(np.arange(len(self.classes)) == best[:, np.newaxis])

    def _strangeness(self, outputs: Outputs) -> tuple[list[bool], list[float | None]]:
        """Whether each image lies beyond the threshold, and how familiar it is."""
        if self.familiar is None:
            count = len(outputs.logits)
            return [False] * count, [None] * count
        distances = self.familiar.gate.distance(outputs)
        # Asked this way round, a distance that is no number is a stranger's.
        strange = ~(distances <= self.familiar.threshold)
        return strange.tolist(), self.familiar.shares(distances).tolist()

    def _verdict(
        self,
        row: NDArray[np.float64],
        members: NDArray[np.bool_],
        strange: bool,
        familiarity: float | None,
        location: Location,
    ) -> Verdict:
        order = [int(number) for number in np.argsort(-row, kind="stable")]
        candidates = tuple(self.classes[number] for number in order if members[number])
        outcome, reason = _outcome(location.sight, strange, len(candidates))
        probabilities = row.round(_DIGITS).tolist()
        return Verdict(
            label=self.classes[order[0]],
            confidence=probabilities[order[0]],
            probabilities=tuple(probabilities),
            outcome=outcome,
            candidates=candidates,
            reason=reason,
            familiarity=familiarity,
            box=location.box and location.box.rounded(_BOX_DIGITS),
        )


def write_trust(path: Path, arrays: Mapping[str, NDArray[Any]]) -> None:
    """Write the arrays to a file; the same arrays always make the same bytes."""
    with path.open("wb") as file:
        np.savez_compressed(file, allow_pickle=False, **arrays)


def read_trust(path: Path) -> dict[str, NDArray[Any]]:
    """The arrays of a file that `write_trust` wrote.

    Raises:
        TrustMismatch: if it is missing or is no such file.
    """
    try:
        # Opened here, since NumPy leaves open what it opened and could not read.
        with path.open("rb") as file, np.load(file, allow_pickle=False) as arrays:
            return {name: arrays[name] for name in arrays.files}
    except (OSError, ValueError, EOFError, AttributeError, zipfile.BadZipFile) as error:
        message = f"{path} can't be read ({error}). Fetch the bundle again."
        raise TrustMismatch(message) from None


def _outcome(sight: Sight, strange: bool, candidates: int) -> tuple[Outcome, str]:
    if sight in SIGHTS:
        return Outcome.UNFAMILIAR, SIGHTS[sight]
    if strange:
        return Outcome.UNFAMILIAR, UNLIKE_TRAINING
    if candidates > 1:
        return Outcome.UNCERTAIN, BETWEEN_CLASSES
    return Outcome.ACCEPTED, ""


def _level(entry: Mapping[str, Any], count: int) -> Quantiles:
    limits = tuple(float(limit) for limit in entry["limits"])
    pooled = tuple(bool(value) for value in entry["pooled"])
    if len(limits) != count or len(pooled) != count:
        raise ValueError(f"{len(limits)} limits for {count} classes")
    if not all(0 <= limit <= 1 for limit in limits):
        raise ValueError("limits beyond 0 to 1")
    return Quantiles(float(entry["coverage"]), limits, pooled)


def _positive(value: Any) -> float:
    number = float(value)
    if not (math.isfinite(number) and number > 0):
        raise ValueError(f"a temperature of {number:g}")
    return number


def _familiar(numbers: Mapping[str, Any], arrays: Mapping[str, NDArray[Any]]) -> Familiar:
    distances, threshold = arrays["distances"], float(numbers["threshold"])
    if distances.dtype != np.float32 or distances.ndim != 1 or not len(distances):
        raise ValueError("distances of another kind")
    if not (np.isfinite(distances).all() and (np.diff(distances) >= 0).all()):
        raise ValueError("distances that do not rise")
    if not math.isfinite(threshold):
        raise ValueError("no threshold")
    return Familiar(gate_of(str(numbers["gate"]), arrays), distances, threshold)
