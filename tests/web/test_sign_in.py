"""Signing in and out by password, link and token, and what a session lives by."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable
from typing import Any

import pytest
from flask import Flask
from flask.testing import FlaskClient
from sqlalchemy import event, select, update

from core import audit
from core.audit import SYSTEM
from core.blobs import MemoryBlobs
from core.db import Database, utcnow
from core.installation import Installation
from core.people import accounts, membership, tokens
from core.queue import MemoryQueue
from core.settings import Settings
from core.states import API_TOKENS, TokenKind
from core.tables import SignIn, Token, User
from tests.web.conftest import PASSWORD, content, csrf_of, on_both, open_link
from tests.web.conftest import SignIn as Enter
from web import create_app

A = "a@laboratory.test"
B = "b@laboratory.test"
NEW = "another long password"
Ending = Callable[[Database, int], Any]


def try_password(client: FlaskClient, email: str, password: str, path: str = "/sign-in") -> int:
    """Send the sign-in form and return the status."""
    token = csrf_of(client.get(path).text)
    form = {"email": email, "password": password, "csrf_token": token}
    return client.post(path, data=form).status_code


def person_of(database: Database, email: str) -> User:
    """Return a person."""
    with database.reading() as session:
        return accounts.find_person(session, email)


def token_for(
    database: Database, email: str, kind: TokenKind, lifetime: dt.timedelta | None = None
) -> str:
    """Issue a token."""
    with database.writing() as session:
        user = accounts.find_person(session, email)
        return tokens.issue(session, user, kind, "test", lifetime)


def trail_of(database: Database) -> list[tuple[str, str]]:
    """Return action and subject of the audit trail's entries, the oldest first."""
    with database.reading() as session:
        return [(entry.action, entry.subject) for entry in reversed(audit.newest(session, 100))]


@on_both
def test_address_and_password_open_a_session(client: FlaskClient, database: Database) -> None:
    assert try_password(client, "  A@Laboratory.TEST ", PASSWORD) == 302
    assert A in client.get("/jobs").text
    assert client.get("/sign-in?next=/jobs").location == "/jobs"
    with database.reading() as session:
        [entry] = audit.newest(session, 1)
    assert (entry.action, entry.actor, entry.address) == ("sign_in", A, "127.0.0.1")
    assert (entry.session, entry.detail) == ("session 1", {"how": "password"})


@on_both
@pytest.mark.parametrize(
    ("email", "password"), [(A, "wrong"), ("nobody@x.test", PASSWORD), ("a\0@x.test", "\0")]
)
def test_an_unknown_address_and_a_wrong_password_read_alike(
    client: FlaskClient, database: Database, email: str, password: str
) -> None:
    token = csrf_of(client.get("/sign-in").text)
    form = {"email": email, "password": password, "csrf_token": token}
    answer = client.post("/sign-in", data=form)
    assert answer.status_code == 200
    assert "The address and the password do not match" in answer.text
    assert client.get("/jobs").status_code == 302
    [(action, subject)] = [entry for entry in trail_of(database) if entry[0] != "person_added"]
    assert (action, subject) == ("sign_in_failed", "person 1" if email == A else "")


@pytest.mark.parametrize(
    ("wanted", "page"),
    [
        ("/jobs", "/jobs"),
        ("https://evil.test/", "/"),
        ("//evil.test", "/"),
        ("/\\evil.test", "/"),
        ("\\/evil.test", "/"),
        ("/\tevil", "/"),
        ("jobs", "/"),
    ],
)
def test_signing_in_leads_to_the_wanted_page_and_never_elsewhere(
    client: FlaskClient, wanted: str, page: str
) -> None:
    token = csrf_of(client.get("/sign-in").text)
    form = {"email": A, "password": PASSWORD, "csrf_token": token}
    assert client.post("/sign-in", query_string={"next": wanted}, data=form).location == page


@on_both
def test_a_link_signs_in_once_and_looking_at_it_uses_nothing_up(
    app: Flask, database: Database
) -> None:
    link = f"/sign-in/{token_for(database, A, TokenKind.SIGN_IN, dt.timedelta(minutes=15))}"
    for _ in range(3):
        assert "This link signs you in as a@laboratory.test" in app.test_client().get(link).text
    client = app.test_client()
    assert open_link(client, link).location == "/"
    assert client.get("/jobs").status_code == 200
    assert client.get(link).location == "/", "who goes back to it is signed in already"
    other = app.test_client()
    assert "has already been used" in other.get(link, follow_redirects=True).text
    token = csrf_of(other.get("/sign-in").text)
    assert other.post(link, data={"csrf_token": token}).location.startswith("/sign-in")
    assert other.get("/jobs").status_code == 302


