"""Any images → which show one scene, and which of these are copies of one photograph.

Images with equal bytes are one from the start. Of the others, each is compared with those few
whose vectors are nearest; then the groups so found are compared with their nearest groups, until
nothing new is found. No image is ever compared with all others: the number of comparisons grows
with the number of images, not with its square.

A wrong link must not weld two photographs. So a link is believed only if it is beyond doubt, or
if a third image is linked to both of its ends, or if one of them has no other link.
"""

from __future__ import annotations

import hashlib
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from ml.data.fingerprints import Fingerprint, Floats, fingerprint, vectors
from ml.data.loading import Report
from ml.data.matching import Link, link
from ml.decoding import UnreadableImage, decode

NEIGHBOURS = 6
# Comparisons between two groups that may be one.
TRIES = 3
ROUNDS = 5
THREADS = 2
# A link with so many agreeing keypoints, or so like, is beyond doubt.
MANY_AGREEING, ALMOST_EQUAL = 30, 0.998

Pair = tuple[int, int]


@dataclass(frozen=True)
class Grouping:
    """Of each image, by its place: the number of its scene, and of its photograph.

    Images of one photograph are of one scene. `unreadable` are the places of images that could
    not be read, which are scenes of their own. `links` are all that were found, believed or not.
    """

    scenes: tuple[int, ...]
    photographs: tuple[int, ...]
    unreadable: tuple[int, ...]
    links: tuple[Link, ...]


def find_groups(paths: Sequence[Path], report: Report) -> Grouping:
    """Which of these images show one scene, and which are of one photograph."""
    first = _first_of_equals(paths)
    prints: dict[int, Fingerprint] = {}
    unreadable = []
    for place, found in _fingerprints(paths, first, report):
        if found is None:
            unreadable.append(place)
        else:
            prints[place] = found
    links = _search(prints, report) if prints else []
    equal = [(place, other) for place, other in enumerate(first)]
    lost = {place for place, other in enumerate(first) if other in unreadable}
    return Grouping(
        _joined(len(paths), [*equal, *believed(links, _sure_of_scene)]),
        _joined(len(paths), [*equal, *believed(_copies(links), _sure_of_photograph)]),
        tuple(sorted(lost)),
        tuple(links),
    )


def believed(links: Iterable[Link], sure: Callable[[Link], bool]) -> list[Pair]:
    """The pairs of those links that are not alone in binding what they bind."""
    links = list(links)
    known: dict[int, set[int]] = defaultdict(set)
    for found in links:
        known[found.first].add(found.second)
        known[found.second].add(found.first)
    return [
        (found.first, found.second)
        for found in links
        if sure(found)
        or known[found.first] & known[found.second]
        or min(len(known[found.first]), len(known[found.second])) == 1
    ]


def _sure_of_scene(found: Link) -> bool:
    return found.agreeing >= MANY_AGREEING


def _sure_of_photograph(found: Link) -> bool:
    return found.likeness >= ALMOST_EQUAL


def _copies(links: Iterable[Link]) -> list[Link]:
    return [found for found in links if found.copies]


def _first_of_equals(paths: Sequence[Path]) -> list[int]:
    """Of each image, the place of the first with the same bytes."""
    seen: dict[bytes, int] = {}
    return [
        seen.setdefault(hashlib.sha256(path.read_bytes()).digest(), place)
        for place, path in enumerate(paths)
    ]


def _fingerprints(
    paths: Sequence[Path], first: Sequence[int], report: Report
) -> Iterator[tuple[int, Fingerprint | None]]:
    """The fingerprint of each first of equals; None where it can't be read."""
    places = sorted(set(first))
    with ThreadPoolExecutor(THREADS) as pool:
        found = pool.map(lambda place: _fingerprint(paths[place]), places)
        for done, (place, item) in enumerate(zip(places, found, strict=True), start=1):
            report("looking", done / len(places), f"{done} of {len(places)} images")
            yield place, item


