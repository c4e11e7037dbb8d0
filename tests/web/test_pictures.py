"""Pictures of images: shown to those who may see them, asked for where they are missing."""

from __future__ import annotations

import hashlib
import re
from xml.etree import ElementTree

import pytest
from sqlalchemy import select, update
from werkzeug.test import TestResponse

from core.blobs import MemoryBlobs, image_key
from core.db import Database
from core.jobs import Failure
from core.made import derivatives, making
from core.made.derivatives import Derivatives
from core.queue import DERIVE, MemoryQueue
from core.states import JobState, Lane, MakingState
from core.tables import Derivative, Image, Job
from tests.web.conftest import Api, Browser, Classify, Png, SignIn, Submitted, open_job, send

COPIES = Derivatives(b"the tile", b"the large copy")
TILE = "/images/1/thumbnail/192"
LARGE = "/images/1/thumbnail/1024"


@pytest.fixture
def sha256(png: Png) -> str:
    """The hash of the one image that `job` holds."""
    return hashlib.sha256(png(1)).hexdigest()


@pytest.fixture
def job(submitted: Submitted, classify: Classify, png: Png) -> int:
    """A finished job of one image, whose copies nobody has made."""
    made = submitted({"a.png": png(1)})
    classify()
    return made


@pytest.fixture
def shown(job: int, blobs: MemoryBlobs, sha256: str) -> int:
    """The same with the copies that a worker makes."""
    derivatives.keep(blobs, sha256, COPIES)
    return job


def wishes(database: Database) -> list[Derivative]:
    with database.reading() as session:
        return list(session.scalars(select(Derivative)))


def title(answer: TestResponse) -> str:
    """What a placeholder says of itself."""
    assert answer.mimetype == "image/svg+xml"
    return ElementTree.fromstring(answer.text).findtext("{http://www.w3.org/2000/svg}title") or ""


@pytest.mark.usefixtures("shown")
def test_both_copies_are_sent_as_they_are_kept(laboratory: Browser) -> None:
    for path, copy in ((TILE, COPIES.tile), (LARGE, COPIES.large)):
        answer = laboratory.get(path)
        assert (answer.status_code, answer.mimetype, answer.data) == (200, "image/jpeg", copy)
    assert laboratory.get("/images/1/thumbnail/96").status_code == 404


@pytest.mark.usefixtures("shown")
def test_a_browser_keeps_a_picture_and_asks_each_time_whether_it_may_show_it(
    laboratory: Browser, blobs: MemoryBlobs, sha256: str
) -> None:
    first = laboratory.get(TILE)
    assert first.headers["Cache-Control"] == "private, no-cache"
    assert "Set-Cookie" not in first.headers
    blobs.delete(derivatives.key(sha256))
    again = laboratory.get(TILE, headers={"If-None-Match": first.headers["ETag"]})
    assert (again.status_code, again.data) == (304, b"")
    assert again.headers["Cache-Control"] == "private, no-cache"


@pytest.mark.usefixtures("shown")
def test_a_picture_that_a_browser_kept_is_not_shown_after_signing_out(laboratory: Browser) -> None:
    tag = {"If-None-Match": laboratory.get(TILE).headers["ETag"]}
    laboratory.submit("/sign-out")
    assert laboratory.get(TILE, headers=tag).status_code == 302


def test_signing_out_clears_what_the_browser_kept(laboratory: Browser) -> None:
    assert laboratory.submit("/sign-out").headers["Clear-Site-Data"] == '"cache"'
    assert "Clear-Site-Data" not in laboratory.get("/sign-in").headers


@pytest.mark.usefixtures("shown")
def test_who_knows_a_pictures_tag_still_needs_to_see_its_job(
    laboratory: Browser, sign_in: SignIn
) -> None:
    tag = {"If-None-Match": laboratory.get(TILE).headers["ETag"]}
    answer = sign_in("b@laboratory.test").get(TILE, headers=tag)
    assert (answer.status_code, answer.headers["Cache-Control"]) == (404, "no-store")


@pytest.mark.usefixtures("job")
def test_a_missing_picture_is_asked_for_once_and_comes(
    laboratory: Browser, blobs: MemoryBlobs, queue: MemoryQueue, database: Database, sha256: str
) -> None:
    queue.rung.clear()
    for path in (TILE, LARGE, TILE):
        answer = laboratory.get(path)
        assert (answer.status_code, answer.headers["Retry-After"]) == (202, "1")
        assert answer.headers["Cache-Control"] == "no-store"
        assert "will appear here" in title(answer)
    (wanted,) = wishes(database)
    assert queue.rung == [(DERIVE, wanted.id, Lane.INTERACTIVE)]
    derivatives.keep(blobs, sha256, COPIES)
    assert laboratory.get(TILE).data == COPIES.tile


