"""How often a bundle commits itself, and what it turns away."""

from __future__ import annotations

from dataclasses import replace

import pytest

from lexicon.verdicts import Verdict
from ml.evaluation.outcomes import outcomes, turned_away
from ml.serving import Row
from tests.ml.judgements import judged, said, strange, unsure


def row(prediction: Verdict | None) -> Row:
    return Row("a.png", prediction, "" if prediction else "The file is empty.")


def test_what_became_of_the_images_is_counted() -> None:
    found = outcomes(
        judged(
            ("basophil", said("basophil")),
            ("basophil", said("neutrophil")),
            ("basophil", unsure("neutrophil", "basophil")),
            ("neutrophil", unsure("basophil", "eosinophil")),
            ("neutrophil", strange("neutrophil", 0.0)),
        ),
        "all",
    )
    assert (found.images, found.accepted, found.uncertain, found.unfamiliar) == (5, 2, 2, 1)
    assert found.wrong == 1
    assert found.coverage == pytest.approx(3 / 5)
    assert found.size == pytest.approx(7 / 5)
    assert found.reasons == {"between_classes": 2, "unlike_training": 1}


def test_a_prediction_without_candidates_has_its_best_guess() -> None:
    found = outcomes(judged(("basophil", replace(said("basophil"), candidates=()))), "all")
    assert (found.coverage, found.size) == (1, 1)


def test_unfamiliar_images_are_caught_let_through_or_unreadable() -> None:
    cells = [("basophil", replace(said("basophil"), familiarity=f)) for f in (0.3, 0.6, 0.9)]
    strangers = [strange("basophil", 0.4), strange("basophil", 0.7, "no_cell"), said("basophil")]
    found = turned_away("cats", [*map(row, strangers), row(None)], judged(*cells))
    assert (found.images, found.caught, found.accepted, found.unreadable) == (4, 2, 1, 1)
    assert found.reasons == {"no_cell": 1, "unlike_training": 1}
    assert found.auroc == pytest.approx(5 / 6)


def test_a_bundle_that_says_nothing_of_familiarity_has_no_area() -> None:
    cells = judged(("basophil", said("basophil")))
    assert turned_away("cats", [row(said("basophil"))], cells).auroc is None
