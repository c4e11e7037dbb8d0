"""Deleting, restoring and cleaning at the command line."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from contract.jobs import JobPage
from core import jobs
from core.blobs import LocalBlobs, image_key
from core.db import Database
from core.intake import Accepted
from core.people import accounts
from core.settings import Settings
from core.tables import Job, User
from hematovision.cli import main
from hematovision.client import Client
from tests.contract.answers import DELETED, EMPTY_PAGE, USAGE
from tests.hematovision.conftest import Answer

Serve = Callable[[Answer], str]


@pytest.fixture
def asked(serve: Serve, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> list[str]:
    """Start a server that the command line speaks to; return what it was asked for."""
    calls: list[str] = []

    def answer(request: BaseHTTPRequestHandler) -> tuple[int, bytes]:
        calls.append(f"{request.command} {request.path.removeprefix('/api/v1')}")
        body: object = (
            {"jobs": [DELETED], "next": None} if request.path.endswith("/jobs/deleted") else DELETED
        )
        return 200, json.dumps(USAGE if request.path.endswith("/usage") else body).encode()

    monkeypatch.setenv("HEMATOVISION_DATA", str(tmp_path))
    monkeypatch.setenv("HEMATOVISION_SERVER", serve(answer))
    monkeypatch.setenv("HEMATOVISION_TOKEN", "hv_x")
    return calls


def run(*words: str, answers: str = "") -> Result:
    return CliRunner().invoke(main, list(words), input=answers)


def test_jobs_are_deleted_only_after_a_yes(asked: list[str]) -> None:
    result = run("delete", "4", "5", answers="n\n")
    assert result.exit_code == 1
    assert "Delete job 4, 5?" in result.output
    assert asked == []
    result = run("delete", "4", "5", answers="y\n")
    assert asked == ["DELETE /jobs/4", "DELETE /jobs/5"]
    assert "Job 4 is deleted. It can be restored until 2026-03-08 12:00 UTC." in result.output


def test_pictures_alone_and_for_good(asked: list[str]) -> None:
    assert "which can't be undone?" in run("delete", "4", "--for-good", answers="n\n").output
    run("delete", "4", "--for-good", "--yes")
    output = run("delete", "4", "--pictures", "--yes").output
    assert output == "Job 4: its pictures will be deleted.\n"
    assert asked == ["DELETE /jobs/4?at_once=1", "DELETE /jobs/4/pictures"]


def test_what_was_deleted_is_listed_and_restored(asked: list[str]) -> None:
    assert run("restore").output == "4\tSlide 7\tcan be restored until 2026-03-08 12:00 UTC\n"
    assert run("restore", "4").output == "Job 4 is restored.\n"
    assert run("restore", "4", "--pictures").output == "Job 4: its pictures are kept.\n"
    assert asked[1:] == ["POST /jobs/4/restore", "POST /jobs/4/keep-pictures"]


def test_usage_is_shown_for_people_and_programs(asked: list[str]) -> None:
    assert run("usage").output.splitlines() == [
        "You: 2.0 kB of 4.0 kB, 1 of 5 open jobs",
        "Everyone: 3.0 GB, 1,200 open jobs",
    ]
    assert json.loads(run("usage", "--json").output) == USAGE


def test_the_client_waits_as_long_as_the_server_asks_it_to(serve: Serve) -> None:
    answers = [429, 200]

    def answer(request: BaseHTTPRequestHandler) -> tuple[int, bytes]:
        return answers.pop(0), json.dumps(EMPTY_PAGE).encode()

    assert Client(serve(answer), "hv_x").get("/jobs", JobPage).jobs == []
    assert answers == []


@pytest.fixture
def database(database: Database) -> Database:
    """The test's database, with two people and one job."""
    with database.writing() as session:
        accounts.first_administrator(session, "chief@example.org")
        person = User(email="anna@example.org")
        session.add(person)
        session.flush()
        jobs.create(session, person.id, "Slide 7")
    return database


def test_a_person_is_deleted_and_restored(database: Database) -> None:
    assert run("user", "delete", "anna@example.org", "--yes").exit_code == 2
    heir = ("--jobs-to", "chief@example.org")
    result = run("user", "delete", "anna@example.org", *heir, "--yes")
    assert "can no longer sign in and will be erased on" in result.output
    with database.reading() as session:
        assert not accounts.find_person(session, "anna@example.org").active
    result = run("user", "restore", "anna@example.org")
    assert result.output == "anna@example.org can sign in again.\n"
    last = run("user", "delete", "chief@example.org", "--delete-jobs", "--yes")
    assert (last.exit_code, "last administrator" in last.output) == (1, True)


def test_strays_are_removed_after_a_yes_and_what_is_needed_stays(database: Database) -> None:
    blobs = LocalBlobs(Settings.from_env().blobs)
    needed, stray = image_key("a" * 64), image_key("b" * 64)
    for key in (needed, stray):
        blobs.put(key, b"bytes")
        two_days_ago = Path(Settings.from_env().blobs / key).stat().st_mtime - 2 * 86400
        os.utime(Settings.from_env().blobs / key, (two_days_ago, two_days_ago))
    with database.writing() as session:
        job = session.get_one(Job, 1)
        [(image, _)] = jobs.announce(session, job, [jobs.Entry("a.png", 5, "a" * 64)], 10)
        jobs.receive(session, job, image, Accepted("a" * 64, 5, "PNG", 64, 64))
    output = run("db", "clean", answers="n\n").output
    assert "1 of 2 stored files are not needed" in output
    assert blobs.exists(stray)
    assert "Deleted." in run("db", "clean", "--yes").output
    assert (blobs.exists(needed), blobs.exists(stray)) == (True, False)
    assert "0 of 1 stored files are not needed" in run("db", "clean").output
