"""Deleting by page and by API: who may, what is seen, what is gone, and back again."""

from __future__ import annotations

import re

import pytest

from core import jobs
from core.audit import SYSTEM
from core.blobs import MemoryBlobs, image_key
from core.db import Database
from core.settings import Settings
from core.tables import Image, Job
from tests.web.conftest import Api, Browser, Classify, Png, SignIn, Submitted, content, on_both

B = "b@laboratory.test"
DOCTOR = "doctor@clinic.test"
ADMIN = "admin@localhost"


@pytest.fixture
def job(submitted: Submitted, classify: Classify, png: Png) -> int:
    """A finished job of laboratory A."""
    made = submitted({"a.png": png(1), "b.png": png(2)})
    classify()
    return made


def purge(database: Database, blobs: MemoryBlobs, settings: Settings) -> None:
    while not jobs.purge(database, blobs, settings).nothing:
        pass


@on_both
def test_a_job_is_deleted_restored_and_deleted_for_good(
    api: Api, job: int, database: Database, blobs: MemoryBlobs, settings: Settings
) -> None:
    gone = content(api("DELETE", f"/jobs/{job}"))
    assert gone["restorable_until"] > gone["deleted_at"]
    for path in (f"/jobs/{job}", "/images/1", f"/jobs/{job}/results.csv"):
        assert api("GET", path).status_code == 404, path
    assert content(api("GET", "/jobs"))["jobs"] == []
    assert [line["id"] for line in content(api("GET", "/jobs/deleted"))["jobs"]] == [job]
    assert content(api("DELETE", f"/jobs/{job}")) == gone
    assert api("POST", f"/jobs/{job}/restore").status_code == 200
    assert content(api("GET", f"/jobs/{job}"))["counts"]["classified"] == 2
    assert api("POST", f"/jobs/{job}/restore").status_code == 404
    assert api("DELETE", f"/jobs/{job}?at_once=1").status_code == 200
    assert api("POST", f"/jobs/{job}/restore").status_code == 409
    purge(database, blobs, settings)
    assert not any(key.startswith("images/") for key in blobs.older_than("", 0))
    assert api("DELETE", f"/jobs/{job}").status_code == 404
    assert content(api("GET", "/jobs/deleted"))["jobs"] == []


def test_only_its_owner_and_an_administrator_delete_and_restore(api: Api, job: int) -> None:
    for email, status in ((B, 404), (DOCTOR, 403)):
        for method, path in (
            ("DELETE", f"/jobs/{job}"),
            ("DELETE", f"/jobs/{job}/pictures"),
            ("POST", f"/jobs/{job}/keep-pictures"),
        ):
            assert api(method, path, email).status_code == status, (email, path)
    assert api("DELETE", f"/jobs/{job}", ADMIN).status_code == 200
    for email in (B, DOCTOR):
        assert api("POST", f"/jobs/{job}/restore", email).status_code == 404
        assert api("DELETE", f"/jobs/{job}?at_once=1", email).status_code == 404
        assert content(api("GET", "/jobs/deleted", email))["jobs"] == []
    assert api("POST", f"/jobs/{job}/restore").status_code == 200


def test_pictures_go_and_results_stay(
    api: Api,
    job: int,
    laboratory: Browser,
    database: Database,
    blobs: MemoryBlobs,
    settings: Settings,
) -> None:
    before = content(api("GET", f"/jobs/{job}"))
    assert api("DELETE", f"/jobs/{job}/pictures").status_code == 200
    assert "will be deleted on" in laboratory.get(f"/jobs/{job}").text
    assert api("POST", f"/jobs/{job}/keep-pictures").status_code == 200
    assert "will be deleted on" not in laboratory.get(f"/jobs/{job}").text
    assert api("DELETE", f"/jobs/{job}/pictures?at_once=1").status_code == 200
    purge(database, blobs, settings)
    after = content(api("GET", f"/jobs/{job}"))
    for key in ("counts", "classes", "outcomes", "share_done"):
        assert after[key] == before[key]
    assert after["pictures"]["gone_at"]
    assert after["bytes"] == 0
    page = laboratory.get(f"/jobs/{job}").text
    assert "pictures of this job were deleted on" in page
    assert "Run again" not in page
    assert "<img" not in page
    assert "The picture was deleted on" in laboratory.get("/images/1").text
    assert laboratory.get("/images/1/thumbnail/96").status_code == 404
    assert api("POST", "/images/1/explanation").status_code == 409
    assert (
        "pictures of this job were deleted" in api("POST", f"/jobs/{job}/run-again", json={}).text
    )
    assert api("GET", f"/jobs/{job}/results.csv").status_code == 200


