"""Limits by person and laboratory, as programs and people meet them."""

from __future__ import annotations

import io
from collections.abc import Callable

import pytest
from flask import Flask

from core import jobs
from core.blobs import MemoryBlobs
from core.db import Database
from core.installation import Installation
from core.queue import MemoryQueue
from core.settings import Settings
from core.tables import Job
from tests.web.conftest import Api, Browser, Png, SignIn, content, on_both, open_job, send
from tests.web.packing import put, states, zipped
from web import create_app

B = "b@laboratory.test"
Limit = Callable[..., None]


@pytest.fixture
def limit(settings: Settings) -> Limit:
    """Return what sets limits on the application that is running."""

    def set_(**limits: int) -> None:
        for name, value in limits.items():
            object.__setattr__(settings, name, value)

    return set_


def announce(api: Api, job: int, *sizes: int) -> tuple[int, str]:
    files = [{"name": f"{i}.png", "size": size} for i, size in enumerate(sizes)]
    answer = api("POST", f"/jobs/{job}/manifest", json={"files": files})
    return answer.status_code, answer.text


@on_both
def test_a_manifest_that_exceeds_the_room_is_refused_and_says_how_much_is_used(
    api: Api, limit: Limit
) -> None:
    limit(quota_person_bytes=1000)
    job = open_job(api)
    assert announce(api, job, 300, 300)[0] == 200
    status, text = announce(api, open_job(api), 500)
    assert status == 413
    assert '"code":"quota_exceeded"' in text
    assert "one person may keep 1000 bytes, and 600 bytes are in use" in text
    assert "Delete jobs" in text
    assert api("DELETE", f"/jobs/{job}?at_once=1").status_code == 200
    # They are still on the disk.
    assert announce(api, open_job(api), 500)[0] == 413


@on_both
def test_an_archive_is_taken_as_far_as_there_is_room(
    api: Api, png: Png, limit: Limit, blobs: MemoryBlobs, database: Database, settings: Settings
) -> None:
    archive = zipped({f"{i}.png": png(i) for i in range(6)})
    job = open_job(api)
    limit(quota_person_bytes=len(archive) - 1)
    answer = put(api, job, archive)
    assert (answer.status_code, content(answer)["error"]["code"]) == (413, "quota_exceeded")
    assert states(api, job) == {}
    # The images are larger than what the archive takes; a sender may hide its length, too.
    limit(quota_person_bytes=4 * len(png(0)))
    answer = api(
        "PUT", f"/jobs/{job}/archive", data=archive, environ_overrides={"CONTENT_LENGTH": ""}
    )
    assert answer.status_code in (400, 413)
    assert states(api, job) == {}
    jobs.purge(database, blobs, settings)
    assert list(blobs.older_than("images/", 0)) == []


def test_a_file_that_is_larger_than_announced_is_not_kept(
    api: Api, png: Png, blobs: MemoryBlobs, database: Database, settings: Settings
) -> None:
    job = open_job(api)
    files = [{"name": "a.png", "size": 10}]
    [line] = content(api("POST", f"/jobs/{job}/manifest", json={"files": files}))["files"]
    answer = content(api("PUT", f"/jobs/{job}/images/{line['id']}", data=png(1)))
    assert (answer["state"], answer["reason"]) == ("refused", "changed")
    jobs.purge(database, blobs, settings)
    assert list(blobs.older_than("images/", 0)) == []


def test_one_image_from_a_plain_form_needs_room_too(
    laboratory: Browser, png: Png, limit: Limit, database: Database, blobs: MemoryBlobs
) -> None:
    limit(quota_person_bytes=10)
    answer = laboratory.submit("/predict", {"image": (io.BytesIO(png(1)), "a.png")})
    assert answer.status_code == 413
    assert "one person may keep" in answer.text
    with database.reading() as session:
        assert session.query(Job).count() == 0


def test_open_jobs_are_limited_and_a_run_again_counts(
    api: Api, png: Png, limit: Limit, database: Database
) -> None:
    job = open_job(api)
    send(api, job, {"a.png": png(1)})
    api("POST", f"/jobs/{job}/submit", json={})
    api("POST", f"/jobs/{job}/cancel")
    limit(quota_person_jobs=1)
    open_job(api)
    answer = api("POST", "/jobs", json={"name": "one more"})
    assert (answer.status_code, content(answer)["error"]["code"]) == (409, "too_many_jobs")
    assert "limit of 1 open job for one person is reached" in answer.text
    assert api("POST", f"/jobs/{job}/run-again", json={}).status_code == 409
    assert content(api("GET", f"/jobs/{job}"))["state"] == "cancelled"
    assert api("POST", "/jobs", B, json={"name": "another's"}).status_code == 201


@pytest.fixture
def slow_app(settings: Settings, database: Database) -> Flask:
    """An application that allows a person five requests a minute, and all together eight."""
    few = {"quota_person_requests": 5, "quota_laboratory_requests": 8, "web_workers": 1}
    return create_app(
        Installation(settings.model_copy(update=few), database, MemoryBlobs(), MemoryQueue())
    )


@pytest.mark.parametrize("app", ["slow"], indirect=True)
def test_requests_are_limited_for_each_person_and_for_all_together(api: Api) -> None:
    answers = [api("GET", "/jobs") for _ in range(6)]
    assert [answer.status_code for answer in answers] == [200] * 5 + [429]
    assert 1 <= int(answers[-1].headers["Retry-After"]) <= 61
    assert content(answers[-1])["error"]["code"] == "too_many_requests"
    others = [api("GET", "/jobs", B).status_code for _ in range(4)]
    assert others == [200, 200, 200, 429]


@pytest.fixture
def app(request: pytest.FixtureRequest) -> Flask:
    """The usual application, or the one with few requests."""
    chosen: Flask = request.getfixturevalue(
        "slow_app" if getattr(request, "param", "") == "slow" else "usual_app"
    )
    return chosen


@pytest.fixture
def usual_app(
    settings: Settings, database: Database, blobs: MemoryBlobs, queue: MemoryQueue
) -> Flask:
    """The application as it is set."""
    return create_app(Installation(settings, database, blobs, queue))


def test_what_is_kept_is_shown_to_its_owner_and_to_administrators(
    api: Api, png: Png, laboratory: Browser, sign_in: SignIn
) -> None:
    send(api, open_job(api), {"a.png": png(1)})
    usage = content(api("GET", "/usage"))
    assert usage["person"]["bytes"] == len(png(1))
    assert usage["person"]["open_jobs"] == 1
    assert usage["person"]["bytes_allowed"] == 100 * 1024**3
    assert usage["laboratory"] == {
        "bytes": len(png(1)),
        "bytes_allowed": None,
        "open_jobs": 1,
        "open_jobs_allowed": 10_000,
    }
    assert f"{len(png(1))} bytes of 100 GB" in " ".join(laboratory.get("/account").text.split())
    assert f"{len(png(1))} bytes" in sign_in("admin@localhost").get("/people").text
