"""The training recipes: one small frozen object per file, found by the file's name."""

from __future__ import annotations

import importlib
import pkgutil
from typing import TYPE_CHECKING

from ml.errors import MlError

if TYPE_CHECKING:
    from ml.training.recipes.recipe import Recipe


class UnknownRecipe(MlError):
    """There is no recipe of this name."""


def recipe_names() -> tuple[str, ...]:
    """The recipes there are, in alphabetical order; none of them is loaded."""
    names = (module.name for module in pkgutil.iter_modules(__path__))
    return tuple(sorted(name for name in names if name != "recipe"))


def load_recipe(name: str) -> Recipe:
    """The recipe in the file `name`.py.

    Raises:
        UnknownRecipe: if there is none.
    """
    if name not in recipe_names():
        names = ", ".join(recipe_names())
        raise UnknownRecipe(f"There is no recipe {name!r}; the recipes are {names}.")
    recipe: Recipe = importlib.import_module(f"{__name__}.{name}").RECIPE
    return recipe
