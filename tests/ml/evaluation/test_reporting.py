"""An evaluation as text, JSON, page and table."""

from __future__ import annotations

import csv
import json
import re
from collections.abc import Callable
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path

import pytest

from lexicon.verdicts import Box
from ml.evaluation.choosing import Choice
from ml.evaluation.comparison import compare
from ml.evaluation.evaluate import LEAK_WARNING, Evaluation, evaluate
from ml.evaluation.judging import Judged
from ml.evaluation.outcomes import turned_away
from ml.evaluation.report.files import as_json, as_text, write_predictions, write_report
from ml.evaluation.report.page import as_page
from ml.evaluation.report.parts import DASH, percent
from ml.serving import Row
from ml.trust.conformal import ClassCoverage
from tests.ml.judgements import a_bundle, accepted, judged, strange, unsure

COLOURS = {"basophil": "#CC79A7", "eosinophil": "#D55E00", "neutrophil": "#0072B2"}


@pytest.fixture
def cells(tmp_path: Path) -> Judged:
    """Twenty-four neutrophils, four of them wrong, four eosinophils and two basophils, one image a
    photograph; one of the eosinophils is uncertain and one of the basophils unfamiliar."""
    pairs = [
        ("neutrophil", accepted("neutrophil" if number % 6 else "basophil")) for number in range(24)
    ]
    pairs += [("eosinophil", accepted("eosinophil")) for _ in range(3)]
    pairs += [("eosinophil", unsure("eosinophil", "neutrophil"))]
    pairs += [("basophil", accepted("basophil")), ("basophil", strange("neutrophil", 0.01))]
    thirty = judged(*pairs)
    file = tmp_path / "cell.png"
    file.write_bytes(b"a cell")
    return replace(thirty, samples=tuple(replace(sample, path=file) for sample in thirty.samples))


Told = Callable[..., Evaluation]


@pytest.fixture
def told(cells: Judged, tmp_path: Path) -> Told:
    """Evaluates the cells, or others, as they were chosen."""

    def run(split: str = "shipped", of: Judged = cells, **facts: object) -> Evaluation:
        choice = Choice(of.samples, split, {"platelet": 7}, ("monocyte",))
        return replace(evaluate(a_bundle(tmp_path), choice, of), **facts)  # type: ignore[arg-type]

    return run


