"""Asking why an image was judged so: by programs, by the page, and by those who may see it only."""

from __future__ import annotations

import pytest
from sqlalchemy import select

from core.blobs import MemoryBlobs
from core.db import Database
from core.made import explanations, making
from core.made.explanations import PICTURES, Findings, Neighbour, picture_key, reference_key
from core.queue import EXPLAIN, MemoryQueue
from core.states import Lane, MakingState
from core.tables import Explanation
from tests.web.conftest import DIGEST, Api, Classify, Png, SignIn, Submitted, content

B = "b@laboratory.test"
DOCTOR = "doctor@clinic.test"
PATH = "/images/1/explanation"
ROUTES = ("", "/crop.png", "/heat.png", "/contrast.png", "/references/4.jpg")
FINDINGS = Findings(
    label="lymphocyte",
    other="monocyte",
    nearest=(Neighbour(4, "lymphocyte", "pbc8", 0.9137),),
    of_each_class=(Neighbour(4, "lymphocyte", "pbc8", 0.9137), Neighbour(9, "monocyte", "x", 0.5)),
    attribution="Cells by somebody, CC BY 4.0.",
)


@pytest.fixture
def job(submitted: Submitted, classify: Classify, png: Png) -> int:
    """A finished job of laboratory A, whose first image is a lymphocyte."""
    made = submitted({"a.png": png(1)})
    classify()
    return made


def work(database: Database, blobs: MemoryBlobs, findings: Findings = FINDINGS) -> None:
    """Do the worker's part."""
    with database.writing() as session:
        [wanted] = session.scalars(select(Explanation.id))
        claim = explanations.claim(session, wanted, "w:1", 60)
        assert claim is not None
        for name in PICTURES:
            blobs.put(picture_key("explanations/1-1", name), name.encode())
        for index in (4, 5, 9):
            blobs.put(reference_key(DIGEST, index), b"cell %d" % index)
        explanations.finish(session, claim, "explanations/1-1", findings)


def test_asking_rings_for_a_worker_and_asking_again_rings_again(
    api: Api, job: int, queue: MemoryQueue
) -> None:
    queue.rung.clear()
    first, second = (api("POST", PATH) for _ in range(2))
    assert (first.status_code, second.status_code) == (202, 202)
    assert content(first) == content(second)
    assert content(first)["state"] == "waiting"
    assert content(first)["url"] == "/api/v1/images/1/explanation"
    assert queue.rung == [(EXPLAIN, 1, Lane.INTERACTIVE)] * 2


def test_a_queue_that_is_away_does_not_lose_the_wish(
    api: Api, job: int, queue: MemoryQueue
) -> None:
    queue.broken = True
    assert api("POST", PATH).status_code == 202
    assert content(api("GET", PATH))["state"] == "waiting"


def test_what_nobody_asked_for_is_not_there_and_what_is_not_ready_says_so(
    api: Api, job: int
) -> None:
    for route in ROUTES:
        assert api("GET", PATH + route).status_code == 404, route
    api("POST", PATH)
    for route in ROUTES[1:]:
        answer = api("GET", PATH + route)
        assert answer.status_code == 409, route
        assert "still being made" in answer.text


def test_an_image_that_was_not_judged_is_not_explained(
    api: Api, submitted: Submitted, png: Png
) -> None:
    submitted({"a.png": png(1)})
    answer = api("POST", PATH)
    assert answer.status_code == 409
    assert "until the image is classified" in answer.text


def test_the_answer_names_classes_pictures_and_neighbours(
    api: Api, job: int, database: Database, blobs: MemoryBlobs
) -> None:
    api("POST", PATH)
    work(database, blobs)
    explanation = content(api("GET", PATH))
    assert (explanation["state"], explanation["class"], explanation["code"]) == (
        "ready",
        "lymphocyte",
        "LY",
    )
    assert explanation["rather_than"]["class"] == "monocyte"
    assert explanation["attribution"] == "Cells by somebody, CC BY 4.0."
    [near] = explanation["nearest"]
    assert (near["class"], near["code"], near["similarity"]) == ("lymphocyte", "LY", 0.9137)
    assert [neighbour["class"] for neighbour in explanation["nearest_of_each_class"]] == [
        "lymphocyte",
        "monocyte",
    ]
    for name in PICTURES:
        answer = api("GET", explanation[name].removeprefix("/api/v1"))
        assert (answer.mimetype, answer.data) == ("image/png", name.encode())
        assert answer.headers["X-Content-Type-Options"] == "nosniff"
    answer = api("GET", near["picture"].removeprefix("/api/v1"))
    assert (answer.mimetype, answer.data) == ("image/jpeg", b"cell 4")


