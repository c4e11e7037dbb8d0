"""A full disk, a store that is not mounted, a database that may only be read: what is said."""

from __future__ import annotations

import dataclasses
import hashlib
import shutil
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from flask import Flask
from flask.testing import FlaskClient
from werkzeug.test import TestResponse

from core.blobs import LocalBlobs, image_key
from core.db import Database
from core.installation import Installation, adopt_store, open_store
from core.queue import MemoryQueue
from core.settings import Settings
from tests.conftest import SmallDisk
from tests.web.conftest import Api, Browser, Png, announce, content, open_job
from tests.web.packing import tarred
from web import create_app
from web.wiring import Wiring, attach, wired

A = "a@laboratory.test"
Rewire = Callable[..., Wiring]


@pytest.fixture
def rewire(app: Flask) -> Rewire:
    """Return what gives the application another store, database or settings."""

    def change(**parts: object) -> Wiring:
        with app.app_context():
            wiring = dataclasses.replace(wired(), **parts)  # type: ignore[arg-type]
        attach(wiring, app.extensions)
        return wiring

    return change


@pytest.fixture
def store(settings: Settings, database: Database, rewire: Rewire) -> Path:
    """Give the application the store of an installation; return its folder."""
    adopt_store(database, settings.blobs)
    rewire(blobs=open_store(settings, database, intake=True))
    return settings.blobs


def health(client: FlaskClient) -> TestResponse:
    """Ask for the health once what was known of it is forgotten."""
    time.sleep(1.1)
    return client.get("/healthz")


def status_and_code(answer: TestResponse) -> tuple[int, str]:
    """Return status and code of an error of the API."""
    assert answer.json is not None, answer.text
    message: str = answer.json["error"]["message"]
    assert message.endswith(".")
    assert "/" not in message, "An answer names no path."
    return answer.status_code, answer.json["error"]["code"]


def put(api: Api, job: int, line: dict[str, object], data: bytes) -> TestResponse:
    """Send a file's bytes."""
    return api("PUT", f"/jobs/{job}/images/{line['id']}", A, data=data)


def test_a_store_that_is_not_mounted_stops_intake_until_it_is_back(
    api: Api, client: FlaskClient, laboratory: Browser, png: Png, store: Path
) -> None:
    job = open_job(api)
    (first,) = announce(api, job, {"a.png": png(1)}, A)
    assert put(api, job, first, png(1)).status_code == 200
    lines = announce(api, job, {"b.png": png(2)}, A)
    away = store.with_name("elsewhere")
    store.rename(away)
    store.mkdir()
    assert status_and_code(put(api, job, lines[0], png(2))) == (503, "store_away")
    archive = api("PUT", f"/jobs/{job}/archive", A, data=tarred({"c.png": png(3)}))
    assert status_and_code(archive) == (503, "store_away")
    digest = hashlib.sha256(png(1)).hexdigest()
    files = [{"name": "a.png", "size": len(png(1)), "sha256": digest}]
    again = api("POST", f"/jobs/{open_job(api)}/manifest", A, json={"files": files})
    assert status_and_code(again) == (503, "store_away")
    assert list(store.iterdir()) == []
    answer = health(client)
    assert (answer.status_code, answer.json and answer.json["problems"]) == (503, ["store_away"])
    assert laboratory.get("/jobs").status_code == 200
    store.rmdir()
    away.rename(store)
    assert put(api, job, lines[0], png(2)).status_code == 200
    assert health(client).status_code == 200


def test_results_are_shown_while_the_store_is_away(
    api: Api, laboratory: Browser, png: Png, store: Path
) -> None:
    job = open_job(api)
    (line,) = announce(api, job, {"a.png": png(1)}, A)
    assert put(api, job, line, png(1)).status_code == 200
    assert api("POST", f"/jobs/{job}/submit", A, json={}).status_code == 200
    store.rename(store.with_name("elsewhere"))
    store.mkdir()
    for path in (f"/jobs/{job}", f"/jobs/{job}/gallery", f"/images/{line['id']}"):
        answer = laboratory.get(path)
        assert (answer.status_code, "a.png" in answer.text) == (200, True)
        assert "The image store is missing" in answer.text
    assert api("GET", f"/images/{line['id']}", A).status_code == 200
    # A browser draws this whatever the status, and asks again.
    answer = laboratory.get(f"/images/{line['id']}/thumbnail/192")
    assert (answer.status_code, answer.mimetype) == (503, "image/svg+xml")
    assert "The image store is missing" in answer.text
    assert answer.headers["Retry-After"] == "15"


