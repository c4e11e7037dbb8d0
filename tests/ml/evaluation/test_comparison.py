"""Two bundles on the same images."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from ml.data import DataError
from ml.evaluation.comparison import compare, flip_photographs, shared_classes
from ml.evaluation.judging import Judged
from ml.metrics import mcnemar
from tests.ml.judgements import THREE, a_bundle, accepted, judged


def rated(right: str, photographs: list[str | None]) -> Judged:
    """One image a letter, all of neutrophils: r is right, w is wrong."""
    answers = [accepted("neutrophil" if letter == "r" else "basophil") for letter in right]
    return judged(*(("neutrophil", answer) for answer in answers), photographs=photographs)


def test_discordant_images_and_agreement_are_counted(tmp_path: Path) -> None:
    groups: list[str | None] = [str(number) for number in range(10)]
    comparison = compare(
        rated("rrrrrrrrww", groups), rated("rrrrwwwrrw", groups), a_bundle(tmp_path)
    )
    assert (comparison.only_this, comparison.only_other) == (3, 1)
    assert (comparison.accuracy, comparison.other_accuracy) == (0.8, 0.6)
    assert comparison.difference == pytest.approx(0.2)
    assert comparison.agreement == 0.6
    assert comparison.p == mcnemar(3, 1)
    assert comparison.other == "three 1.0.0 (ab12ab12ab12)"
    assert comparison.interval is not None
    assert comparison.interval.low < 0.2 < comparison.interval.high
    assert comparison.interval.units == 10


def test_copies_of_one_photograph_are_not_evidence_each() -> None:
    """Ten images that the other has wrong are worth much, ten copies of one photograph nothing."""
    apart: list[str | None] = [str(number) for number in range(20)]
    copies: list[str | None] = [*("same" for _ in range(10)), *apart[10:]]
    good, bad = "r" * 20, "w" * 10 + "r" * 10
    assert flip_photographs(rated(good, apart), rated(bad, apart)) < 0.01
    assert flip_photographs(rated(good, copies), rated(bad, copies)) == 1


def test_the_flips_come_close_to_the_exact_test_where_every_image_is_a_photograph() -> None:
    apart: list[str | None] = [str(number) for number in range(10)]
    p = flip_photographs(rated("rrrrrrrrww", apart), rated("wwwwwwwwrr", apart))
    assert p == pytest.approx(mcnemar(8, 2), abs=0.02)


def test_equal_bundles_do_not_differ(tmp_path: Path) -> None:
    judged = rated("rrww", ["a", "a", "b", "c"])
    comparison = compare(judged, judged, a_bundle(tmp_path))
    assert (
        comparison.p,
        comparison.p_photographs,
        comparison.agreement,
        comparison.difference,
    ) == (1, 1, 1, 0)


def test_without_photographs_only_the_test_on_images_is_made(tmp_path: Path) -> None:
    judged = rated("rrww", [None] * 4)
    comparison = compare(judged, judged, a_bundle(tmp_path))
    assert comparison.interval is None
    assert comparison.p_photographs is None


def test_classes_that_one_bundle_lacks_are_named(tmp_path: Path) -> None:
    this = rated("rr", ["a", "b"])
    other = replace(this, classes=("eosinophil", "neutrophil", "platelet"))
    assert compare(this, other, a_bundle(tmp_path)).left_out == ("basophil", "platelet")


def test_bundles_without_two_classes_in_common_can_not_be_compared() -> None:
    assert shared_classes(THREE, ("neutrophil", "basophil", "platelet")) == (
        "basophil",
        "neutrophil",
    )
    with pytest.raises(DataError, match="fewer than two classes in common"):
        shared_classes(THREE, ("neutrophil", "platelet"))