def test_only_the_reference_cells_it_names_are_sent(
    api: Api, job: int, database: Database, blobs: MemoryBlobs
) -> None:
    api("POST", PATH)
    work(database, blobs)
    assert api("GET", f"{PATH}/references/9.jpg").status_code == 200
    assert api("GET", f"{PATH}/references/5.jpg").status_code == 404
    assert api("GET", f"{PATH}/other.png").status_code == 404


def test_another_laboratory_learns_nothing_and_asks_for_nothing(
    api: Api, job: int, database: Database, blobs: MemoryBlobs, sign_in: SignIn
) -> None:
    assert api("POST", PATH, B).status_code == 404
    browser = sign_in(B)
    assert browser.submit("/images/1/why").status_code == 404
    with database.reading() as session:
        assert session.scalars(select(Explanation)).all() == []
    api("POST", PATH)
    work(database, blobs)
    for route in ROUTES:
        assert api("GET", PATH + route, B).status_code == 404, route
    assert browser.get("/images/1/why").status_code == 404


def test_a_clinician_may_ask_about_any_image(api: Api, job: int) -> None:
    assert api("POST", PATH, DOCTOR).status_code == 202
    assert content(api("GET", PATH, DOCTOR))["state"] == "waiting"


def test_the_page_asks_waits_and_shows(
    sign_in: SignIn, job: int, database: Database, blobs: MemoryBlobs
) -> None:
    browser = sign_in("a@laboratory.test")
    page = browser.get("/images/1").text
    assert "Show what the network looked at" in page
    assert "why.js" in page
    asked = browser.submit("/images/1/why?order=low")
    assert (asked.status_code, asked.location) == (302, "/images/1?order=low#why")
    assert "A worker is preparing the answer" in browser.get("/images/1").text
    work(database, blobs)
    for path in ("/images/1", "/images/1/why"):
        page = browser.get(path).text
        assert f"/api/v1{PATH}/heat.png" in page
        assert "What supports lymphocyte rather than monocyte" in page
        assert "0.91" in page and "CC BY 4.0" in page
        assert "style=" not in page and "Show what the network looked at" not in page
    assert "<html" not in browser.get("/images/1/why").text


def test_a_model_without_references_shows_its_map_alone_even_if_it_is_empty(
    sign_in: SignIn, job: int, database: Database, blobs: MemoryBlobs
) -> None:
    browser = sign_in("a@laboratory.test")
    browser.submit("/images/1/why")
    work(database, blobs, Findings("lymphocyte", None, empty=("heat",)))
    page = browser.get("/images/1").text
    assert "heat.png" in page
    assert "Nothing in this image supports lymphocyte" in page
    assert "contrast.png" not in page and "reference cells" not in page


def test_what_failed_says_why_and_can_be_asked_for_again(
    sign_in: SignIn, api: Api, job: int, database: Database
) -> None:
    browser = sign_in("a@laboratory.test")
    browser.submit("/images/1/why")
    with database.writing() as session:
        claim = explanations.claim(session, 1, "w:1", 60)
        assert claim is not None
        making.fail(session, claim, "The stored image is gone.")
    page = browser.get("/images/1").text
    assert "The stored image is gone." in page and "Ask again" in page
    answer = api("GET", f"{PATH}/heat.png")
    assert (answer.status_code, "is gone" in answer.text) == (409, True)
    browser.submit("/images/1/why")
    with database.reading() as session:
        assert session.get_one(Explanation, 1).state is MakingState.WAITING
