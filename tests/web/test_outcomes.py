"""Accepted, uncertain, unfamiliar: in the API, on the pages, in the gallery's bins and order."""

from __future__ import annotations

import re

import pytest

from core import jobs
from core.db import Database
from core.tables import Model
from lexicon.outcomes import Outcome
from lexicon.verdicts import Verdict
from tests.web.conftest import (
    DOUBT,
    STRANGE,
    Api,
    Browser,
    Classify,
    Png,
    Submitted,
    content,
    judge_in_turn,
    judge_variously,
    on_both,
)


@pytest.fixture
def job(submitted: Submitted, classify: Classify, png: Png) -> int:
    """A finished job of twelve images: three in doubt, three strange, six accepted."""
    job_id = submitted({f"{i:02}.png": png(i) for i in range(12)})
    classify(judge_variously)
    return job_id


def ids(page: str) -> list[int]:
    """Return the tiles of a gallery in their order."""
    return [int(id_) for id_ in re.findall(r'<li><a href="/images/(\d+)', page)]


def test_the_classes_count_accepted_cells_and_the_outcomes_count_all(api: Api, job: int) -> None:
    answer = content(api("GET", f"/jobs/{job}"))
    assert answer["outcomes"] == {"accepted": 6, "uncertain": 3, "unfamiliar": 3}
    assert sum(answer["outcomes"].values()) == answer["counts"]["classified"] == 12
    assert sum(line["count"] for line in answer["classes"]) == 6
    assert sum(line["share"] for line in answer["classes"]) == pytest.approx(1)
    assert (answer["to_check"], content(api("GET", "/jobs"))["jobs"][0]["to_check"]) == (6, 6)


def test_a_job_full_of_strangers_says_what_to_do(
    laboratory: Browser, api: Api, submitted: Submitted, classify: Classify, png: Png, job: int
) -> None:
    many = submitted({f"{i:02}.png": png(100 + i) for i in range(24)})
    classify(judge_variously)
    assert content(api("GET", f"/jobs/{many}"))["advice"].startswith("6 of 24 cells are unfamiliar")
    assert "hematovision adapt" in laboratory.get(f"/jobs/{many}").text
    assert content(api("GET", f"/jobs/{job}"))["advice"] == ""
    assert "hematovision adapt" not in laboratory.get(f"/jobs/{job}").text


def test_the_differential_shows_what_waits_as_rows_of_its_own(
    laboratory: Browser, job: int
) -> None:
    page = laboratory.get(f"/jobs/{job}").text
    lines = re.findall(r"<tr.*?</tr>", page, re.DOTALL)
    rows = [" ".join(re.sub(r"<[^>]*>", " ", line).split()) for line in lines]
    assert rows[-4:] == [
        "Accepted cells 6 100.0 %",
        "Uncertain 3 \N{EN DASH}",
        "Unfamiliar 3 \N{EN DASH}",
        "All classified cells 12",
    ]
    assert "6 of 12 classified cells (50.0 %) need review and are not counted" in page
    assert "refer to the accepted cells" in page
    assert 'fill="url(#uncertain)"' in page and 'pattern id="uncertain"' in page
    assert "· 6 to check" in laboratory.get("/jobs").text


def test_a_job_in_which_nothing_waits_says_so(
    laboratory: Browser, submitted: Submitted, classify: Classify, png: Png
) -> None:
    job = submitted({"1.png": png(1)})
    classify()
    assert "No cell needs review." in laboratory.get(f"/jobs/{job}").text
    assert "to check" not in laboratory.get("/jobs").text


def test_a_job_of_nothing_but_strangers_has_no_classes(
    laboratory: Browser, api: Api, submitted: Submitted, classify: Classify, png: Png
) -> None:
    job = submitted({"1.png": png(1)})
    classify(lambda _: STRANGE)
    assert content(api("GET", f"/jobs/{job}"))["classes"] == []
    page = laboratory.get(f"/jobs/{job}").text
    assert "1 of 1 classified cells (100.0 %) need review" in page
    assert "Accepted cells" not in page


