"""The model card says what was recorded, and that the rest is unknown."""

from __future__ import annotations

import json
import re
from dataclasses import asdict, replace
from pathlib import Path

import pytest

from lexicon.outcomes import Outcome
from lexicon.verdicts import Verdict
from ml.bundle import Bundle, Metadata
from ml.data import Sample
from ml.evaluation.card import CardError, card, read_evaluation
from ml.evaluation.choosing import Choice
from ml.evaluation.evaluate import evaluate
from ml.evaluation.judging import Judged
from ml.reading import Preprocessing

FOUR = ("eosinophil", "lymphocyte", "monocyte", "neutrophil")


@pytest.fixture
def bundle(shipped: Bundle) -> Bundle:
    """A bundle of which everything was recorded; its files do not matter."""
    counted = dict.fromkeys(FOUR, 120)
    metadata = replace(
        shipped.metadata,
        data={
            "sources": ["bccd4", "pbc8"],
            "sha256": "d" * 64,
            "training": counted,
            "validation": counted,
            "few_shot": ["monocyte"],
            "leaking": False,
            "split": {"protocol": "grouped", "share": 0.12, "seed": 0},
        },
        recipe={"name": "wbc4", "passes": 8, "attribution": "BCCD (MIT licence)."},
        trust={
            "temperature": 1.25,
            "coverage": 0.95,
            "accepted": 0.95,
            "gate": "nearest",
            "threshold": 1.4,
            "levels": [
                {
                    "coverage": 0.95,
                    "limits": [0.5] * 8,
                    "pooled": [False, False, True] + 5 * [False],
                }
            ],
            "validation": {"photographs": {**counted, "monocyte": 7}},
        },
    )
    return Bundle(shipped.path, metadata, "e" * 64)


@pytest.mark.parametrize(
    ("facts", "words"),
    [
        ({}, "no: CPU workers run it in float"),
        ({"used": True, "p": 0.4}, "yes: the same class on 98.8 % of 1,200 images"),
        ({"used": False, "p": 0.01}, "no, its answers differ from those in float"),
    ],
)
def test_it_says_how_the_network_answers_in_8_bits(
    bundle: Bundle, facts: dict[str, object], words: str
) -> None:
    counted = {"images": 1200, "agreement": 0.9875, "only_int8": 3, "only_float": 5}
    metadata = replace(bundle.metadata, int8={**counted, **facts} if facts else {})
    assert words in card(replace(bundle, metadata=metadata))


@pytest.fixture
def written(bundle: Bundle, tmp_path: Path) -> Path:
    """An evaluation of that bundle on another laboratory's images, as a file."""
    samples, verdicts = [], []
    for number in range(80):
        label = FOUR[number % 4]
        guess = FOUR[(number + (number % 10 == 0)) % 4]
        shares = tuple(0.93 if name == guess else 0.01 for name in bundle.metadata.classes)
        samples.append(Sample(tmp_path / "none", f"{number}", label, "lab", "", f"{number // 8}"))
        verdicts.append(Verdict(guess, 0.93, Outcome.ACCEPTED, shares))
    judged = Judged(bundle.metadata.classes, tuple(samples), tuple(verdicts))
    for sample in samples:
        sample.path.write_bytes(b"")
    choice = Choice(judged.samples, "whole", {"basophil": 3}, ())
    path = tmp_path / "evaluation.json"
    path.write_text(json.dumps(evaluate(bundle, choice, judged).as_dict()))
    return path


def test_a_card_states_what_it_must_in_any_case(bundle: Bundle, written: Path) -> None:
    text = card(bundle, [read_evaluation(written, bundle)])
    assert "# Model card: wbc8" in text
    assert "Not for diagnostic use without review by a qualified person" in text
    assert "It must not be used for diagnosis without review" in text
    assert "BCCD (MIT licence)." in text
    assert "Learned from few images, so always review: monocyte." in text
    assert "Few validation photographs (under 30): monocyte." in text
    assert "The unit of every interval is the photograph" in text
    assert "e" * 64 in text
    assert "The promise is for all classes together, not for each of these: erythroblast" in text
    assert "whole photographs, a share of 12.0 %, seed 0" in text


def test_an_evaluation_stands_with_intervals_and_units(bundle: Bundle, written: Path) -> None:
    text = card(bundle, [read_evaluation(written, bundle)])
    assert "80 images of lab: the whole set." in text
    assert re.search(r"accuracy 0\.900 \[0\.\d+.0\.\d+\]", text)
    assert "over 10 source groups (photographs)" in text
    assert "Left out: basophil 3." in text
    assert re.search(r"The promised coverage is 95\.0 %. Reached: eosinophil \d", text)
    assert "Evaluated on image sets that it did not learn from: lab." in text
    assert "No score on this card" not in text