class Reader(HTMLParser):
    """Reads a page, and fails where a tag is not closed."""

    EMPTY = ("meta", "br", "!doctype")

    def __init__(self, page: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.seen: list[str] = []
        self.feed(page)
        assert not self.open, self.open

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Remember what is open."""
        self.seen.append(tag)
        if tag not in self.EMPTY:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """An element that holds nothing is closed at once."""
        self.seen.append(tag)

    def handle_endtag(self, tag: str) -> None:
        """What is closed must be what was opened last."""
        assert self.open.pop() == tag


def test_the_text_gives_each_class_with_its_intervals(told: Told) -> None:
    text = as_text(told())
    assert text.startswith("three 1.0.0 (ab12ab12ab12) on set, shipped split: 30 images")
    rows = [line.split() for line in text.splitlines()]
    neutrophil = next(row for row in rows if row[:1] == ["neutrophil"])
    assert neutrophil[1] == "0.952"
    assert neutrophil[3] == "0.833"
    assert re.fullmatch(rf"\[0\.\d+{DASH}0\.\d+\]", neutrophil[4])
    assert neutrophil[-1] == "24"
    assert "by resampling 30 photographs" in text


def test_few_shot_classes_stand_apart_and_few_images_are_marked(told: Told) -> None:
    text = as_text(told())
    large, few = text.split("Classes with few training images")
    assert "eosinophil*" in large
    assert "neutrophil " in large
    assert "basophil*" in few.split("*", 1)[0] + "*"
    assert "fewer than 20 images" in few
    assert "large classes      28" in text


def test_what_was_not_judged_is_said(told: Told) -> None:
    text = as_text(told())
    assert "does not know these classes: platelet 7." in text
    assert "the set has no images of these classes: monocyte." in text


def test_a_leaking_split_is_shouted_at_both_ends(told: Told) -> None:
    leaking = told("random")
    text = as_text(leaking)
    assert text.startswith(LEAK_WARNING)
    assert text.rstrip().endswith(LEAK_WARNING)
    assert as_page(leaking, COLOURS).count(LEAK_WARNING) == 2


def test_without_photographs_it_is_said_how_to_find_them(told: Told, cells: Judged) -> None:
    samples = tuple(replace(sample, group=None) for sample in cells.samples)
    text = as_text(told(of=replace(cells, samples=samples)))
    assert "--find-groups" in text
    assert "[" not in text


def test_the_matrix_has_counts_and_shares_of_each_row(told: Told) -> None:
    rows = [line.split() for line in as_text(told()).splitlines()]
    neutrophil = next(row for row in rows if row[:2] == ["NE", "neutrophil"])
    assert neutrophil[2:] == ["4", "16.7%", "·", "20", "83.3%", "24"]


def test_outcomes_are_told_by_class(told: Told) -> None:
    rows = [line.split() for line in as_text(told()).splitlines()]
    everything = next(row for row in rows if row[0:2] == ["all", "30"])
    shares = "93.3 % 3.3 % 3.3 % 14.3 % 83.3 % 1.03"
    assert " ".join(everything[2:]) == shares


def test_a_promise_of_coverage_is_told_beside_what_was_kept_of_it(told: Told) -> None:
    reached = (ClassCoverage("neutrophil", 24, 0.9375, 1.05),)
    text = as_text(told(promised=0.95, promise=reached))
    assert "sets that include the true class for 95.0 %" in " ".join(text.split())
    assert "neutrophil      24         93.8 %             1.05" in text
    assert "promises" not in as_text(told())


def test_the_json_holds_all_numbers(told: Told) -> None:
    document = json.loads(as_json(told()))
    assert document["forced"]["scores"]["classes"][2]["support"] == 24
    assert document["forced"]["intervals"]["accuracy"]["units"] == 30
    assert document["accepted"]["images"] == 28
    assert document["outcomes"][0]["reasons"] == {"between_classes": 1, "unlike_training": 1}
    assert document["workload"][0]["rule"] == "outcome"
    assert sum(part["images"] for part in document["confidence"]["bins"]) == 30
    assert len(document["data"]) == 64


def test_the_page_holds_all_it_needs(told: Told, cells: Judged, tmp_path: Path) -> None:
    strangers = [Row("cat.jpg", strange("neutrophil", 0.0)), Row("dog.jpg", None, "The file …")]
    evaluation = told(
        comparison=compare(cells, cells, a_bundle(tmp_path)),
        unfamiliar=(turned_away("pets", strangers, cells),),
    )
    page = as_page(evaluation, COLOURS)
    seen = Reader(page).seen
    assert seen.count("svg") == 2
    assert "script" not in seen
    assert not re.search(r'(src|href)="(?!#)', page)
    assert "url(http" not in page
    for words in ("Confusion matrix", "Outcomes", "Workload against error", "Unfamiliar images"):
        assert f"<h2>{words}</h2>" in page
    assert ".chip-basophil{--class:#CC79A7}" in page
    assert "Not for diagnostic use" in page


def test_pictures_on_the_page_share_no_ids_and_take_its_colours(told: Told) -> None:
    page = as_page(told(), COLOURS)
    ids = re.findall(r'id="([^"]+)"', page)
    assert len(ids) == len(set(ids)) > 10
    used = re.findall(r'(?:href="#|url\(#)([^")]+)', page)
    assert used
    assert set(used) <= set(ids)
    assert "var(--accent)" in page
    assert "#040404" not in page


def test_names_on_the_page_can_not_break_it(told: Told) -> None:
    evaluation = told(sources=("<b>set</b>",), by_source={}, model="<i>")
    page = as_page(evaluation, COLOURS)
    assert "<b>" not in page
    assert "&lt;b&gt;set&lt;/b&gt;" in page


def test_the_same_evaluation_makes_the_same_page(told: Told) -> None:
    assert as_page(told(), COLOURS) == as_page(told(), COLOURS)


def test_the_report_is_written_whole(told: Told, tmp_path: Path) -> None:
    write_report(told(), tmp_path / "a" / "out", COLOURS)
    names = sorted(path.name for path in (tmp_path / "a" / "out").iterdir())
    assert names == ["evaluation.html", "evaluation.json", "evaluation.txt"]


def test_the_table_has_a_row_an_image(cells: Judged, tmp_path: Path) -> None:
    boxed = replace(cells.verdicts[-1], box=Box(0.1, 0.2, 0.5, 0.75))
    samples = (*cells.samples[:-1], replace(cells.samples[-1], file="=1+1.png"))
    write_predictions(
        replace(cells, samples=samples, verdicts=(*cells.verdicts[:-1], boxed)), tmp_path
    )
    with (tmp_path / "predictions.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == 30
    last, unsure_ = rows[-1], rows[27]
    assert (last["file"], last["source"], last["truth"]) == ("'=1+1.png", "set", "basophil")
    assert (last["class"], last["right"], last["outcome"]) == ("neutrophil", "no", "unfamiliar")
    assert (last["reason"], last["familiarity"]) == ("unlike_training", "0.0100")
    assert last["box"] == "0.1000 0.2000 0.5000 0.7500"
    assert last["probability_basophil"] == "0.300000"
    assert unsure_["candidates"] == "eosinophil | neutrophil"
    assert unsure_["familiarity"] == unsure_["box"] == ""


def test_a_share_of_nothing_is_a_dash() -> None:
    assert percent(0, 0) == DASH
    assert percent(1, 8) == "12.5 %"
