"""Passes over random trees of samples: fair to classes, whole, and the same when resumed."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ml.bundle import Architecture
from ml.data import Labelled, LeakingSplit, Sample
from ml.data.dataset import group_of
from ml.decoding import InputShape
from ml.training.batches import Batches, Plan, one_hot
from ml.training.protocols import split
from ml.training.recipes.recipe import FOUR_CLASSES, Jitter, Recipe

PLAIN = Recipe(
    name="plain",
    version="1",
    classes=FOUR_CLASSES,
    shape=InputShape(16, 16),
    architecture=Architecture(),
    dropout=0.0,
    head_passes=1,
    head_rate=1e-3,
    batch=8,
)


def sample(number: int, label: str, source: str, group: str, part: str = "") -> Sample:
    return Sample(Path(f"{source}/{number}"), f"{number}.png", label, source, part, group)


# Of each image: its class, its data folder and its photograph.
TREES = st.lists(
    st.tuples(st.sampled_from(FOUR_CLASSES), st.sampled_from("xy"), st.integers(0, 9)), max_size=60
).map(
    lambda drawn: [
        sample(number, label, source, f"{label}{group}")
        for number, (label, source, group) in enumerate(
            [*drawn, *((label, "x", group) for label in FOUR_CLASSES for group in (0, 1, 2))]
        )
    ]
)


@settings(max_examples=40, deadline=None)
@given(TREES, st.integers(4, 90), st.integers(0, 9))
def test_every_class_is_drawn_as_often_as_the_others(
    samples: list[Sample], per_pass: int, seed: int
) -> None:
    plan = Plan(samples, replace(PLAIN, per_pass=per_pass), seed)
    drawn = [samples[place].label for place in plan.draws(1)]
    counts = Counter(drawn)
    assert len(drawn) == plan.size == per_pass
    assert set(counts) == set(FOUR_CLASSES)
    assert max(counts.values()) - min(counts.values()) <= 1


@settings(max_examples=40, deadline=None)
@given(TREES, st.integers(0, 9), st.integers(1, 5))
def test_without_a_number_a_pass_is_a_permutation(
    samples: list[Sample], seed: int, number: int
) -> None:
    draws = Plan(samples, PLAIN, seed).draws(number)
    assert sorted(draws.tolist()) == list(range(len(samples)))


@settings(max_examples=40, deadline=None)
@given(TREES, st.integers(1, 4), st.integers(8, 120))
def test_no_image_of_a_few_shot_class_comes_more_often_than_it_may(
    samples: list[Sample], repeat: int, per_pass: int
) -> None:
    recipe = replace(PLAIN, few_shot=("monocyte",), few_shot_repeat=repeat, per_pass=per_pass)
    draws = Plan(samples, recipe, 0).draws(1)
    few = {place for place, entry in enumerate(samples) if entry.label == "monocyte"}
    assert len(draws) == per_pass
    assert sum(place in few for place in draws) <= repeat * len(few)


@settings(max_examples=40, deadline=None)
@given(TREES, st.integers(8, 60))
def test_an_image_comes_again_only_when_all_of_its_photograph_have_come(
    samples: list[Sample], per_pass: int
) -> None:
    times = Counter(Plan(samples, replace(PLAIN, per_pass=per_pass), 0).draws(1).tolist())
    by_photograph: dict[str, list[int]] = {}
    for place, entry in enumerate(samples):
        by_photograph.setdefault(group_of(entry), []).append(times[place])
    for counts in by_photograph.values():
        assert max(counts) - min(counts) <= 1


@pytest.fixture
def labelled() -> Labelled:
    """24 images of noise with some room round the network's input."""
    samples = tuple(sample(n, FOUR_CLASSES[n % 4], "x", str(n // 4)) for n in range(24))
    images = np.random.default_rng(0).integers(0, 256, (24, 20, 20, 3), np.uint8)
    return Labelled(samples, images, np.arange(24, dtype=np.int64) % 4)


def test_a_resumed_pass_is_that_of_a_run_that_never_stopped(labelled: Labelled) -> None:
    recipe = replace(PLAIN, jitter=Jitter(), mix=0.5, per_pass=20)
    unbroken = Batches(labelled, recipe, 7, threads=2)
    passes = [list(unbroken.of_pass(number)) for number in (1, 2, 3)]
    resumed = list(Batches(labelled, recipe, 7, threads=1).of_pass(3))
    assert len(resumed) == len(passes[2]) == 3
    for (images, labels), (images_, labels_) in zip(passes[2], resumed, strict=True):
        assert np.array_equal(images, images_)
        assert np.array_equal(labels, labels_)


def test_another_seed_draws_and_changes_otherwise(labelled: Labelled) -> None:
    recipe = replace(PLAIN, jitter=Jitter())
    one, other = (next(Batches(labelled, recipe, seed, 1).of_pass(1))[0] for seed in (0, 1))
    assert not np.array_equal(one, other)


def test_the_same_image_drawn_twice_is_changed_in_two_ways() -> None:
    samples = tuple(sample(n, label, "x", str(n)) for n, label in enumerate(FOUR_CLASSES))
    images = np.random.default_rng(0).integers(0, 256, (4, 16, 16, 3), np.uint8)
    data = Labelled(samples, images, np.arange(4))
    recipe = replace(PLAIN, jitter=Jitter(), per_pass=8)
    ((drawn, labels),) = Batches(data, recipe, 0, threads=1).of_pass(1)
    for number in range(4):
        first, second = drawn[labels.argmax(axis=1) == number]
        assert not np.array_equal(first, second)


@given(st.lists(st.integers(0, 5), max_size=30))
def test_a_label_has_its_one_where_its_class_is(numbers: list[int]) -> None:
    rows = one_hot(np.array(numbers, np.int64), 6)
    assert rows.shape == (len(numbers), 6)
    assert rows.argmax(axis=1).tolist() == numbers
    assert rows.sum() == len(numbers)


# Photographs of several classes, some in a split of their authors' choosing, beside enough that
# are of one class and in none.
MIXED = st.lists(
    st.tuples(
        st.sampled_from(FOUR_CLASSES),
        st.sampled_from("xy"),
        st.integers(0, 14),
        st.sampled_from(["", "train", "test"]),
    ),
    max_size=60,
)


@settings(max_examples=60, deadline=None)
@given(MIXED, st.booleans(), st.integers(0, 5))
def test_no_split_of_any_tree_has_a_photograph_on_both_sides(
    drawn: list[tuple[str, str, int, str]], marked: bool, seed: int
) -> None:
    samples = [
        sample(number, label, source, str(group), part)
        for number, (label, source, group, part) in enumerate(drawn)
    ]
    for label in FOUR_CLASSES:
        for group in range(3):
            part = "val" if marked and not group else ""
            samples.append(sample(len(samples), label, "x", f"{label} {group}", part))
    training, validation = split(PLAIN, [s for s in samples if s.source == "x"], seed)
    assert not {group_of(s) for s in training} & {group_of(s) for s in validation}
    assert "test" not in {s.split for s in [*training, *validation]}
    assert "val" not in {s.split for s in training}
    assert {s.label for s in training} == {s.label for s in validation} == set(FOUR_CLASSES)


def test_a_photograph_that_its_authors_cut_is_refused_and_not_taken_apart() -> None:
    whole = [sample(n, label, "x", f"{label} {part}", part)
             for n, (label, part) in enumerate((label, part) for label in FOUR_CLASSES
                                               for part in ("train", "val"))]  # fmt: skip
    assert len(split(PLAIN, whole, 0)[0]) == 4
    cut = sample(99, "monocyte", "x", "monocyte val", "train")
    with pytest.raises(LeakingSplit, match="1 photographs are on both sides"):
        split(PLAIN, [*whole, cut], 0)


@settings(max_examples=40, deadline=None)
@given(TREES, st.integers(0, 5), st.integers(1, 20))
def test_a_tree_of_whole_photographs_is_always_split_and_each_image_used_once(
    samples: list[Sample], seed: int, per_class: int
) -> None:
    alone = [entry for entry in samples if entry.source == "x"]
    training, validation = split(PLAIN, alone, seed)
    assert Counter(training) + Counter(validation) == Counter(alone)
    capped, _ = split(replace(PLAIN, per_class=per_class), alone, seed)
    available = Counter(entry.label for entry in training)
    assert Counter(entry.label for entry in capped) == {
        label: min(per_class, count) for label, count in available.items()
    }


@settings(max_examples=30, deadline=None)
@given(TREES, st.integers(0, 5))
def test_the_order_of_the_files_changes_no_split(samples: list[Sample], seed: int) -> None:
    alone = [entry for entry in samples if entry.source == "x"]
    once, again = split(PLAIN, alone, seed), split(PLAIN, alone[::-1], seed)
    for one, other in zip(once, again, strict=True):
        assert {entry.file for entry in one} == {entry.file for entry in other}


@pytest.mark.parametrize(
    ("field", "value", "message"),
    [
        ("dropout", 1.0, "dropout must be at least 0 and below 1"),
        ("validation", -0.1, "validation must be at least 0 and below 1"),
        ("average", 1.0, "average must be at least 0 and below 1"),
        ("smoothing", 1.5, "smoothing must be at least 0 and below 1"),
        ("mix", 1.1, "mix must be from 0 to 1"),
        ("doubt", -1, "doubt must be from 0 to 1"),
        ("style", 2, "style must be from 0 to 1"),
        ("rest", -0.5, "rest must be from 0 to 1"),
        ("per_pass", 0, "per_pass must be at least 1"),
        ("few_shot_repeat", 0, "few_shot_repeat must be at least 1"),
        ("passes", -1, "passes must not be negative"),
        ("head_rate", -1e-3, "head_rate must not be negative"),
        ("stored", InputShape(20, 20), "stored needs locate"),
        ("few_shot", ("basophil",), "few_shot must name classes of the recipe"),
        ("sources", (("x", 0.0),), "weights of sources must be above 0"),
    ],
)
def test_a_recipe_out_of_range_is_never_made(field: str, value: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        replace(PLAIN, **{field: value})


def test_the_ends_of_the_ranges_are_allowed() -> None:
    ends = replace(PLAIN, dropout=0.0, mix=1.0, doubt=1.0, rest=0.0, batch=1, per_class=None)
    assert (ends.mix, ends.batch) == (1.0, 1)