def test_a_link_that_has_run_out_says_so(client: FlaskClient, database: Database) -> None:
    link = token_for(database, A, TokenKind.SIGN_IN, -dt.timedelta(seconds=1))
    assert "has expired" in client.get(f"/sign-in/{link}", follow_redirects=True).text


def test_a_new_link_ends_the_one_before(client: FlaskClient, database: Database) -> None:
    minute = dt.timedelta(minutes=1)
    with database.writing() as session:
        user = accounts.find_person(session, A)
        first, second = (membership.make_link(session, SYSTEM, user, minute) for _ in range(2))
    assert client.get(first).status_code == 302
    assert client.get(second).status_code == 200


def test_a_link_replaces_who_was_signed_in(sign_in: Enter, database: Database) -> None:
    browser = sign_in(B)
    open_link(browser.client, f"/sign-in/{token_for(database, A, TokenKind.SIGN_IN)}")
    page = browser.get("/jobs").text
    assert A in page
    assert B not in page


def test_a_token_opens_the_api_and_a_link_does_not(client: FlaskClient, database: Database) -> None:
    for kind in TokenKind:
        status = 200 if kind in API_TOKENS else 401
        header = {"Authorization": f"Bearer {token_for(database, A, kind)}"}
        assert client.get("/api/v1/jobs", headers=header).status_code == status
        assert client.get("/jobs", headers=header).status_code == 302
    api_token = token_for(database, A, TokenKind.API)
    assert client.get(f"/sign-in/{api_token}").location.startswith("/sign-in?")


def test_a_wrong_token_is_refused_whatever_cookie_comes_along(sign_in: Enter) -> None:
    answer = sign_in(A).get("/api/v1/jobs", headers={"Authorization": "Bearer hv_wrong"})
    assert answer.status_code == 401
    assert "This token is unknown" in content(answer)["error"]["message"]


def test_the_use_of_a_token_is_noted_but_not_with_every_request(
    client: FlaskClient, database: Database
) -> None:
    header = {"Authorization": f"Bearer {token_for(database, A, TokenKind.API)}"}
    seen = []
    for _ in range(2):
        client.get("/api/v1/jobs", headers=header)
        with database.reading() as session:
            seen.append(session.scalars(select(Token.used_at)).one())
    assert seen[0] is not None
    assert seen[0] == seen[1]


def test_a_cookie_copied_before_signing_out_opens_nothing_after_it(
    app: Flask, sign_in: Enter, database: Database
) -> None:
    browser = sign_in(A)
    cookie = browser.client.get_cookie("hematovision")
    assert cookie
    answer = browser.submit("/sign-out")
    assert answer.location == "/sign-in"
    assert answer.headers["Clear-Site-Data"] == '"cache"'
    assert browser.get("/jobs").status_code == 302
    thief = app.test_client()
    thief.set_cookie("hematovision", cookie.value)
    assert thief.get("/jobs").status_code == 302
    assert trail_of(database)[-1] == ("sign_out", "person 1")


def _change(database: Database, user_id: int) -> None:
    membership.change_password(database, SYSTEM, user_id, NEW)


def _reset(database: Database, user_id: int) -> None:
    membership.reset_password(database, SYSTEM, user_id)


def _deactivate(database: Database, user_id: int) -> None:
    with database.writing() as session:
        membership.set_active(session, SYSTEM, user_id, active=False)


def _leave_and_return(database: Database, user_id: int) -> None:
    _deactivate(database, user_id)
    with database.writing() as session:
        membership.set_active(session, SYSTEM, user_id, active=True)


@on_both
@pytest.mark.parametrize("end", [_change, _reset, _deactivate, _leave_and_return])
def test_what_takes_trust_away_ends_sessions_tokens_and_links_for_good(
    app: Flask, sign_in: Enter, database: Database, end: Ending
) -> None:
    browser, other = sign_in(A), sign_in(B)
    header = {"Authorization": f"Bearer {token_for(database, A, TokenKind.API)}"}
    link = f"/sign-in/{token_for(database, A, TokenKind.SIGN_IN)}"
    end(database, person_of(database, A).id)
    assert browser.get("/jobs").status_code == 302
    assert app.test_client().get("/api/v1/jobs", headers=header).status_code == 401
    assert app.test_client().get(link).status_code == 302
    assert other.get("/jobs").status_code == 200


