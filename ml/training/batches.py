"""Batches to learn from: drawn by a plan, changed at random, made in threads ahead of their use.

What a batch holds depends on the seed, the pass and its place in the pass alone, never on which
thread made it or when; so a resumed run sees what an unbroken one would have seen.
"""

from __future__ import annotations

import os
from collections import defaultdict, deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from ml.data import Labelled, Sample
from ml.decoding import InputShape, Pixels
from ml.training.augmentation import changed, mixed
from ml.training.recipes.recipe import Recipe

Batch = tuple[NDArray[np.float32], NDArray[np.float32]]

_Given = TypeVar("_Given")
_Made = TypeVar("_Made")
# class → data folder → photograph → the indices of its images
Tree = dict[str, dict[str, dict[str, list[int]]]]


@dataclass(frozen=True)
class Batches:
    """The batches of each pass over `data`, by a recipe and a seed."""

    data: Labelled
    recipe: Recipe
    seed: int
    threads: int = field(default_factory=lambda: os.cpu_count() or 1)

    @property
    def plan(self) -> Plan:
        """Which images each pass draws."""
        return Plan(self.data.samples, self.recipe, self.seed)

    def of_pass(self, number: int) -> Iterator[Batch]:
        """The batches of pass `number`: images float32 (n, height, width, 3) in 0 … 255 and
        labels float32 (n, classes), n at most the recipe's batch."""
        drawn = self.plan.draws(number)
        starts = range(0, len(drawn), self.recipe.batch)
        chosen = [(number, start, drawn[start : start + self.recipe.batch]) for start in starts]
        return ahead(self._batch, chosen, self.threads)

    def _batch(self, task: tuple[int, int, NDArray[np.int64]]) -> Batch:
        number, start, indices = task
        images = np.stack(
            [self._image(index, number, start + turn) for turn, index in enumerate(indices)]
        ).astype(np.float32)
        labels = one_hot(self.data.truth[indices], len(self.recipe.classes))
        if not self.recipe.mix:
            return images, labels
        return mixed(images, labels, self.recipe.mix, self._draws(number, start, 1))

    def _image(self, index: int, number: int, turn: int) -> Pixels:
        image = self.data.images[index]
        if self.recipe.jitter is None:
            return middle(image, self.recipe.shape)
        return changed(image, self.recipe.jitter, self._draws(number, turn, 0), self.recipe.shape)

    def _draws(self, number: int, turn: int, purpose: int) -> np.random.Generator:
        return np.random.default_rng([self.seed, number, turn, purpose])


def middle(image: Pixels, shape: InputShape) -> Pixels:
    """The middle of a uint8 image (h, w, 3): what the network sees unless it is moved."""
    top, left = (image.shape[0] - shape.height) // 2, (image.shape[1] - shape.width) // 2
    return image[top : top + shape.height, left : left + shape.width]


def one_hot(truth: NDArray[np.int64], count: int) -> NDArray[np.float32]:
    """float32 (N, count): 1 at each class number of int64 (N,)."""
    rows: NDArray[np.float32] = np.eye(count, dtype=np.float32)[truth]
    return rows


def ahead(
    make: Callable[[_Given], _Made], tasks: Iterable[_Given], threads: int
) -> Iterator[_Made]:
    """`make` of each, in order, computed in threads a few ahead; memory holds only those few."""
    with ThreadPoolExecutor(threads, thread_name_prefix="batches") as pool:
        waiting: deque[Future[_Made]] = deque()
        try:
            for task in tasks:
                waiting.append(pool.submit(make, task))
                if len(waiting) > 2 * threads:
                    yield waiting.popleft().result()
            while waiting:
                yield waiting.popleft().result()
        finally:
            # A caller that stops early must not wait for batches that nobody takes.
            for future in waiting:
                future.cancel()


class Plan:
    """The draws of each pass over `samples`, by a recipe and a seed."""

    def __init__(self, samples: Sequence[Sample], recipe: Recipe, seed: int) -> None:
        self.samples, self.recipe, self.seed = samples, recipe, seed
        self._tree: Tree = defaultdict(lambda: defaultdict(lambda: defaultdict(list)))
        for index, sample in enumerate(samples):
            # An image of an unknown photograph, which only a leaking split has, is one by itself.
            photograph = sample.group if sample.group is not None else sample.file
            self._tree[sample.label][sample.source][photograph].append(index)
        self.quotas = self._quotas()

    @property
    def size(self) -> int:
        """How many images a pass draws."""
        return sum(self.quotas.values())

    def draws(self, number: int) -> NDArray[np.int64]:
        """int64 (size,): the indices, in `samples`, of the images of pass `number`, in order."""
        rng = np.random.default_rng([self.seed, number])
        drawn: list[int] = []
        for label, sources in sorted(self._tree.items()):
            if self.recipe.per_pass is None:
                drawn += self._every(label)
            else:
                drawn += self._of_class(sources, self.quotas[label], rng)
        order: NDArray[np.int64] = rng.permutation(np.array(drawn, np.int64))
        return order

    def _every(self, label: str) -> list[int]:
        photographs = [p for source in self._tree[label].values() for p in source.values()]
        return [index for members in photographs for index in members] * self._repeats(label)

    def _of_class(
        self, sources: dict[str, dict[str, list[int]]], quota: int, rng: np.random.Generator
    ) -> list[int]:
        weights = dict(self.recipe.sources)
        shares = shared_out(quota, {name: weights.get(name, 1.0) for name in sorted(sources)})
        return [index for name in shares for index in in_turn(sources[name], shares[name], rng)]

    def _repeats(self, label: str) -> int:
        return self.recipe.few_shot_repeat if label in self.recipe.few_shot else 1

    def _quotas(self) -> dict[str, int]:
        """How many images of each class a pass draws."""
        labels = sorted(self._tree)
        every = {label: len(self._every(label)) for label in labels}
        if self.recipe.per_pass is None:
            return every
        capped: dict[str, int] = {}
        shares: dict[str, int] = {}
        # What a capped class leaves goes to the others, and may bring another one to its cap.
        for _ in labels:
            free = [label for label in labels if label not in capped]
            rest = self.recipe.per_pass - sum(capped.values())
            shares = shared_out(rest, dict.fromkeys(free, 1.0))
            few = [n for n in free if n in self.recipe.few_shot and shares[n] > every[n]]
            if not few:
                break
            capped.update({label: every[label] for label in few})
        return {label: capped.get(label, shares.get(label, 0)) for label in labels}


def shared_out(total: int, weights: Mapping[str, float]) -> dict[str, int]:
    """`total` split by the weights into whole numbers; the remainders go to the largest ones."""
    whole = sum(weights.values())
    exact = {name: total * weight / whole for name, weight in weights.items()}
    shares = {name: int(value) for name, value in exact.items()}
    by_remainder = sorted(exact, key=lambda name: (shares[name] - exact[name], name))
    for name in by_remainder[: total - sum(shares.values())]:
        shares[name] += 1
    return shares


def in_turn(
    photographs: Mapping[str, list[int]], count: int, rng: np.random.Generator
) -> list[int]:
    """`count` images, photograph after photograph in random rounds; an image of a photograph
    comes again only when all of the photograph's have come."""
    queues = [list(rng.permutation(members)) for _, members in sorted(photographs.items())]
    drawn: list[int] = []
    turn = 0
    while len(drawn) < count:
        for number in rng.permutation(len(queues))[: count - len(drawn)]:
            queue = queues[number]
            drawn.append(int(queue[turn % len(queue)]))
        turn += 1
    return drawn