def test_the_bins_have_no_image_in_common_and_hold_all(
    api: Api, laboratory: Browser, job: int
) -> None:
    page = laboratory.get(f"/jobs/{job}/gallery").text
    links = re.findall(r'<a class="(review|class|other|problem)" href="/jobs/\d+\?([^"#]+)', page)
    assert [kind for kind, _ in links[:2]] == ["review", "review"]
    image_ids: list[int] = []
    for _, query in links:
        image_ids += ids(laboratory.get(f"/jobs/{job}/gallery?{query.replace('&amp;', '&')}").text)
    assert sorted(image_ids) == list(range(1, 13))


def test_a_class_with_an_outcome_holds_the_best_guesses(api: Api, job: int) -> None:
    def outcomes(**query: str) -> list[str]:
        images = content(api("GET", f"/jobs/{job}/images", query_string=query))["images"]
        return [image["outcome"] for image in images]

    assert outcomes(**{"class": "eosinophil"}) == ["accepted"] * 3
    assert outcomes(**{"class": "eosinophil"}, outcome="uncertain") == ["uncertain"] * 3
    assert outcomes(**{"class": "monocyte"}) == []
    assert outcomes(outcome="unfamiliar") == ["unfamiliar"] * 3


@on_both
def test_what_is_to_be_checked_comes_first_if_asked_for(
    api: Api, laboratory: Browser, job: int
) -> None:
    query = {"order": "check", "size": "5", "before": ""}
    outcomes: list[str] = []
    for _ in range(3):
        page = content(api("GET", f"/jobs/{job}/images", query_string=query))
        outcomes += [image["outcome"] for image in page["images"]]
        query["before"] = page["next"]
    assert outcomes == ["unfamiliar"] * 3 + ["uncertain"] * 3 + ["accepted"] * 6
    assert query["before"] is None
    shown = ids(laboratory.get(f"/jobs/{job}/gallery?order=check").text)
    page = laboratory.get(f"/images/{shown[2]}?order=check").text
    assert f'rel="prev" href="/images/{shown[1]}?order=check"' in page
    assert f'rel="next" href="/images/{shown[3]}?order=check"' in page


def test_the_order_is_offered_where_outcomes_are_mixed(laboratory: Browser, job: int) -> None:
    assert "order=check" in laboratory.get(f"/jobs/{job}/gallery").text
    for query in ("class=eosinophil", "outcome=uncertain"):
        page = laboratory.get(f"/jobs/{job}/gallery?{query}").text
        assert "order=low" in page and "order=check" not in page


def test_a_tile_says_between_which_classes_or_why(laboratory: Browser, api: Api, job: int) -> None:
    doubtful = laboratory.get(f"/jobs/{job}/gallery?outcome=uncertain").text
    assert doubtful.count("EO / NE ?") == 3
    assert doubtful.count("Uncertain: eosinophil or neutrophil") == 6  # As alt text and on hover.
    strange = laboratory.get(f"/jobs/{job}/gallery?outcome=unfamiliar").text
    assert "several cells" in strange and "71.0 %" not in strange
    (first, *_) = content(api("GET", f"/jobs/{job}/images?outcome=uncertain"))["images"]
    assert first["candidates"] == ["eosinophil", "neutrophil"]
    assert (first["reason"], first["codes"]) == ("between_classes", "EO / NE")
    assert first["outcome_words"] == "Uncertain: eosinophil or neutrophil"


def test_an_uncertain_image_names_the_choice_and_what_to_do(laboratory: Browser, job: int) -> None:
    page = laboratory.get("/images/1").text
    assert "<title>Uncertain: eosinophil or neutrophil" in page
    assert "Best guess:" in page and "55.0 %" in page
    assert "look at the cell and decide" in page
    assert page.count('<tr class="candidate">') == 2
    assert "Looks usual.</strong> 62 of 100 known cells look at least as unusual." in page
    assert "Calibrated: of familiar cells given 90 %" in page


