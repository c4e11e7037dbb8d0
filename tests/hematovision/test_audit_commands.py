"""The audit trail at the command line."""

from __future__ import annotations

import json

import pytest
from click.testing import CliRunner
from sqlalchemy import text

from core import audit
from core.audit import Action
from core.db import Database
from hematovision.cli import main
from hematovision.operator import operator
from tests.conftest import without_triggers


@pytest.fixture
def database(database: Database) -> Database:
    """The test's database, with two entries in its trail."""
    for number in (1, 2):
        with database.writing() as session:
            audit.note(session, Action.JOB_DELETED, operator(), f"job {number}", {"images": 4})
    return database


def _run(*words: str) -> tuple[int, str]:
    result = CliRunner().invoke(main, ["audit", *words])
    return result.exit_code, result.output


def test_a_whole_trail_is_said_to_be_whole_and_its_newest_digest_is_printed(
    database: Database,
) -> None:
    with database.reading() as session:
        newest, first = audit.newest(session, 2)
    status, output = _run("verify", "--expect", first.digest)
    assert (status, output.splitlines()[-1]) == (0, newest.digest)
    assert "intact: 2 entries" in output
    assert "belongs to entry 1." in output


def test_a_changed_entry_is_named_and_ends_with_an_error(database: Database) -> None:
    with database.writing() as session, without_triggers(session):
        session.execute(text("UPDATE audit SET subject = 'job 3' WHERE number = 2"))
    status, output = _run("verify")
    assert status == 1
    assert "Entry 2 was changed. Entries before that are sound: 1." in output


def test_entries_are_listed_for_people_and_for_programs(database: Database) -> None:
    status, output = _run("list", "--subject", "job 2")
    assert status == 0
    assert output.startswith("2\t")
    assert "job_deleted\tjob 2" in output
    lines = [json.loads(line) for line in _run("list", "--json")[1].splitlines()]
    assert [line["subject"] for line in lines] == ["job 2", "job 1"]
    assert lines[0]["actor"].startswith("command line (")


def test_listing_what_an_unknown_person_did_says_that_nobody_has_this_address(
    database: Database,
) -> None:
    status, output = _run("list", "--person", "nobody@example.org")
    assert status == 1
    assert "no person with the address nobody@example.org" in output
