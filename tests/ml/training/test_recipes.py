"""Recipes are found by name, frozen, and strict about their keys."""

from __future__ import annotations

import json
from dataclasses import FrozenInstanceError, asdict, replace
from typing import Any

import pytest

from ml.bundle import Bundle
from ml.training.recipes import UnknownRecipe, load_recipe, recipe_names
from ml.training.recipes.recipe import FOUR_CLASSES


def test_the_recipes_are_the_files_of_the_folder() -> None:
    assert recipe_names() == ("baseline", "wbc4", "wbc8")


@pytest.mark.parametrize("name", recipe_names())
def test_each_recipe_goes_by_its_files_name(name: str) -> None:
    assert load_recipe(name).name == name


def test_an_unknown_recipe_is_refused_with_the_known_ones() -> None:
    with pytest.raises(UnknownRecipe, match="the recipes are baseline, wbc4, wbc8"):
        load_recipe("recipe")


def test_a_recipe_can_not_be_changed() -> None:
    with pytest.raises(FrozenInstanceError):
        load_recipe("wbc4").rate = 1.0  # type: ignore[misc]


def test_the_baseline_is_the_missions_own() -> None:
    baseline = load_recipe("baseline")
    assert baseline.classes == FOUR_CLASSES
    assert baseline.passes == 0
    assert baseline.protocol == "grouped"
    assert not baseline.architecture.pooled
    assert (baseline.shape.height, baseline.shape.width) == (224, 224)


def test_an_unknown_key_is_an_error() -> None:
    values: dict[str, Any] = {"droput": 0.1}
    with pytest.raises(TypeError, match="droput"):
        replace(load_recipe("wbc4"), **values)


def test_the_bundle_that_ships_was_trained_by_the_recipe_as_it_stands(shipped: Bundle) -> None:
    recorded = {key: value for key, value in shipped.metadata.recipe.items() if key != "seed"}
    assert recorded == json.loads(json.dumps(asdict(load_recipe("wbc8"))))


def test_what_ships_was_learned_from_sets_whose_licences_allow_it(shipped: Bundle) -> None:
    assert shipped.metadata.data["sources"] == ["bccd4", "pbc8"]
    for name in ("wbc4", "wbc8"):
        assert {source for source, _ in load_recipe(name).sources} == {"bccd4", "pbc8"}