def test_a_card_without_evaluations_says_so(bundle: Bundle) -> None:
    text = card(bundle)
    assert "No score on this card comes from a laboratory" in text
    assert "Scores on its validation images" in text


def test_the_shipped_bundle_has_a_card(shipped: Bundle) -> None:
    text = card(shipped)
    assert shipped.digest in text
    tables = [line for line in text.splitlines() if line.startswith("|")]
    assert all(line.endswith(" |") for line in tables)


def test_what_was_not_recorded_is_unknown(shipped: Bundle, tmp_path: Path) -> None:
    metadata = shipped.metadata
    bare = Metadata("bare", "1", metadata.classes, metadata.shape, metadata.architecture)
    text = card(Bundle(tmp_path, bare, "f" * 64))
    for words in (
        "Unknown: none was recorded.",
        "unknown: none were recorded",
        "| image sets | unknown |",
        "the bundle can't tell when it does not know",
    ):
        assert words in text


def test_scores_of_a_leaking_split_are_called_so(bundle: Bundle) -> None:
    scores = {"random_split_that_leaks": bundle.metadata.scores["validation"]}
    data = {**bundle.metadata.data, "leaking": True}
    leaking = replace(bundle, metadata=replace(bundle.metadata, scores=scores, data=data))
    text = card(leaking)
    assert "THESE SCORES SAY NOTHING" in text
    assert "images at random: THIS LEAKS" in text


def test_an_evaluation_of_another_bundle_is_refused(bundle: Bundle, written: Path) -> None:
    other = replace(bundle, digest="0" * 64)
    with pytest.raises(CardError, match="is an evaluation of wbc8"):
        read_evaluation(written, other)


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"digest": "e"}', "null"])
def test_what_is_no_evaluation_is_refused(bundle: Bundle, tmp_path: Path, text: str) -> None:
    path = tmp_path / "other.json"
    path.write_text(text)
    with pytest.raises(CardError, match=r"is no evaluation\. Give an"):
        read_evaluation(path, bundle)


def test_a_missing_evaluation_is_said(bundle: Bundle, tmp_path: Path) -> None:
    with pytest.raises(CardError, match="can't be read"):
        read_evaluation(tmp_path / "none.json", bundle)


def test_an_adapted_bundle_says_what_it_was_adapted_by(bundle: Bundle, written: Path) -> None:
    adapted = {
        "parent": "a" * 64,
        "parent_title": "wbc4 1.0.0 (aaaaaaaaaaaa)",
        "source": "lab",
        "how": "head",
        "learned": {"monocyte": 9},
        "sha256": "b" * 64,
        "held_out": {"monocyte": 30},
        "held_out_sha256": "c" * 64,
        "photographs_known": False,
    }
    part = json.loads(written.read_text())["forced"]
    metadata = replace(
        bundle.metadata,
        data={**bundle.metadata.data, "adapted": adapted},
        scores={"lab_held_out": part},
    )
    text = card(replace(bundle, metadata=metadata))
    assert "Adapted from wbc4 1.0.0 (aaaaaaaaaaaa); way: head." in text
    assert "It learned from 9 labelled crops of lab (monocyte 9); 30 were held out." in text
    assert "crops without labels" not in text
    assert "It is not known which photograph each crop comes from" in text
    assert "## Scores on lab held out" in text
    assert asdict(bundle.metadata)["name"] in text
    alone = {
        **adapted,
        "learned": {},
        "note": "7 taken",
        "without_labels": 1200,
        "without_labels_sha256": "d" * 64,
    }
    metadata = replace(metadata, data={**bundle.metadata.data, "adapted": alone})
    text = card(replace(bundle, metadata=metadata))
    assert "It learned from 1,200 crops without labels, by its own surest answers: 7 taken." in text
    assert "d" * 64 in text
    assert "held out, SHA-256" not in text


@pytest.mark.parametrize(
    ("steps", "words"),
    [
        (Preprocessing(), "the whole image, stretched, "),
        (Preprocessing.located(1.3), "a square round the cell found in the image, "),
        (Preprocessing.located(1.3, span=3.2), "a square of 3.2 red-cell diameters round the cell"),
    ],
)
def test_a_card_says_what_the_network_sees(
    bundle: Bundle, steps: Preprocessing, words: str
) -> None:
    assert words in card(
        replace(bundle, metadata=replace(bundle.metadata, preprocessing=steps)), ()
    )
