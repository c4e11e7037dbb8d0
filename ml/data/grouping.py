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
from ml.data.matching import Link, find_link
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
    """The number of the scene, and of the photograph, of each image by its index.

    Images of one photograph are of one scene. `unreadable` are the indices of images that could
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
    for index, picture in _fingerprints(paths, first, report):
        if picture is None:
            unreadable.append(index)
        else:
            prints[index] = picture
    links = _search(prints, report) if prints else []
    equal = list(enumerate(first))
    lost = {index for index, original in enumerate(first) if original in unreadable}
    return Grouping(
        _joined(len(paths), [*equal, *believed(links, _sure_of_scene)]),
        _joined(len(paths), [*equal, *believed(_copies(links), _sure_of_photograph)]),
        tuple(sorted(lost)),
        tuple(links),
    )


def believed(links: Iterable[Link], sure: Callable[[Link], bool]) -> list[Pair]:
    """The pairs of those links that are not alone in binding what they bind."""
    links = list(links)
    linked: dict[int, set[int]] = defaultdict(set)
    for link in links:
        linked[link.first].add(link.second)
        linked[link.second].add(link.first)
    return [
        (link.first, link.second)
        for link in links
        if sure(link)
        or linked[link.first] & linked[link.second]
        or min(len(linked[link.first]), len(linked[link.second])) == 1
    ]


def _sure_of_scene(link: Link) -> bool:
    return link.agreeing >= MANY_AGREEING


def _sure_of_photograph(link: Link) -> bool:
    return link.likeness >= ALMOST_EQUAL


def _copies(links: Iterable[Link]) -> list[Link]:
    return [link for link in links if link.copies]


def _first_of_equals(paths: Sequence[Path]) -> list[int]:
    """The index of the first image with the same bytes, for each image."""
    seen: dict[bytes, int] = {}
    return [
        seen.setdefault(hashlib.sha256(path.read_bytes()).digest(), index)
        for index, path in enumerate(paths)
    ]


def _fingerprints(
    paths: Sequence[Path], first: Sequence[int], report: Report
) -> Iterator[tuple[int, Fingerprint | None]]:
    """The fingerprint of each first of equals; None where it can't be read."""
    indices = sorted(set(first))
    with ThreadPoolExecutor(THREADS) as pool:
        fingerprints = pool.map(lambda index: _fingerprint(paths[index]), indices)
        for done, (index, fingerprint) in enumerate(
            zip(indices, fingerprints, strict=True), start=1
        ):
            report("looking", done / len(indices), f"{done} of {len(indices)} images")
            yield index, fingerprint


def _fingerprint(path: Path) -> Fingerprint | None:
    try:
        return fingerprint(decode(path.read_bytes()))
    except UnreadableImage:
        return None


def _search(prints: dict[int, Fingerprint], report: Report) -> list[Link]:
    """All links between images that were found worth comparing, round by round."""
    indices = sorted(prints)
    near = vectors([prints[index] for index in indices])
    links: list[Link] = []
    tried: set[Pair] = set()
    pairs = _nearest_images(near)
    for turn in range(1, ROUNDS + 1):
        fresh = sorted(pairs - tried)
        tried |= pairs
        named = [(indices[first], indices[other]) for first, other in fresh]
        fresh_links = _compare(prints, named, f"comparing, round {turn}", report)
        links += fresh_links
        if not fresh_links:
            break
        copies = believed(_copies(links), _sure_of_photograph)
        parts = _joined(max(indices) + 1, copies)
        pairs = _nearest_parts(near, np.array([parts[index] for index in indices]))
    return links


def _compare(
    prints: dict[int, Fingerprint], pairs: Sequence[Pair], stage: str, report: Report
) -> list[Link]:
    links: list[Link] = []
    with ThreadPoolExecutor(THREADS) as pool:
        tried = pool.map(lambda pair: find_link(*pair, *(prints[index] for index in pair)), pairs)
        for done, link in enumerate(tried, start=1):
            report(stage, done / len(pairs), f"{done} of {len(pairs)} pairs")
            if link:
                links.append(link)
    return links


def _nearest_images(near: Floats) -> set[Pair]:
    """Each image with its nearest ones."""
    return {
        (min(index, other), max(index, other))
        for index, others in enumerate(_nearest(near, NEIGHBOURS))
        for other in others
    }


def _nearest_parts(near: Floats, parts: np.ndarray) -> set[Pair]:
    """The nearest images of parts that lie near each other, and may be one after all."""
    names, numbers = np.unique(parts, return_inverse=True)
    members = [np.flatnonzero(numbers == number) for number in range(len(names))]
    means = np.stack([near[rows].mean(axis=0) for rows in members])
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
        first, second = int(ours[row]), int(theirs[column])
        pairs.add((min(first, second), max(first, second)))
        closeness[row], closeness[:, column] = -2, -2
    return pairs


def _nearest(near: Floats, count: int) -> Iterator[list[int]]:
    """The indices of the `count` other rows nearest to each row."""
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

    def root(index: int) -> int:
        while parent[index] != index:
            parent[index] = parent[parent[index]]
            index = parent[index]
        return index

    for first, second in pairs:
        ends = sorted((root(first), root(second)))
        parent[ends[1]] = ends[0]
    numbers: dict[int, int] = {}
    return tuple(numbers.setdefault(root(index), len(numbers)) for index in range(count))
