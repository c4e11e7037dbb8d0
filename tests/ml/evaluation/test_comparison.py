"""Two bundles on the same images."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ml.data import DataError
from ml.evaluation.comparison import compare, flip_photographs, shared_classes
from ml.evaluation.judging import Judged
from ml.metrics import mcnemar
from tests.ml.judgements import THREE, a_bundle, judged, said


def rated(right: str, photographs: list[str | None]) -> Judged:
    """One image a letter, all of neutrophils: r is right, w is wrong."""
    answers = [said("neutrophil" if letter == "r" else "basophil") for letter in right]
    return judged(*(("neutrophil", answer) for answer in answers), photographs=photographs)


def test_mcnemar_is_the_two_sided_binomial_test() -> None:
    """2 · (1 + 10 + 45) / 1,024; of 6 against 0, 2 / 64; a tie is no evidence at all."""
    assert mcnemar(2, 8) == pytest.approx(112 / 1024)
    assert mcnemar(6, 0) == 2 / 64
    assert mcnemar(5, 5) == 1
    assert mcnemar(0, 0) == 1


@given(st.integers(0, 60), st.integers(0, 60))
def test_mcnemar_does_not_care_which_bundle_comes_first(b: int, c: int) -> None:
    assert 0 < mcnemar(b, c) == mcnemar(c, b) <= 1


def test_mcnemar_takes_many_images() -> None:
    assert mcnemar(4000, 6000) < 1e-80


def test_discordant_images_and_agreement_are_counted(tmp_path: Path) -> None:
    groups: list[str | None] = [str(place) for place in range(10)]
    found = compare(rated("rrrrrrrrww", groups), rated("rrrrwwwrrw", groups), a_bundle(tmp_path))
    assert (found.only_this, found.only_other) == (3, 1)
    assert (found.accuracy, found.other_accuracy) == (0.8, 0.6)
    assert found.difference == pytest.approx(0.2)
    assert found.agreement == 0.6
    assert found.p == mcnemar(3, 1)
    assert found.other == "three 1.0.0 (ab12ab12ab12)"
    assert found.interval is not None
    assert found.interval.low < 0.2 < found.interval.high
    assert found.interval.units == 10


def test_copies_of_one_photograph_are_not_evidence_each() -> None:
    """Ten images that the other has wrong are worth much, ten copies of one photograph nothing."""
    apart: list[str | None] = [str(place) for place in range(20)]
    copies: list[str | None] = [*("same" for _ in range(10)), *apart[10:]]
    good, bad = "r" * 20, "w" * 10 + "r" * 10
    assert flip_photographs(rated(good, apart), rated(bad, apart)) < 0.01
    assert flip_photographs(rated(good, copies), rated(bad, copies)) == 1


def test_the_flips_come_close_to_the_exact_test_where_every_image_is_a_photograph() -> None:
    apart: list[str | None] = [str(place) for place in range(10)]
    found = flip_photographs(rated("rrrrrrrrww", apart), rated("wwwwwwwwrr", apart))
    assert found == pytest.approx(mcnemar(8, 2), abs=0.02)


def test_equal_bundles_do_not_differ(tmp_path: Path) -> None:
    one = rated("rrww", ["a", "a", "b", "c"])
    found = compare(one, one, a_bundle(tmp_path))
    assert (found.p, found.p_photographs, found.agreement, found.difference) == (1, 1, 1, 0)


def test_without_photographs_only_the_test_on_images_is_made(tmp_path: Path) -> None:
    one = rated("rrww", [None] * 4)
    found = compare(one, one, a_bundle(tmp_path))
    assert found.interval is None
    assert found.p_photographs is None


def test_classes_that_one_bundle_lacks_are_named(tmp_path: Path) -> None:
    one = rated("rr", ["a", "b"])
    other = replace(one, classes=("eosinophil", "neutrophil", "platelet"))
    assert compare(one, other, a_bundle(tmp_path)).left_out == ("basophil", "platelet")


def test_bundles_without_two_classes_in_common_can_not_be_compared() -> None:
    assert shared_classes(THREE, ("neutrophil", "basophil", "platelet")) == (
        "basophil",
        "neutrophil",
    )
    with pytest.raises(DataError, match="fewer than two classes in common"):
        shared_classes(THREE, ("neutrophil", "platelet"))
