"""Batches to learn from: drawn by a plan, changed at random, made in threads ahead of their use.

What a batch holds depends on the seed, the pass and its place in the pass alone, never on which
thread made it or when; so a resumed run sees what an unbroken one would have seen.
"""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from ml.augmentation import changed
from ml.images import InputShape, Pixels
from ml.loading import Labelled
from ml.mixing import mixed
from ml.recipes.recipe import Recipe
from ml.sampling import Plan

Batch = tuple[NDArray[np.float32], NDArray[np.float32]]

_Given = TypeVar("_Given")
_Made = TypeVar("_Made")


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
        number, start, places = task
        images = np.stack(
            [self._image(place, number, start + turn) for turn, place in enumerate(places)]
        ).astype(np.float32)
        labels = one_hot(self.data.truth[places], len(self.recipe.classes))
        if not self.recipe.mix:
            return images, labels
        return mixed(images, labels, self.recipe.mix, self._draws(number, start, 1))

    def _image(self, place: int, number: int, turn: int) -> Pixels:
        image = self.data.images[place]
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
    make: Callable[[_Given], _Made], given: Iterable[_Given], threads: int
) -> Iterator[_Made]:
    """`make` of each, in order, computed in threads a few ahead; memory holds only those few."""
    with ThreadPoolExecutor(threads, thread_name_prefix="batches") as pool:
        waiting: deque[Future[_Made]] = deque()
        try:
            for entry in given:
                waiting.append(pool.submit(make, entry))
                if len(waiting) > 2 * threads:
                    yield waiting.popleft().result()
            while waiting:
                yield waiting.popleft().result()
        finally:
            # A caller that stops early must not wait for batches that nobody takes.
            for future in waiting:
                future.cancel()
