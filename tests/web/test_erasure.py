"""An administrator deletes a person, and takes that back."""

from __future__ import annotations

import pytest

from core.db import Database
from core.people import accounts
from core.tables import User
from tests.web.conftest import Browser, SignIn

A = "a@laboratory.test"


@pytest.fixture
def chief(sign_in: SignIn) -> Browser:
    """An administrator's browser."""
    return sign_in("admin@localhost")


def find(database: Database, email: str = A) -> User:
    with database.reading() as session:
        return accounts.find_person(session, email)


def test_a_person_is_deleted_and_restored(
    chief: Browser, laboratory: Browser, database: Database
) -> None:
    user, heir = find(database), find(database, "b@laboratory.test")
    page = chief.get(f"/people/{user.id}/delete").text
    assert "go to b@laboratory.test" in page
    assert chief.submit(f"/people/{user.id}/delete", {"jobs": str(heir.id)}).status_code == 302
    assert laboratory.get("/jobs").status_code == 302
    assert find(database).heir_id == heir.id
    people = chief.get("/people").text
    assert "erased on" in people
    assert chief.submit(f"/people/{user.id}/activate").status_code == 409
    assert chief.submit(f"/people/{user.id}/restore").status_code == 302
    assert find(database).active


@pytest.mark.parametrize("jobs", ["", "nobody", "999999", "-1", "٣", "1" * 40])
def test_what_becomes_of_the_jobs_must_be_said(
    chief: Browser, database: Database, jobs: str
) -> None:
    user = find(database)
    assert chief.submit(f"/people/{user.id}/delete", {"jobs": jobs}).status_code in (400, 404)
    assert find(database).active


def test_nobody_deletes_themselves_and_only_administrators_delete(
    chief: Browser, laboratory: Browser, database: Database
) -> None:
    own, other = find(database, "admin@localhost"), find(database)
    assert chief.submit(f"/people/{own.id}/delete", {"jobs": "delete"}).status_code == 409
    assert laboratory.get(f"/people/{other.id}/delete").status_code == 403
    for action in ("delete", "restore"):
        answer = laboratory.submit(f"/people/{other.id}/{action}", {"jobs": "delete"})
        assert answer.status_code == 403
