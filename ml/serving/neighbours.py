"""Reference cells: which of the training cells a new one resembles most.

A bundle carries some dozen cells of each class with their features in `references.npz`, chosen so
that they show what is typical of the class and a little of what is rare. Their pictures are small
located crops of sets whose licence allows them to be passed on; `attribution` says whose they are.
"""

from __future__ import annotations

import io
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import accumulate, pairwise
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from ml.bundle import Bundle
from ml.decoding import Pixels

REFERENCES = "references.npz"
LARGEST_SIDE = 96
# One chosen cell in so many is a rare one.
_RARE = 6
_PASSES = 20

Features = NDArray[np.float32]
Indices = NDArray[np.int64]


@dataclass(frozen=True)
class References:
    """Cells with known classes: `features`, float32 (R, F), rows of length 1; of each its class
    in `labels`, the set it is from in `sources`, and a JPEG of it in `pictures`."""

    features: Features
    labels: tuple[str, ...]
    sources: tuple[str, ...]
    pictures: tuple[bytes, ...]
    attribution: str

    @classmethod
    def load(cls, bundle: Bundle) -> References | None:
        """The references of a bundle, or None if it carries none."""
        path = bundle.path / REFERENCES
        if not path.is_file():
            return None
        with np.load(path, allow_pickle=False) as arrays:
            bounds = pairwise((0, *arrays["ends"].tolist()))
            data = arrays["pictures"].tobytes()
            return cls(
                features=arrays["features"].astype(np.float32),
                labels=tuple(arrays["labels"].tolist()),
                sources=tuple(arrays["sources"].tolist()),
                pictures=tuple(data[start:end] for start, end in bounds),
                attribution=str(arrays["attribution"]),
            )


@dataclass(frozen=True)
class Neighbour:
    """A reference cell beside a new one; `similarity` is the cosine of their features, 0 to 1."""

    index: int
    label: str
    source: str
    similarity: float


def nearest(features: Features, references: References, count: int) -> list[Neighbour]:
    """The `count` references most like a cell with these features, float32 (F,), best first."""
    return _ranked(features, references)[:count]


def nearest_of_each_class(features: Features, references: References) -> list[Neighbour]:
    """The reference of each class that is most like a cell with these features, best first."""
    best: dict[str, Neighbour] = {}
    for neighbour in _ranked(features, references):
        best.setdefault(neighbour.label, neighbour)
    return list(best.values())


def choose_references(
    features: Features, truth: Indices, predicted: Indices, per_class: int
) -> Indices:
    """Which cells to keep as references: of each class, those at the heart of its groups of
    similar cells, and a few far from all of these. Only rightly classified cells are taken.

    Give one cell of each source group: copies of one photograph say nothing beside each other.

    Args:
        features: float32 (N, F).
        truth: the class of each, int64 (N,).
        predicted: the class the network gives each, int64 (N,).
        per_class: how many of each class; all, where there are not more.

    Returns:
        int64, rows of `features`, class by class.
    """
    unit = _unit(features)
    chosen = []
    for label in np.unique(truth):
        members = np.flatnonzero((truth == label) & (predicted == label))
        chosen.append(members[_spread(unit[members], per_class)])
    return np.concatenate(chosen) if chosen else np.empty(0, np.int64)


def write_references(
    folder: Path,
    features: Features,
    labels: Sequence[str],
    crops: Sequence[Pixels],
    sources: Sequence[str],
    attribution: str,
) -> None:
    """Write `REFERENCES` into the folder of a bundle that is being made.

    Args:
        folder: where.
        features: float32 (R, F), as the network gives them.
        labels: the class of each, by name.
        crops: the located cell of each, uint8 (height, width, 3); large ones are shrunk.
        sources: the set each is from, such as pbc8.
        attribution: whose images these are and under which licences, as sentences.
    """
    pictures = [_jpeg(crop) for crop in crops]
    np.savez(
        folder / REFERENCES,
        features=_unit(features).astype(np.float16),
        labels=np.array(labels),
        sources=np.array(sources),
        pictures=np.frombuffer(b"".join(pictures), np.uint8),
        ends=np.array(list(accumulate(len(picture) for picture in pictures)), np.int64),
        attribution=np.array(attribution),
    )


def _ranked(features: Features, references: References) -> list[Neighbour]:
    similarities = np.clip(references.features @ _unit(features[np.newaxis])[0], 0, 1)
    order = np.argsort(-similarities, kind="stable")
    return [
        Neighbour(
            int(i), references.labels[i], references.sources[i], round(float(similarities[i]), 4)
        )
        for i in order
    ]


def _unit(features: Features) -> Features:
    """Rows of length 1; a row of zeros stays one."""
    length = np.linalg.norm(features.astype(np.float32), axis=1, keepdims=True)
    return np.asarray(features / np.maximum(length, 1e-9), dtype=np.float32)


def _spread(unit: Features, count: int) -> Indices:
    """Typical members first, then the rare ones."""
    if len(unit) <= count:
        return np.arange(len(unit))
    return _with_farthest(unit, _medoids(unit, count - count // _RARE), count)


def _medoids(unit: Features, count: int) -> Indices:
    """The member nearest to the middle of each of `count` clusters, by spherical k-means."""
    # Chosen by chance, the first middles lie where the cells lie; spread out, they would be the
    # odd ones.
    middles = unit[np.random.default_rng(0).choice(len(unit), count, replace=False)]
    for _ in range(_PASSES):
        nearest_middle = (unit @ middles.T).argmax(axis=1)
        for cluster in np.unique(nearest_middle):
            middles[cluster] = unit[nearest_middle == cluster].mean(axis=0)
        middles = _unit(middles)
    return np.unique((unit @ middles.T).argmax(axis=0))


def _with_farthest(unit: Features, chosen: Indices, count: int) -> Indices:
    """Add to the chosen the member that is least like any of them, until there are `count`."""
    closest = (unit @ unit[chosen].T).max(axis=1)
    added = list(chosen)
    while len(added) < count:
        closest[added] = np.inf
        farthest = int(closest.argmin())
        added.append(farthest)
        closest = np.maximum(closest, unit @ unit[farthest])
    return np.array(added, np.int64)


def _jpeg(crop: Pixels) -> bytes:
    picture = Image.fromarray(crop)
    picture.thumbnail((LARGEST_SIDE, LARGEST_SIDE))
    out = io.BytesIO()
    picture.save(out, "JPEG", quality=90)
    return out.getvalue()
