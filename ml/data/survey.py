"""Surveys labelled images before a network learns from them: counts, sizes, copies, colours."""

from __future__ import annotations

import hashlib
import io
from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass, replace
from itertools import combinations
from typing import Any

import cv2
import numpy as np
from PIL import Image

from ml.data.dataset import Sample
from ml.data.fingerprints import BLACK, SIDE, shrunk
from ml.data.grouping import find_groups
from ml.data.loading import Report
from ml.decoding import Pixels, UnreadableImage, decode

THREADS = 2


@dataclass(frozen=True)
class Measurement:
    """One image as measured.

    `width` and `height` are the file's own, in pixels. `red`, `green`, `blue` are means over what
    is not black fill, 0 to 255; `filled` is the share of black fill; `sharpness` the standard
    deviation of the Laplacian at `SIDE` pixels. `problem` says why it can't be read, and then all
    numbers are 0.
    """

    sha256: str
    width: int = 0
    height: int = 0
    red: float = 0.0
    green: float = 0.0
    blue: float = 0.0
    filled: float = 0.0
    sharpness: float = 0.0
    problem: str = ""


@dataclass(frozen=True)
class Surveyed:
    """One sample with its measurements and its groups; None where these are unknown.

    Images of one group share a scene and must not be split; those of one `photograph` are copies.
    """

    sample: Sample
    measurement: Measurement
    group: str | None
    photograph: str | None


def survey(samples: Sequence[Sample], find: bool, report: Report) -> list[Surveyed]:
    """Measure every sample; with `find`, find the groups rather than believe the folder's."""
    with ThreadPoolExecutor(THREADS) as pool:
        measurements = []
        for measurement in pool.map(_measure, samples):
            measurements.append(measurement)
            done = len(measurements) / len(samples)
            report("measuring", done, f"{len(samples)} images")
    rows = [
        Surveyed(sample, measurement, sample.group, sample.group)
        for sample, measurement in zip(samples, measurements, strict=True)
    ]
    return _with_found_groups(rows, report) if find else rows


def facts_of(rows: Sequence[Surveyed]) -> dict[str, Any]:
    """Everything the report says, as JSON can hold it."""
    broken = [row for row in rows if row.measurement.problem]
    return {
        "images": len(rows),
        "counts": _counts(rows),
        "sizes": _sizes([row.measurement for row in rows if row.measurement.width]),
        "corrupt": {_name(row): row.measurement.problem for row in broken},
        "duplicates": _duplicates(rows),
        "groups": _groups(rows),
        "conflicts": _conflicts(rows),
        "cut_splits": _cut(rows),
        "appearance": _appearance([row for row in rows if not row.measurement.problem]),
    }


def _measure(sample: Sample) -> Measurement:
    try:
        data = sample.path.read_bytes()
    except OSError as error:
        return Measurement("", problem=error.strerror or "The file can't be read.")
    digest = hashlib.sha256(data).hexdigest()
    try:
        pixels = decode(data)
    except UnreadableImage as error:
        return Measurement(digest, problem=str(error))
    with Image.open(io.BytesIO(data)) as image:
        return _measured(pixels, Measurement(digest, *image.size))


def _measured(pixels: Pixels, measurement: Measurement) -> Measurement:
    grey = cv2.cvtColor(pixels, cv2.COLOR_RGB2GRAY)
    shown = grey > BLACK
    red, green, blue = pixels[shown].mean(axis=0) if shown.any() else (0.0, 0.0, 0.0)
    edges = cv2.Laplacian(shrunk(grey, SIDE), cv2.CV_32F)
    return replace(
        measurement,
        red=float(red),
        green=float(green),
        blue=float(blue),
        filled=float(1 - shown.mean()),
        sharpness=float(edges.std()),
    )


def _with_found_groups(rows: Sequence[Surveyed], report: Report) -> list[Surveyed]:
    """Find groups across all data folders together; missing files belong to no group."""
    there = [index for index, row in enumerate(rows) if row.measurement.sha256]
    grouping = find_groups([rows[index].sample.path for index in there], report)
    named = [replace(row, group=None, photograph=None) for row in rows]
    for index, scene, photograph in zip(there, grouping.scenes, grouping.photographs, strict=True):
        named[index] = replace(
            rows[index], group=f"g{scene + 1:05d}", photograph=f"p{photograph + 1:05d}"
        )
    return named


