"""Outcomes, reasons and familiarity as people read them."""

from __future__ import annotations

import pytest

from lexicon.outcomes import (
    MARKS,
    REASONS,
    TO_CHECK,
    Outcome,
    advice,
    codes,
    describe,
    familiarity,
    reason,
)

PAIR = ("eosinophil", "neutrophil")


def test_what_needs_a_person_comes_last_in_the_alphabet_and_has_a_mark() -> None:
    assert [*sorted(Outcome)][1:] == [*TO_CHECK] == [*MARKS]
    assert len({mark.sign for mark in MARKS.values()}) == len(MARKS)


@pytest.mark.parametrize(
    ("outcome", "candidates", "code", "words"),
    [
        ("accepted", PAIR[:1], "", "Accepted"),
        ("uncertain", PAIR, "between_classes", "Uncertain: eosinophil or neutrophil"),
        (
            "uncertain",
            (*PAIR, "immature_granulocyte"),
            "between_classes",
            "Uncertain: eosinophil, neutrophil or immature granulocyte",
        ),
        ("uncertain", PAIR[:1], "", "Uncertain: perhaps eosinophil"),
        ("uncertain", PAIR[:1], "several_cells", "Uncertain: several cells, perhaps eosinophil"),
        ("uncertain", (), "several_cells", "Uncertain: several cells"),
        ("uncertain", (), "", "Uncertain"),
        ("unfamiliar", PAIR[:1], "no_cell", "Unfamiliar: no cell found"),
        ("unfamiliar", PAIR[:1], "several_cells", "Unfamiliar: several cells"),
        ("unfamiliar", PAIR, "unlike_training", "Unfamiliar: unlike the training images"),
        ("unfamiliar", PAIR, "out_of_focus", "Unfamiliar: out of focus"),
        ("unfamiliar", PAIR, "", "Unfamiliar"),
    ],
)
def test_an_outcome_is_said_in_words(
    outcome: str, candidates: tuple[str, ...], code: str, words: str
) -> None:
    assert describe(outcome, candidates, code) == words


@pytest.mark.parametrize("code", [*REASONS, "out_of_focus"])
def test_a_reason_is_a_sentence(code: str) -> None:
    sentence = reason(code).sentence
    assert sentence[0].isupper() and sentence.endswith(".")
    assert "_" not in sentence + reason(code).words


def test_a_choice_is_named_by_its_codes_and_a_long_one_is_cut() -> None:
    assert codes(PAIR) == "EO / NE"
    assert codes(("smudge",)) == "SM"
    assert codes((*PAIR, "monocyte", "lymphocyte", "basophil")) == "EO / NE / MO / +2"


@pytest.mark.parametrize(
    ("share", "word", "sentence"),
    [
        (1.0, "Usual", "100 of 100 known cells look at least as unusual."),
        (0.62, "Usual", "62 of 100 known cells look at least as unusual."),
        (0.12, "Less usual", "12 of 100 known cells look at least as unusual."),
        (0.012, "Unusual", "Only 1 of 100 known cells looks at least as unusual."),
        (0.0, "Very unusual", "Hardly any known cell looks as unusual as this one."),
    ],
)
def test_familiarity_is_said_in_words(share: float, word: str, sentence: str) -> None:
    assert (familiarity(share).word, familiarity(share).sentence) == (word, sentence)


@pytest.mark.parametrize(("unfamiliar", "classified"), [(0, 0), (19, 19), (5, 100), (24, 100)])
def test_few_strange_cells_say_nothing_of_a_slide(unfamiliar: int, classified: int) -> None:
    assert advice(unfamiliar, classified) == ""


def test_many_strange_cells_tell_of_another_stain_and_what_to_do() -> None:
    assert advice(1250, 5000).startswith("1,250 of 5,000 cells are unfamiliar.")
    assert "hematovision adapt" in advice(20, 20)