def test_a_deactivated_person_gets_no_token_that_would_open_the_door_later(
    database: Database, client: FlaskClient
) -> None:
    _deactivate(database, person_of(database, A).id)
    assert try_password(client, A, PASSWORD) == 200
    with pytest.raises(Exception, match="is deactivated"):
        token_for(database, A, TokenKind.API)


def test_this_machines_command_line_goes_on_after_a_password_change(
    database: Database, client: FlaskClient
) -> None:
    """Its token hangs on the data folder, whose reader can read the database itself."""
    header = {"Authorization": f"Bearer {token_for(database, A, TokenKind.MACHINE)}"}
    _change(database, person_of(database, A).id)
    assert client.get("/api/v1/jobs", headers=header).status_code == 200
    _leave_and_return(database, person_of(database, A).id)
    assert client.get("/api/v1/jobs", headers=header).status_code == 401


def _set_back(database: Database, **columns: dt.timedelta) -> None:
    with database.writing() as session:
        values = {name: utcnow() - ago for name, ago in columns.items()}
        session.execute(update(SignIn).values(**values))


def test_a_session_ends_when_nobody_was_there_for_long(sign_in: Enter, database: Database) -> None:
    browser = sign_in(A)
    _set_back(database, seen_at=dt.timedelta(minutes=59))
    assert browser.get("/jobs").status_code == 200
    _set_back(database, seen_at=dt.timedelta(minutes=61))
    assert browser.get("/jobs").status_code == 302


def test_a_session_ends_after_its_hours_whoever_is_there(
    sign_in: Enter, database: Database
) -> None:
    browser = sign_in(A)
    _set_back(database, created_at=dt.timedelta(hours=11))
    assert browser.get("/jobs").status_code == 200
    _set_back(database, created_at=dt.timedelta(hours=12, minutes=1))
    assert browser.get("/jobs").status_code == 302


def test_both_limits_can_be_set(settings: Settings, database: Database) -> None:
    short = settings.model_copy(update={"session_idle_minutes": 1.0, "session_hours": 1.0})
    app = create_app(Installation(short, database, MemoryBlobs(), MemoryQueue()))
    for column, limit in (("seen_at", 1), ("created_at", 60)):
        client = app.test_client()
        open_link(client, f"/sign-in/{token_for(database, A, TokenKind.SIGN_IN)}")
        assert client.get("/jobs").status_code == 200
        _set_back(database, **{column: dt.timedelta(minutes=limit, seconds=1)})
        assert client.get("/jobs").status_code == 302


def _seen(database: Database) -> dt.datetime:
    with database.reading() as session:
        return session.scalars(select(SignIn.seen_at)).one()


def test_presence_is_noted_once_a_minute_and_not_for_what_a_page_asks_by_itself(
    sign_in: Enter, database: Database
) -> None:
    browser = sign_in(A)
    began = _seen(database)
    browser.get("/jobs")
    assert _seen(database) == began
    _set_back(database, seen_at=dt.timedelta(minutes=2))
    idle = _seen(database)
    browser.get("/jobs", headers={"Accept": "*/*"})
    assert _seen(database) == idle
    browser.get("/jobs", headers={"Accept": "text/html,*/*;q=0.8"})
    assert _seen(database) > idle


@on_both
def test_a_request_asks_once_who_it_comes_from(sign_in: Enter, database: Database) -> None:
    browser = sign_in(A)
    asked: list[str] = []

    def note(*arguments: Any) -> None:
        asked.append(arguments[2])

    event.listen(database.engine, "before_cursor_execute", note)
    browser.get("/jobs")
    event.remove(database.engine, "before_cursor_execute", note)
    of_people = [sql for sql in asked if "sign_in" in sql or '"user"' in sql or "roles" in sql]
    assert len(of_people) == 1, of_people


def test_signing_in_again_ends_up_in_a_session_of_its_own(
    client: FlaskClient, database: Database
) -> None:
    """Whoever put a cookie into somebody's browser must not share what they sign in to."""
    client.get("/sign-in")
    planted = client.get_cookie("hematovision")
    assert planted
    try_password(client, A, PASSWORD)
    grown = client.get_cookie("hematovision")
    assert grown and grown.value != planted.value
    thief = client.application.test_client()
    thief.set_cookie("hematovision", planted.value)
    assert thief.get("/jobs").status_code == 302