def test_a_page_deletes_and_restores_with_a_question_first(
    laboratory: Browser, job: int, sign_in: SignIn
) -> None:
    page = laboratory.get(f"/jobs/{job}").text
    assert re.search(rf'action="/jobs/{job}/delete" data-confirm="Delete this job', page)
    answer = laboratory.submit(f"/jobs/{job}/delete")
    assert answer.location == "/jobs"
    assert "restore it within the next 7 days" in laboratory.get("/jobs").text
    for browser in (laboratory, sign_in(ADMIN)):
        deleted = browser.get("/jobs/deleted").text
        assert "Slide 7" in deleted
        assert "Restore" in deleted
    assert "Slide 7" not in sign_in(DOCTOR).get("/jobs/deleted").text
    assert laboratory.submit(f"/jobs/{job}/restore").location == f"/jobs/{job}"
    laboratory.submit(f"/jobs/{job}/delete")
    laboratory.submit(f"/jobs/{job}/delete-for-good")
    assert "Restore" not in laboratory.get("/jobs/deleted").text


def test_a_doctor_is_not_offered_to_delete(job: int, sign_in: SignIn) -> None:
    assert "Delete the job" not in sign_in(DOCTOR).get(f"/jobs/{job}").text


def test_an_upload_of_a_job_that_was_deleted_meanwhile_is_told_so(
    api: Api,
    png: Png,
    blobs: MemoryBlobs,
    database: Database,
    settings: Settings,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    job = content(api("POST", "/jobs", json={"name": "Slide 8"}))["id"]
    files = [{"name": "a.png", "size": len(png(1))}]
    [line] = content(api("POST", f"/jobs/{job}/manifest", json={"files": files}))["files"]

    put = blobs.put

    def put_meanwhile(key: str, data: bytes, *, lasting: bool = True) -> None:
        put(key, data, lasting=lasting)
        with database.writing() as session:
            jobs.delete(session, session.get_one(Job, job), settings, SYSTEM, at_once=True)
        purge(database, blobs, settings)

    monkeypatch.setattr(blobs, "put", put_meanwhile)
    answer = api("PUT", f"/jobs/{job}/images/{line['id']}", data=png(1))
    assert answer.status_code == 404
    assert "deleted" in answer.text
    purge(database, blobs, settings)
    assert list(blobs.older_than("images/", 0)) == []


def test_a_rule_says_when_a_job_will_be_deleted(
    api: Api, job: int, settings: Settings, laboratory: Browser
) -> None:
    assert content(api("GET", f"/jobs/{job}"))["deleted_on"] is None
    assert "will be deleted on" not in laboratory.get(f"/jobs/{job}").text
    object.__setattr__(settings, "retention_days", 90)
    object.__setattr__(settings, "picture_retention_days", 30)
    shown = content(api("GET", f"/jobs/{job}"))
    assert shown["deleted_on"] > shown["pictures"]["deleted_on"] > shown["finished_at"]
    page = laboratory.get(f"/jobs/{job}").text
    assert "This job will be deleted on" in page
    assert "Its pictures will be deleted on" in page


def test_bytes_that_are_held_again_outlive_the_first_job(
    api: Api,
    job: int,
    submitted: Submitted,
    png: Png,
    database: Database,
    blobs: MemoryBlobs,
    settings: Settings,
) -> None:
    submitted({"again.png": png(1)})
    api("DELETE", f"/jobs/{job}?at_once=1")
    purge(database, blobs, settings)
    with database.reading() as session:
        [image] = session.query(Image).all()
    assert list(blobs.older_than("images/", 0)) == [image_key(image.sha256 or "")]