def _fingerprint(path: Path) -> Fingerprint | None:
    try:
        return fingerprint(decode(path.read_bytes()))
    except UnreadableImage:
        return None


def _search(prints: dict[int, Fingerprint], report: Report) -> list[Link]:
    """All links between images that were found worth comparing, round by round."""
    places = sorted(prints)
    near = vectors([prints[place] for place in places])
    links: list[Link] = []
    tried: set[Pair] = set()
    pairs = _nearest_images(near)
    for turn in range(1, ROUNDS + 1):
        fresh = sorted(pairs - tried)
        tried |= pairs
        named = [(places[one], places[other]) for one, other in fresh]
        found = _compare(prints, named, f"comparing, round {turn}", report)
        links += found
        if not found:
            break
        copies = believed(_copies(links), _sure_of_photograph)
        parts = _joined(max(places) + 1, copies)
        pairs = _nearest_parts(near, np.array([parts[place] for place in places]))
    return links


def _compare(
    prints: dict[int, Fingerprint], pairs: Sequence[Pair], stage: str, report: Report
) -> list[Link]:
    found: list[Link] = []
    with ThreadPoolExecutor(THREADS) as pool:
        links = pool.map(lambda pair: link(*pair, *(prints[place] for place in pair)), pairs)
        for done, item in enumerate(links, start=1):
            report(stage, done / len(pairs), f"{done} of {len(pairs)} pairs")
            if item:
                found.append(item)
    return found


def _nearest_images(near: Floats) -> set[Pair]:
    """Each image with its nearest ones."""
    return {
        (min(place, other), max(place, other))
        for place, others in enumerate(_nearest(near, NEIGHBOURS))
        for other in others
    }


def _nearest_parts(near: Floats, parts: np.ndarray) -> set[Pair]:
    """The nearest images of parts that lie near each other, and may be one after all."""
    names, numbers = np.unique(parts, return_inverse=True)
    members = [np.flatnonzero(numbers == number) for number in range(len(names))]
    means = np.stack([near[places].mean(axis=0) for places in members])
    means /= np.maximum(np.linalg.norm(means, axis=1, keepdims=True), 1e-6)
    pairs: set[Pair] = set()
    for number, others in enumerate(_nearest(means, NEIGHBOURS)):
        for other in others:
            pairs |= _closest(near, members[number], members[int(other)])
    return pairs


def _closest(near: Floats, ours: np.ndarray, theirs: np.ndarray) -> set[Pair]:
    """The closest pairs of images between two parts, no image in two of them."""
    closeness = near[ours] @ near[theirs].T
    pairs: set[Pair] = set()
    for _ in range(min(TRIES, *closeness.shape)):
        row, column = np.unravel_index(closeness.argmax(), closeness.shape)
        one, other = int(ours[row]), int(theirs[column])
        pairs.add((min(one, other), max(one, other)))
        closeness[row], closeness[:, column] = -2, -2
    return pairs


def _nearest(near: Floats, count: int) -> Iterator[list[int]]:
    """Of each row, the places of the `count` other rows nearest to it."""
    count = min(count, len(near) - 1)
    for start in range(0, len(near), 512):
        closeness = near[start : start + 512] @ near.T
        closeness[np.arange(len(closeness)), start + np.arange(len(closeness))] = -2
        if count < 1:
            yield from ([] for _ in closeness)
            continue
        order = np.argpartition(-closeness, count - 1, axis=1)[:, :count]
        yield from order.tolist()


def _joined(count: int, pairs: Iterable[Pair]) -> tuple[int, ...]:
    """The number of the part each of `count` things is in, where pairs bind: 0, 1, …"""
    parent = list(range(count))

    def root(place: int) -> int:
        while parent[place] != place:
            parent[place] = parent[parent[place]]
            place = parent[place]
        return place

    for one, other in pairs:
        ends = sorted((root(one), root(other)))
        parent[ends[1]] = ends[0]
    numbers: dict[int, int] = {}
    return tuple(numbers.setdefault(root(place), len(numbers)) for place in range(count))