def test_below_the_reserve_intake_waits_and_all_else_goes_on(
    api: Api, client: FlaskClient, png: Png, store: Path, rewire: Rewire, settings: Settings
) -> None:
    job = open_job(api)
    (line,) = announce(api, job, {"a.png": png(1)}, A)
    left = shutil.disk_usage(store).free
    tight = settings.model_copy(update={"reserve_bytes": 4 * left})
    rewire(settings=tight)
    files = {"files": [{"name": "b.png", "size": 5, "sha256": None}]}
    for answer in (
        put(api, job, line, png(1)),
        api("POST", f"/jobs/{job}/manifest", A, json=files),
        api("PUT", f"/jobs/{job}/archive", A, data=tarred({"c.png": png(3)})),
    ):
        assert status_and_code(answer) == (507, "no_space")
        assert answer.headers["Retry-After"] == "30"
        assert "safe" in answer.text
    answer = health(client)
    assert (answer.status_code, answer.json and answer.json["space"]) == (200, False)
    assert api("GET", f"/jobs/{job}", A).status_code == 200
    rewire(settings=settings)
    assert put(api, job, line, png(1)).status_code == 200
    assert api("POST", f"/jobs/{job}/submit", A, json={}).status_code == 200


def test_a_full_disk_under_the_store_keeps_what_was_answered_and_says_so(
    api: Api, png: Png, rewire: Rewire, small_disk: SmallDisk, settings: Settings
) -> None:
    rewire(
        blobs=LocalBlobs(small_disk.root / "blobs"),
        settings=settings.model_copy(update={"reserve_bytes": 0}),
    )
    job = open_job(api)
    lines = announce(api, job, {"a.png": png(1), "b.png": png(2)}, A)
    assert put(api, job, lines[0], png(1)).status_code == 200
    small_disk.fill()
    assert status_and_code(put(api, job, lines[1], png(2))) == (507, "no_space")
    packed = {f"{seed}.png": png(seed) for seed in range(3, 9)}
    assert status_and_code(api("PUT", f"/jobs/{job}/archive", A, data=tarred(packed))) == (
        507,
        "no_space",
    )
    small_disk.free()
    assert put(api, job, lines[1], png(2)).status_code == 200
    assert api("PUT", f"/jobs/{job}/archive", A, data=tarred(packed)).status_code == 200
    counts = content(api("GET", f"/jobs/{job}", A))["counts"]
    assert (counts["received"], counts["refused"]) == (8, 0)


def test_a_database_that_may_only_be_read_is_said_on_pages_in_the_api_and_in_health(
    settings: Settings, small_disk: SmallDisk, png: Png
) -> None:
    file = small_disk.root / "hematovision.db"
    shutil.copy(settings.data / "hematovision.db", file)
    chosen = settings.model_copy(update={"database_url": f"sqlite:///{file}", "reserve_bytes": 0})
    database = Database(chosen.database)
    blobs = LocalBlobs(settings.data / "blobs")
    app = create_app(Installation(chosen, database, blobs, MemoryQueue()))
    client = app.test_client()
    assert client.get("/healthz").status_code == 200
    database.dispose()
    small_disk.protect()
    for path in ("/sign-in/some-link-of-a-mail", "/healthz"):
        assert health(client).status_code == 503
        answer = client.get(path)
        assert answer.status_code == 503, answer.text
    assert set(answer.json["problems"]) <= {"database_read_only", "database_missing"}  # type: ignore[index]
    small_disk.protect(on=False)
    assert health(client).status_code == 200
    database.dispose()


def test_a_full_disk_under_the_database_is_said_so_and_all_before_is_kept(
    api: Api, rewire: Rewire, small_disk: SmallDisk, settings: Settings, png: Png
) -> None:
    file = small_disk.root / "hematovision.db"
    shutil.copy(settings.data / "hematovision.db", file)
    roomy = settings.model_copy(update={"reserve_bytes": 0, "max_job_files": 5000})
    before = rewire(settings=roomy).database
    job = open_job(api)
    with before.engine.connect() as connection:
        connection.exec_driver_sql("PRAGMA wal_checkpoint(TRUNCATE)")
    shutil.copy(settings.data / "hematovision.db", file)
    database = Database(f"sqlite:///{file}")
    rewire(database=database)
    assert api("GET", f"/jobs/{job}", A).status_code == 200
    small_disk.fill()
    files = [{"name": f"{n}.png", "size": 5, "sha256": None} for n in range(1000)]
    answer = api("POST", f"/jobs/{job}/manifest", A, json={"files": files})
    assert status_and_code(answer) == (507, "no_space"), answer.text
    small_disk.free()
    assert api("POST", f"/jobs/{job}/manifest", A, json={"files": files}).status_code == 200
    assert content(api("GET", f"/jobs/{job}", A))["counts"]["received"] == 1000
    database.dispose()


def test_an_image_of_the_wrong_size_in_the_store_is_asked_for_again(
    api: Api, png: Png, store: Path
) -> None:
    job, data = open_job(api), png(1)
    (line,) = announce(api, job, {"a.png": data}, A)
    assert put(api, job, line, data).status_code == 200
    stored = store / image_key(hashlib.sha256(data).hexdigest())
    stored.write_bytes(data[:-1])
    again = open_job(api)
    (line,) = announce(api, again, {"a.png": data}, A)
    assert line["needed"]
    assert put(api, again, line, data).status_code == 200
    assert stored.read_bytes() == data
    stored.write_bytes(data[:-1] + b"?")
    packed = tarred({"a.png": data})
    assert api("PUT", f"/jobs/{open_job(api)}/archive", A, data=packed).status_code == 200
    assert stored.read_bytes() == data