def _counts(rows: Iterable[Surveyed]) -> dict[str, dict[str, dict[str, int]]]:
    """source → split → class → images."""
    table: dict[str, dict[str, Counter[str]]] = defaultdict(lambda: defaultdict(Counter))
    for row in rows:
        table[row.sample.source][row.sample.split or "unsplit"][row.sample.label] += 1
    return {
        source: {split: dict(sorted(classes.items())) for split, classes in sorted(splits.items())}
        for source, splits in sorted(table.items())
    }


def _sizes(measurements: Iterable[Measurement]) -> dict[str, int]:
    """How many images have each size, the most frequent one first."""
    return dict(Counter(f"{m.width}x{m.height}" for m in measurements).most_common())


def _duplicates(rows: Iterable[Surveyed]) -> list[list[str]]:
    """Files with equal bytes."""
    equal = _parts(rows, lambda row: row.measurement.sha256)
    return [[_name(row) for row in part] for part in equal if len(part) > 1]


def _groups(rows: Sequence[Surveyed]) -> dict[str, int] | None:
    """How many groups there are and how large; None where they are unknown."""
    sizes = [len(part) for part in _parts(rows, lambda row: row.group)]
    if not sizes:
        return None
    return {
        "groups": len(sizes),
        "photographs": len(_parts(rows, lambda row: row.photograph)),
        "unknown": sum(row.group is None for row in rows),
        "of_one_image": sizes.count(1),
        "largest": max(sizes),
    }


def _conflicts(rows: Sequence[Surveyed]) -> list[dict[str, str]]:
    """One entry for every photograph whose copies are labelled differently."""
    parts = [
        *_parts(rows, lambda row: row.measurement.sha256),
        *_parts(rows, lambda row: row.photograph),
    ]
    conflicts: dict[tuple[str, ...], dict[str, str]] = {}
    for part in parts:
        if len({row.sample.label for row in part}) > 1:
            by_label = {row.sample.label: _name(row) for row in reversed(part)}
            conflicts.setdefault(
                tuple(sorted(by_label)) + tuple(sorted(by_label.values())), by_label
            )
    return list(conflicts.values())


def _cut(rows: Sequence[Surveyed]) -> dict[str, dict[str, Any]]:
    """Pairs of splits of one source with groups in both: how many, and an example of each side."""
    cut: dict[str, dict[str, Any]] = {}
    for part in _parts(rows, lambda row: row.group):
        first = {f"{row.sample.source} {row.sample.split}": row for row in reversed(part)}
        for split, other_split in combinations(sorted(first), 2):
            entry = cut.setdefault(f"{split} / {other_split}", {"groups": 0})
            entry["groups"] += 1
            entry.setdefault("example", [_name(first[split]), _name(first[other_split])])
    return dict(sorted(cut.items()))


def _appearance(rows: Iterable[Surveyed]) -> dict[str, dict[str, dict[str, float]]]:
    """source → class → medians of colour, sharpness and fill."""
    parts = _parts(rows, lambda row: (row.sample.source, row.sample.label))
    table: dict[str, dict[str, dict[str, float]]] = defaultdict(dict)
    for part in sorted(parts, key=lambda part: (part[0].sample.source, part[0].sample.label)):
        measurements = [asdict(row.measurement) for row in part]
        table[part[0].sample.source][part[0].sample.label] = {
            name: round(float(np.median([measured[name] for measured in measurements])), 3)
            for name in ("red", "green", "blue", "sharpness", "filled")
        }
    return dict(table)


def _parts(rows: Iterable[Surveyed], key: Any) -> list[list[Surveyed]]:
    """The rows with the same key together; rows without one are left out."""
    parts: dict[Any, list[Surveyed]] = defaultdict(list)
    for row in rows:
        if key(row):
            parts[key(row)].append(row)
    return list(parts.values())


def _name(row: Surveyed) -> str:
    return f"{row.sample.source}/{row.sample.file}"
