"""Which images are learned from and which are checked by."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from pathlib import Path

import pytest

from ml.data import DataError, LeakingSplit, Sample, read_folder
from ml.data.dataset import group_of, random_protocol
from ml.training.protocols import split
from ml.training.recipes.recipe import Recipe, leaking


def made(
    labels: tuple[str, ...], groups: int = 4, split: str = "", source: str = "a"
) -> list[Sample]:
    """Two copies of each of so many photographs of each class."""
    return [
        Sample(
            Path(f"{label}-{n}-{copy}"),
            f"{label}-{n}-{copy}",
            label,
            source,
            split,
            f"{split}{label}{n}",
        )
        for label in labels
        for n in range(groups)
        for copy in range(2)
    ]


def test_no_photograph_is_both_learned_from_and_checked_by(
    bccd4: list[Sample], data: Path, recipe: Recipe
) -> None:
    training, validation = split(recipe, [*bccd4, *read_folder(data / "pbc8")], seed=0)
    assert not {group_of(s) for s in training} & {group_of(s) for s in validation}
    assert {s.split for s in training} == {"train"}
    assert {s.split for s in validation} == {"train", "val"}
    assert {s.label for s in training} == {s.label for s in validation} == set(recipe.classes)


def test_images_of_unknown_photographs_are_not_trained_on(recipe: Recipe) -> None:
    samples = [replace(sample, group=None) for sample in made(recipe.classes)]
    with pytest.raises(LeakingSplit, match="not known which photograph"):
        split(recipe, samples, seed=0)


def test_a_recipe_that_names_its_folders_takes_those_and_no_other(recipe: Recipe) -> None:
    bound = replace(recipe, sources=(("a", 1.0), ("b", 1.0)))
    here, there = made(recipe.classes), made(recipe.classes, source="b")
    assert len(split(bound, here + there, seed=0)[0]) > 0
    with pytest.raises(DataError, match="tiny learns from a, b, but was given a"):
        split(bound, here, seed=0)
    with pytest.raises(DataError, match="but was given a, b, c"):
        split(bound, here + there + made(recipe.classes, source="c"), seed=0)


def test_a_class_that_the_set_holds_none_of_out_is_split_by_photographs(recipe: Recipe) -> None:
    samples = made(recipe.classes) + made(recipe.classes[1:], split="val")
    training, validation = split(recipe, samples, seed=0)
    for side in (training, validation):
        assert {sample.label for sample in side} == set(recipe.classes)
    held = [sample for sample in validation if sample.label == "eosinophil"]
    assert not {s.group for s in held} & {s.group for s in training if s.label == "eosinophil"}
    assert all(sample.split == "val" for sample in validation if sample.label != "eosinophil")


def test_a_class_that_is_only_checked_by_is_named(recipe: Recipe) -> None:
    samples = made(recipe.classes[1:]) + made(recipe.classes, split="val")
    with pytest.raises(DataError, match=r"no photographs of eosinophil to learn from"):
        split(recipe, samples, seed=0)


def test_a_class_of_one_photograph_is_named(recipe: Recipe) -> None:
    samples = made(recipe.classes[1:]) + made(recipe.classes[:1], groups=1)
    with pytest.raises(DataError, match="All images of eosinophil come from one photograph"):
        split(recipe, samples, seed=0)


def test_the_random_protocol_is_the_published_one(bccd4: list[Sample], recipe: Recipe) -> None:
    training, held = split(leaking(recipe), bccd4, seed=0)
    assert Counter(s.label for s in held) == {
        "eosinophil": 749,
        "lymphocyte": 745,
        "monocyte": 743,
        "neutrophil": 750,
    }
    assert len(training) + len(held) == 9957
    assert {group_of(s) for s in training} & {group_of(s) for s in held}


def test_the_random_protocol_leaves_the_test_images_unseen(bccd4: list[Sample]) -> None:
    classes = tuple(sorted({s.label for s in bccd4}))
    training, held = random_protocol(bccd4, classes, seed=0)
    judged = {group_of(s) for s in bccd4 if s.split == "test"}
    assert not judged & {group_of(s) for s in [*training, *held]}


def test_the_random_protocol_holds_the_same_images_out_again(recipe: Recipe) -> None:
    samples = made(recipe.classes, groups=20)
    assert random_protocol(samples, recipe.classes, 1) == random_protocol(
        samples, recipe.classes, 1
    )
    assert random_protocol(samples, recipe.classes, 1) != random_protocol(
        samples, recipe.classes, 2
    )
