"""Which images a pass of training draws, and in which order.

Classes are drawn equally often, within a class its data folders by their weights, and within a
folder the photographs in turn, so that neither a large folder nor a photograph with many copies
outweighs the rest. The order depends on the seed and the pass alone.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from ml.dataset import Sample
from ml.recipes.recipe import Recipe

# class → data folder → photograph → the places of its images
Tree = dict[str, dict[str, dict[str, list[int]]]]


class Plan:
    """The draws of each pass over `samples`, by a recipe and a seed."""

    def __init__(self, samples: Sequence[Sample], recipe: Recipe, seed: int) -> None:
        self.samples, self.recipe, self.seed = samples, recipe, seed
        self._tree: Tree = defaultdict(lambda: defaultdict(lambda: defaultdict(list)))
        for place, sample in enumerate(samples):
            # An image of an unknown photograph, which only a leaking split has, is one by itself.
            photograph = sample.group if sample.group is not None else sample.file
            self._tree[sample.label][sample.source][photograph].append(place)
        self.quotas = self._quotas()

    @property
    def size(self) -> int:
        """How many images a pass draws."""
        return sum(self.quotas.values())

    def draws(self, number: int) -> NDArray[np.int64]:
        """int64 (size,): the places, in `samples`, of the images of pass `number`, in order."""
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
        return [place for members in photographs for place in members] * self._repeats(label)

    def _of_class(
        self, sources: dict[str, dict[str, list[int]]], quota: int, rng: np.random.Generator
    ) -> list[int]:
        weights = dict(self.recipe.sources)
        shares = shared_out(quota, {name: weights.get(name, 1.0) for name in sorted(sources)})
        return [place for name in shares for place in in_turn(sources[name], shares[name], rng)]

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
        for place in rng.permutation(len(queues))[: count - len(drawn)]:
            queue = queues[place]
            drawn.append(int(queue[turn % len(queue)]))
        turn += 1
    return drawn