@pytest.mark.usefixtures("job")
def test_a_placeholder_has_the_proportions_of_the_image(
    laboratory: Browser, database: Database
) -> None:
    with database.writing() as session:
        session.execute(update(Image).values(width=1200, height=900))
    drawn = ElementTree.fromstring(laboratory.get(LARGE).text)
    assert (drawn.get("width"), drawn.get("height")) == ("1200", "900")


@pytest.mark.usefixtures("job")
def test_a_queue_that_is_away_is_no_error(
    laboratory: Browser, queue: MemoryQueue, database: Database
) -> None:
    queue.broken = True
    assert laboratory.get(TILE).status_code == 202
    assert [wish.state for wish in wishes(database)] == [MakingState.WAITING]


def test_the_image_s_bytes_are_not_even_read(
    laboratory: Browser, job: int, blobs: MemoryBlobs, sha256: str
) -> None:
    blobs.delete(image_key(sha256))
    assert laboratory.get(TILE).status_code == 202
    for page in (f"/jobs/{job}", "/images/1"):
        assert laboratory.get(page).status_code == 200


def test_what_waits_in_a_running_job_is_not_asked_for_besides(
    laboratory: Browser, submitted: Submitted, png: Png, database: Database
) -> None:
    submitted({"a.png": png(1)})
    with database.writing() as session:
        session.execute(update(Job).values(state=JobState.RUNNING))
    assert laboratory.get(TILE).status_code == 202
    assert wishes(database) == []


def test_what_is_not_submitted_yet_can_be_looked_at(
    api: Api, laboratory: Browser, png: Png, database: Database
) -> None:
    send(api, open_job(api), {"a.png": png(1)})
    assert laboratory.get(TILE).status_code == 202
    assert len(wishes(database)) == 1


def test_what_no_decoder_could_read_has_a_reason_and_no_picture(
    laboratory: Browser, submitted: Submitted, classify: Classify, png: Png, database: Database
) -> None:
    job = submitted({"a.png": png(1)})
    classify(lambda _: Failure("truncated", "The file ends before the image does."))
    answer = laboratory.get(TILE)
    assert answer.status_code == 404
    assert title(answer) == "The file ends before the image does."
    assert wishes(database) == []
    for page in (f"/jobs/{job}?state=failed", "/images/1"):
        assert "<img" not in laboratory.get(page).text


@pytest.mark.usefixtures("job")
def test_what_a_worker_could_not_draw_says_why(laboratory: Browser, database: Database) -> None:
    laboratory.get(TILE)
    with database.writing() as session:
        claim = derivatives.claim(session, wishes(database)[0].id, "worker", 60)
        assert claim is not None
        making.fail(session, claim, "The stored image is gone.")
    answer = laboratory.get(TILE)
    assert (answer.status_code, title(answer)) == (404, "The stored image is gone.")


def test_a_message_is_text_in_a_placeholder(
    laboratory: Browser, submitted: Submitted, classify: Classify, png: Png
) -> None:
    submitted({"a.png": png(1)})
    classify(lambda _: Failure("damaged", "</title><script>alert(1)</script>"))
    answer = laboratory.get(TILE)
    assert title(answer) == "</title><script>alert(1)</script>"


def test_pages_say_which_pictures_are_still_to_come(
    laboratory: Browser, job: int, blobs: MemoryBlobs, sha256: str
) -> None:
    pages = {f"/jobs/{job}": TILE, "/images/1": LARGE}
    for page, picture in pages.items():
        assert f'src="{picture}?pending" data-pending="{picture}"' in laboratory.get(page).text
    derivatives.keep(blobs, sha256, COPIES)
    for page, picture in pages.items():
        text = laboratory.get(page).text
        assert re.search(rf'<img src="{picture}"', text) and "data-pending" not in text


def test_a_program_is_told_whether_a_picture_is_there(
    api: Api, job: int, blobs: MemoryBlobs, sha256: str
) -> None:
    assert job and api("GET", "/images/1").get_json()["pictured"] is False
    derivatives.keep(blobs, sha256, COPIES)
    image = api("GET", "/images/1").get_json()
    assert (image["pictured"], image["thumbnail"], image["picture"]) == (True, TILE, LARGE)
