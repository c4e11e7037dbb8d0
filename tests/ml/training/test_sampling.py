"""Which images a pass draws: balanced, spread, and the same again for the same seed."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ml.data import Sample
from ml.training.batches import Plan, in_turn, shared_out
from ml.training.recipes.recipe import Recipe


def sample(label: str, source: str, group: str | None, copy: int = 0) -> Sample:
    file = f"{label}/{group}-{copy}.png"
    return Sample(Path(file), file, label, source, "train", group)


@pytest.fixture
def samples() -> list[Sample]:
    """Eosinophils from two folders, one of them large; 4 photographs of lymphocytes, one of them
    with 40 copies; 3 monocytes; 30 neutrophils."""
    return [
        *(sample("eosinophil", "bccd4", f"e{n}") for n in range(200)),
        *(sample("eosinophil", "pbc8", f"e{n}") for n in range(20)),
        *(sample("lymphocyte", "bccd4", "copied", copy) for copy in range(40)),
        *(sample("lymphocyte", "bccd4", f"l{n}") for n in range(3)),
        *(sample("monocyte", "pbc8", f"m{n}") for n in range(3)),
        *(sample("neutrophil", "bccd4", f"n{n}") for n in range(30)),
    ]


def drawn(samples: list[Sample], recipe: Recipe, number: int = 1, seed: int = 0) -> list[Sample]:
    return [samples[index] for index in Plan(samples, recipe, seed).draws(number)]


def test_every_class_is_drawn_equally_often(samples: list[Sample], recipe: Recipe) -> None:
    counted = Counter(s.label for s in drawn(samples, replace(recipe, per_pass=400)))
    assert counted == dict.fromkeys(recipe.classes, 100)


def test_a_class_is_drawn_from_its_folders_equally_often(
    samples: list[Sample], recipe: Recipe
) -> None:
    chosen = drawn(samples, replace(recipe, per_pass=400))
    counted = Counter(s.source for s in chosen if s.label == "eosinophil")
    assert counted == {"bccd4": 50, "pbc8": 50}


def test_a_folder_is_drawn_by_its_weight(samples: list[Sample], recipe: Recipe) -> None:
    weighed = replace(recipe, per_pass=400, sources=(("bccd4", 1.0), ("pbc8", 3.0)))
    counted = Counter(s.source for s in drawn(samples, weighed) if s.label == "eosinophil")
    assert counted == {"bccd4": 25, "pbc8": 75}


def test_a_photograph_with_many_copies_is_drawn_no_more_than_others(
    samples: list[Sample], recipe: Recipe
) -> None:
    chosen = drawn(samples, replace(recipe, per_pass=160))
    counted = Counter(s.group for s in chosen if s.label == "lymphocyte")
    assert counted == {"copied": 10, "l0": 10, "l1": 10, "l2": 10}


def test_a_few_shot_class_is_repeated_no_more_than_it_may(
    samples: list[Sample], recipe: Recipe
) -> None:
    few = replace(recipe, per_pass=400, few_shot=("monocyte",), few_shot_repeat=5)
    chosen = drawn(samples, few)
    counted = Counter(s.label for s in chosen)
    assert len(chosen) == 400
    assert counted["monocyte"] == 15
    assert sorted(counted.values())[1:] == [128, 128, 129]
    assert set(Counter(s.file for s in chosen if s.label == "monocyte").values()) == {5}


def test_without_a_number_a_pass_takes_every_image_once(
    samples: list[Sample], recipe: Recipe
) -> None:
    few = replace(recipe, few_shot=("monocyte",), few_shot_repeat=5)
    counted = Counter(id(s) for s in drawn(samples, few))
    times = Counter((s.label == "monocyte", counted[id(s)]) for s in samples)
    assert times == {(False, 1): len(samples) - 3, (True, 5): 3}


def test_the_same_seed_and_pass_draw_the_same_and_others_differ(
    samples: list[Sample], recipe: Recipe
) -> None:
    balanced = replace(recipe, per_pass=100)
    first = drawn(samples, balanced, 1, 0)
    assert drawn(samples, balanced, 1, 0) == first
    assert drawn(samples, balanced, 2, 0) != first
    assert drawn(samples, balanced, 1, 1) != first


def test_images_of_unknown_photographs_are_photographs_of_their_own(recipe: Recipe) -> None:
    samples = [sample(label, "a", None, copy) for label in recipe.classes for copy in range(3)]
    chosen = drawn(samples, replace(recipe, per_pass=12))
    assert Counter(s.file for s in chosen) == {s.file: 1 for s in samples}


@given(
    st.integers(0, 1000),
    st.dictionaries(st.text(max_size=3), st.floats(0.01, 100), min_size=1, max_size=8),
)
def test_shares_add_up_and_follow_the_weights(total: int, weights: dict[str, float]) -> None:
    shares = shared_out(total, weights)
    assert sum(shares.values()) == total
    for name, weight in weights.items():
        assert abs(shares[name] - total * weight / sum(weights.values())) < 1


@given(st.lists(st.integers(1, 6), min_size=1, max_size=6), st.integers(0, 60))
def test_taking_turns_is_even_over_photographs_and_their_images(
    sizes: list[int], count: int
) -> None:
    photographs = {f"{n}": [100 * n + image for image in range(m)] for n, m in enumerate(sizes)}
    images = in_turn(photographs, count, np.random.default_rng(0))
    assert len(images) == count
    by_photograph = [sum(image // 100 == n for image in images) for n in range(len(sizes))]
    assert max(by_photograph) - min(by_photograph) <= 1
    for members in photographs.values():
        times = [images.count(image) for image in members]
        assert max(times) - min(times) <= 1
