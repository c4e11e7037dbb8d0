"""How often a bundle commits itself, and what it turns away."""

from __future__ import annotations

from dataclasses import replace

import pytest

from lexicon.verdicts import Verdict
from ml.evaluation.outcomes import outcomes, turned_away
from ml.serving import Row
from tests.ml.judgements import accepted, judged, strange, unsure


def row(verdict: Verdict | None) -> Row:
    return Row("a.png", verdict, "" if verdict else "The file is empty.")


def test_what_became_of_the_images_is_counted() -> None:
    counted = outcomes(
        judged(
            ("basophil", accepted("basophil")),
            ("basophil", accepted("neutrophil")),
            ("basophil", unsure("neutrophil", "basophil")),
            ("neutrophil", unsure("basophil", "eosinophil")),
            ("neutrophil", strange("neutrophil", 0.0)),
        ),
        "all",
    )
    assert (counted.images, counted.accepted, counted.uncertain, counted.unfamiliar) == (5, 2, 2, 1)
    assert counted.wrong == 1
    assert counted.coverage == pytest.approx(3 / 5)
    assert counted.size == pytest.approx(7 / 5)
    assert counted.reasons == {"between_classes": 2, "unlike_training": 1}


def test_a_prediction_without_candidates_has_its_best_guess() -> None:
    counted = outcomes(judged(("basophil", replace(accepted("basophil"), candidates=()))), "all")
    assert (counted.coverage, counted.size) == (1, 1)


def test_unfamiliar_images_are_caught_let_through_or_unreadable() -> None:
    cells = [("basophil", replace(accepted("basophil"), familiarity=f)) for f in (0.3, 0.6, 0.9)]
    strangers = [
        strange("basophil", 0.4),
        strange("basophil", 0.7, "no_cell"),
        accepted("basophil"),
    ]
    away = turned_away("cats", [*map(row, strangers), row(None)], judged(*cells))
    assert (away.images, away.caught, away.accepted, away.unreadable) == (4, 2, 1, 1)
    assert away.reasons == {"no_cell": 1, "unlike_training": 1}
    assert away.auroc == pytest.approx(5 / 6)


def test_a_bundle_that_says_nothing_of_familiarity_has_no_area() -> None:
    cells = judged(("basophil", accepted("basophil")))
    assert turned_away("cats", [row(accepted("basophil"))], cells).auroc is None
