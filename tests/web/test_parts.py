"""Looking again and again at a job: nothing new costs next to nothing, nobody is left frozen."""

from __future__ import annotations

import threading

import pytest
from flask import Flask

from benchmarks.pages import statements_of
from core.db import Database
from tests.web.conftest import Browser, Classify, Png, SignIn, Submitted
from web.parts import PAUSE_HEADER, Parts

LOOK = {"X-Requested-With": "fetch"}


def test_a_look_that_finds_nothing_new_is_answered_by_a_few_bytes(
    laboratory: Browser, submitted: Submitted, classify: Classify, png: Png, database: Database
) -> None:
    job = submitted({f"{n}.png": png(n) for n in range(9)})
    first = laboratory.get(f"/jobs/{job}/summary", headers=LOOK)
    seen = LOOK | {"If-None-Match": first.headers["ETag"]}
    with statements_of(database) as statements:
        again = laboratory.get(f"/jobs/{job}/summary", headers=seen)
    assert (again.status_code, again.data) == (304, b"")
    assert len([sql for sql in statements if "SELECT" in sql]) <= 4, statements
    assert float(again.headers[PAUSE_HEADER]) >= 1
    classify(shards=1)
    changed = laboratory.get(f"/jobs/{job}/summary", headers=seen)
    assert changed.status_code == 200
    assert changed.headers["ETag"] != first.headers["ETag"]


def test_a_part_is_the_same_for_all_who_may_see_it(
    sign_in: SignIn, submitted: Submitted, png: Png
) -> None:
    job = submitted({"a.png": png()})
    owner, doctor = sign_in("a@laboratory.test"), sign_in("doctor@clinic.test")
    mine = owner.get(f"/jobs/{job}/summary").text
    theirs = doctor.get(f"/jobs/{job}/summary").text
    assert "Cancel the job" in mine and "Cancel the job" not in theirs
    assert owner.csrf not in mine and 'name="csrf_token" value=""' in mine
    other = sign_in("b@laboratory.test")
    for part in ("summary", "gallery"):
        owner.get(f"/jobs/{job}/{part}")
        assert other.get(f"/jobs/{job}/{part}").status_code == 404


def test_a_script_that_looks_is_told_that_its_session_has_ended(app: Flask) -> None:
    stranger = app.test_client()
    assert stranger.get("/jobs/1/summary", headers=LOOK).status_code == 401
    assert stranger.get("/jobs", headers=LOOK).status_code == 401
    assert stranger.get("/jobs/1/summary").status_code == 302


def test_the_more_look_the_less_often_each_does() -> None:
    now = [0.0]
    parts = Parts(clock=lambda: now[0])
    for viewer in range(200):
        pause = parts.pause(viewer, 1)
    assert pause == pytest.approx(200 / 30)
    now[0] = 60
    assert parts.pause("alone", 1) == 1
    assert parts.pause("alone", 3) == 3


def test_many_who_ask_at_once_wait_for_one_that_makes() -> None:
    parts, made = Parts(), []
    begun, go_on = threading.Event(), threading.Event()

    def make() -> str:
        begun.set()
        assert go_on.wait(10)
        made.append("made")
        return f"<p>{len(made)}</p>"

    def ask() -> None:
        parts_read.append(parts.get("key", lambda: 1, make))

    parts_read: list[tuple[str, str]] = []
    asking = [threading.Thread(target=ask) for _ in range(5)]
    for thread in asking:
        thread.start()
    assert begun.wait(10)
    go_on.set()
    for thread in asking:
        thread.join(10)
    assert len(made) == 1
    assert len(set(parts_read)) == 1


def test_a_part_is_made_anew_when_its_version_or_the_time_has_come() -> None:
    now, version, made = [0.0], [1], []
    parts = Parts(clock=lambda: now[0])

    def make() -> str:
        made.append(version[0])
        return "the same"

    def get() -> tuple[str, str]:
        return parts.get("key", lambda: version[0], make)

    assert get() == get()
    version[0] = 2
    get()
    now[0] = 60
    get()
    assert made == [1, 2, 2]
    for viewer in range(101):
        parts.pause(viewer, 1)
    version[0] = 3
    now[0] = 60.4
    get()
    assert made == [1, 2, 2], "Among very many, what was found half a second ago is good enough."
    now[0] = 60.6
    get()
    assert made == [1, 2, 2, 3]
