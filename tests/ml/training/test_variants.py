"""Variants of recipes: typed, checked, and never to be taken for the recipe itself."""

from __future__ import annotations

from typing import Any

import pytest

from ml.decoding import InputShape
from ml.training.recipes.recipe import BadChange, Jitter, Recipe, leaking, variant


@pytest.mark.parametrize(
    ("change", "field", "value"),
    [
        ("rate=0.001", "rate", 0.001),
        ("passes=7", "passes", 7),
        ("locate=true", "locate", True),
        ("per_pass=4800", "per_pass", 4800),
        ("per_class=none", "per_class", None),
        ("jitter=none", "jitter", None),
        ("jitter.zoom=0.3", "jitter", Jitter(zoom=0.3)),
        ("shape.height=64", "shape", InputShape(64, 32)),
        ("few_shot=monocyte, neutrophil", "few_shot", ("monocyte", "neutrophil")),
        ('sources=[["bccd4", 1], ["pbc8", 2.5]]', "sources", (("bccd4", 1.0), ("pbc8", 2.5))),
    ],
)
def test_a_change_sets_one_field_with_its_type(
    recipe: Recipe, change: str, field: str, value: Any
) -> None:
    changed = variant(recipe, [change])
    assert getattr(changed, field) == value
    assert type(getattr(changed, field)) is type(value)
    assert changed.changes == (change,)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ("rate", "Write FIELD=VALUE"),
        ("droput=0.1", "'droput' can't be set: the fields of a recipe are architecture, attr"),
        (
            "jitter.smell=0.1",
            "'jitter.smell' can't be set: the fields of jitter are blur, compression",
        ),
        ("stored.height=3", "'stored.height' can't be set: stored has none"),
        ("rate.x=3", "'rate.x' can't be set: rate has none"),
        ("name=mine", "'name' can't be set"),
        ("protocol=random", "'protocol' can't be set"),
        ("passes=many", "passes=many is refused: Input should be a valid integer"),
        ("passes=1.5", r"passes=1\.5 is refused: Input should be a valid integer"),
        ("dropout=1.5", "dropout must be at least 0 and below 1"),
        ("batch=0", "batch must be at least 1"),
        ("few_shot=magic", "few_shot must name classes of the recipe"),
        ("sources=[1", "is not JSON"),
    ],
)
def test_a_bad_change_is_refused_with_a_sentence(recipe: Recipe, change: str, message: str) -> None:
    with pytest.raises(BadChange, match=message):
        variant(recipe, [change])


def test_changes_are_applied_together(recipe: Recipe) -> None:
    changed = variant(recipe, ["locate=true", 'stored={"height": 48, "width": 40}'])
    assert changed.stored == InputShape(48, 40)
    with pytest.raises(BadChange, match="stored needs locate"):
        variant(recipe, ['stored={"height": 48, "width": 40}'])


def test_a_variant_goes_by_a_name_of_its_own(recipe: Recipe) -> None:
    names = {variant(recipe, [change]).name for change in ("rate=0.1", "rate=0.2")}
    assert len(names) == 2
    assert all(name.startswith("tiny-variant-") for name in names)
    assert variant(recipe, []) == recipe


def test_the_order_of_changes_makes_no_other_name(recipe: Recipe) -> None:
    changes = ["rate=0.1", "batch=8"]
    assert variant(recipe, changes).name == variant(recipe, changes[::-1]).name


def test_a_recipe_by_the_leaking_protocol_says_so_in_its_name(recipe: Recipe) -> None:
    assert leaking(recipe).name == "tiny-leaking"
    assert leaking(recipe).protocol == "random"