def test_the_located_cell_is_drawn_on_the_picture_and_can_be_hidden(
    laboratory: Browser, api: Api, job: int
) -> None:
    page = laboratory.get("/images/1").text
    assert re.search(
        r'<rect class="halo" x="25.00%" y="20.00%" width="50.00%" height="42.50%"', page
    )
    assert "between 25 and 75 % of the width and between 20 and 62 % of the height" in page
    assert "data-show-box checked" in page
    assert content(api("GET", "/images/1"))["box"] == [0.25, 0.2, 0.75, 0.625]
    assert "data-show-box" not in laboratory.get("/images/2").text


def test_an_unfamiliar_image_shows_its_class_as_a_guess_alone(
    laboratory: Browser, api: Api, job: int
) -> None:
    page = laboratory.get("/images/2").text
    assert "Unfamiliar: several cells</h1>" in page
    assert "Best guess, not counted:" in page
    assert "Several cells were found: crop to one cell and send it again." in page
    assert "Hardly any known cell looks as unusual as this one." in page
    assert "Calibrated for familiar cells only, and this is not one" in page
    assert 'class="candidate"' not in page
    image = content(api("GET", "/images/2"))
    assert (image["class"], image["outcome"], image["familiarity"]) == (
        "monocyte",
        "unfamiliar",
        0.004,
    )
    assert image["explanation"].startswith("Several cells")


def test_an_accepted_image_has_its_class_first(laboratory: Browser, job: int) -> None:
    page = laboratory.get("/images/3").text
    assert "Neutrophil" in page[page.index("<h1") : page.index("</h1>")]
    assert "Accepted</span>" in page


def test_a_duplicate_carries_the_whole_verdict(
    api: Api, laboratory: Browser, submitted: Submitted, classify: Classify, png: Png
) -> None:
    submitted({"a.png": png(1), "b.png": png(1)})
    classify(lambda _: DOUBT)
    first, second = (content(api("GET", f"/images/{i}")) for i in (1, 2))
    for key in ("outcome", "outcome_words", "candidates", "familiarity", "box", "explanation"):
        assert first[key] == second[key] is not None, key
    assert "data-box" in laboratory.get("/images/2").text


def test_classes_of_few_training_images_are_marked_wherever_they_appear(
    laboratory: Browser, api: Api, submitted: Submitted, classify: Classify, png: Png
) -> None:
    job = submitted({"1.png": png(1)})
    classify(lambda _: Verdict("monocyte", 0.9, Outcome.ACCEPTED, (0.05, 0.03, 0.9, 0.02)))
    page = laboratory.get(f"/jobs/{job}").text
    assert page.count("few training images</span>") == 2  # In the table and in the list of bins.
    assert ">few</span>" in page
    assert laboratory.get("/images/1").text.count("few training images</span>") == 2
    (line,) = content(api("GET", f"/jobs/{job}"))["classes"]
    assert (line["class"], line["few_shot"]) == ("monocyte", True)
    image = content(api("GET", "/images/1"))
    assert image["few_shot"] and [c["few_shot"] for c in image["classes"]].count(True) == 1


def test_the_prediction_that_counts_decides_not_a_shadows(
    api: Api, database: Database, submitted: Submitted, classify: Classify, png: Png
) -> None:
    job = submitted({"1.png": png(1), "2.png": png(2)})
    classify(lambda id_: DOUBT if id_ == 1 else judge_in_turn(id_))
    with database.writing() as session:
        session.add(Model(digest="e" * 64, name="shadow", version="1", classes=["monocyte"]))
        session.flush()
        verdict = Verdict("monocyte", 1.0, Outcome.UNFAMILIAR, (1.0,), ("monocyte",), "no_cell")
        jobs.record_shadow(session, "e" * 64, {1: verdict, 2: verdict})
    tiles = content(api("GET", f"/jobs/{job}/images?order=check"))["images"]
    assert [(tile["outcome"], tile["codes"]) for tile in tiles] == [
        ("uncertain", "EO / NE"),
        ("accepted", "MO"),
    ]
    assert content(api("GET", "/images/1"))["reason"] == "between_classes"
    assert content(api("GET", f"/jobs/{job}"))["outcomes"]["unfamiliar"] == 0
