"""How labelled images are split into those to learn from and those to validate on.

`grouped` holds out whole photographs. `random` holds out images whatever photograph they are of,
so that copies of one are on both sides: it leaks, and exists only to repeat published figures.
"""

from __future__ import annotations

from collections.abc import Sequence

from ml.data import DataError, Sample
from ml.data.dataset import (
    grouped_split,
    of_classes,
    random_protocol,
    require_grouped,
    spread,
    teachable,
)
from ml.training.recipes.recipe import Recipe

Sides = tuple[list[Sample], list[Sample]]


def split(recipe: Recipe, samples: Sequence[Sample], seed: int) -> Sides:
    """The samples to learn from and those to validate on; samples marked as test are left out.

    Raises:
        DataError: if a class is missing on a side, or the data folders are not the recipe's.
        LeakingSplit: if a photograph is on both sides or is unknown.
    """
    _require_sources(recipe, samples)
    if recipe.protocol == "random":
        return random_protocol(samples, recipe.classes, seed)
    return _grouped(recipe, samples, seed)


def _grouped(recipe: Recipe, samples: Sequence[Sample], seed: int) -> Sides:
    """Classes of a data folder that has a split called val are checked by it; of the others,
    whole photographs are held out."""
    usable = of_classes(teachable(samples), recipe.classes)
    training: list[Sample] = []
    validation: list[Sample] = []
    for source in sorted({sample.source for sample in usable}):
        remaining, held = _split_source([s for s in usable if s.source == source], recipe, seed)
        training += spread(remaining, recipe.per_class or len(remaining), seed)
        validation += spread(held, recipe.per_class or len(held), seed)
    require_grouped(training, validation)
    _require_classes(recipe, training, "to learn from; add some")
    _require_classes(recipe, validation, "to validate on; add some, or mark photographs as val")
    return training, validation


def _split_source(samples: list[Sample], recipe: Recipe, seed: int) -> Sides:
    """Classes that the set's authors held none of out for validation are split by photographs."""
    held = [sample for sample in samples if sample.split == "val"]
    checked = {sample.label for sample in held}
    remaining = [sample for sample in samples if sample.split != "val" and sample.label in checked]
    rest = [sample for sample in samples if sample.label not in checked]
    if not rest:
        return remaining, held
    more, others = grouped_split(rest, recipe.validation, seed)
    return remaining + more, held + others


def _require_sources(recipe: Recipe, samples: Sequence[Sample]) -> None:
    """A recipe that names its data folders learns from all of them and from no other."""
    wanted, folders = {name for name, _ in recipe.sources}, {sample.source for sample in samples}
    if wanted and wanted != folders:
        raise DataError(
            f"The recipe {recipe.name} learns from {_listed(wanted)}, "
            f"but was given {_listed(folders)}. Give the right folders with --data."
        )


def _require_classes(recipe: Recipe, samples: list[Sample], purpose: str) -> None:
    missing = set(recipe.classes) - {sample.label for sample in samples}
    if missing:
        raise DataError(f"There are no photographs of {_listed(missing)} {purpose}.")


def _listed(names: set[str]) -> str:
    return ", ".join(sorted(names)) or "nothing"
