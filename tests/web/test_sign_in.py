"""Signing in and out by password, link and token; and slowing down who guesses."""

from __future__ import annotations

import datetime as dt

import pytest
from flask import Flask
from flask.testing import FlaskClient
from sqlalchemy import select, update

from core import accounts
from core.blobs import MemoryBlobs
from core.db import Database, utcnow
from core.models import Token, User
from core.queue import MemoryQueue
from core.settings import Settings
from core.states import TokenKind
from tests.web.conftest import PASSWORD, SignIn, content, csrf_of, on_both
from web import create_app
from web.accounts import set_password
from web.sign_in import _limits_storage

A = "a@laboratory.test"


def try_password(client: FlaskClient, email: str, password: str, path: str = "/sign-in") -> int:
    """Send the sign-in form and return the status."""
    token = csrf_of(client.get(path).text)
    form = {"email": email, "password": password, "csrf_token": token}
    return client.post(path, data=form).status_code


def token_for(database: Database, email: str, kind: TokenKind, days: int | None = None) -> str:
    """Issue a token."""
    lifetime = dt.timedelta(days=days) if days is not None else None
    with database.writing() as session:
        user = accounts.find_person(session, email)
        return accounts.issue_token(session, user, kind, "test", lifetime)


@on_both
def test_address_and_password_open_a_session(client: FlaskClient) -> None:
    assert try_password(client, "  A@Laboratory.TEST ", PASSWORD) == 302
    assert A in client.get("/jobs").text


@on_both
@pytest.mark.parametrize(
    ("email", "password"), [(A, "wrong"), ("nobody@x.test", PASSWORD), ("a\0@x.test", "\0")]
)
def test_an_unknown_address_and_a_wrong_password_read_alike(
    client: FlaskClient, email: str, password: str
) -> None:
    token = csrf_of(client.get("/sign-in").text)
    form = {"email": email, "password": password, "csrf_token": token}
    answer = client.post("/sign-in", data=form)
    assert answer.status_code == 200
    assert "The address and the password do not match" in answer.text
    assert client.get("/jobs").status_code == 302


@pytest.mark.parametrize("wanted", ["/jobs", "https://evil.test/", "//evil.test"])
def test_signing_in_leads_to_the_wanted_page_and_never_elsewhere(
    client: FlaskClient, wanted: str
) -> None:
    path = f"/sign-in?next={wanted}"
    form = {"email": A, "password": PASSWORD, "csrf_token": csrf_of(client.get(path).text)}
    answer = client.post(path, data=form)
    if wanted == "/jobs":
        assert answer.location == "/jobs"
    else:
        assert answer.location is None
        assert "Redirections outside the domain are forbidden" in answer.text


def test_ten_failures_a_minute_are_enough(client: FlaskClient) -> None:
    codes = [try_password(client, A, f"wrong {i}") for i in range(12)]
    assert codes == [200] * 10 + [429] * 2


def test_successful_sign_ins_are_not_counted(app: Flask) -> None:
    codes = [try_password(app.test_client(), A, PASSWORD) for _ in range(12)]
    assert codes == [302] * 12


def test_sign_in_is_limited_in_memory_while_redis_is_away(
    settings: Settings, database: Database
) -> None:
    away = settings.model_copy(update={"redis_url": "redis+socket:///nowhere/redis.sock"})
    app = create_app(away, database=database, blobs=MemoryBlobs(), queue=MemoryQueue())
    client = app.test_client()
    codes = [try_password(client, A, "wrong") for _ in range(11)]
    assert codes == [200] * 10 + [429]


@pytest.mark.parametrize(
    ("broker", "storage"),
    [
        ("redis+socket:///run/redis.sock", "redis+unix:///run/redis.sock?db=0"),
        ("redis+socket:///run/redis.sock?virtual_host=3", "redis+unix:///run/redis.sock?db=3"),
        ("redis://:secret@host:6379/1", "redis://:secret@host:6379/1"),
    ],
)
def test_limits_are_kept_where_the_broker_is(broker: str, storage: str) -> None:
    assert _limits_storage(broker) == storage


@on_both
def test_a_link_signs_in_until_it_runs_out(app: Flask, database: Database) -> None:
    link = f"/sign-in/{token_for(database, A, TokenKind.SIGN_IN, 1)}"
    for _ in range(2):
        client = app.test_client()
        assert client.get(link).location == "/"
        assert client.get("/jobs").status_code == 200
    with database.writing() as session:
        session.execute(update(Token).values(expires_at=utcnow() - dt.timedelta(seconds=1)))
    answer = app.test_client().get(link, follow_redirects=True)
    assert "This link has run out" in answer.text


def test_a_link_replaces_who_was_signed_in(sign_in: SignIn, database: Database) -> None:
    browser = sign_in("b@laboratory.test")
    browser.get(f"/sign-in/{token_for(database, A, TokenKind.SIGN_IN)}")
    page = browser.get("/jobs").text
    assert A in page
    assert "b@laboratory.test" not in page


def test_a_token_opens_the_api_and_a_link_does_not(client: FlaskClient, database: Database) -> None:
    for kind, status in ((TokenKind.API, 200), (TokenKind.SIGN_IN, 401)):
        header = {"Authorization": f"Bearer {token_for(database, A, kind)}"}
        assert client.get("/api/v1/jobs", headers=header).status_code == status
        assert client.get("/jobs", headers=header).status_code == 302
    api_token = token_for(database, A, TokenKind.API)
    assert client.get(f"/sign-in/{api_token}").location.startswith("/sign-in?")


def test_a_wrong_token_is_refused_whatever_cookie_comes_along(sign_in: SignIn) -> None:
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


def test_signing_out_ends_the_session(sign_in: SignIn) -> None:
    browser = sign_in(A)
    assert browser.submit("/sign-out").location == "/sign-in"
    assert browser.get("/jobs").status_code == 302


def test_a_new_password_ends_all_sessions(sign_in: SignIn, database: Database) -> None:
    browser = sign_in(A)
    set_password(database, A, "another long password")
    assert browser.get("/jobs").status_code == 302
    assert try_password(browser.client, A, "another long password") == 302


def test_who_is_deactivated_is_out_at_once(
    sign_in: SignIn, database: Database, client: FlaskClient
) -> None:
    browser = sign_in(A)
    header = {"Authorization": f"Bearer {token_for(database, A, TokenKind.API)}"}
    with database.writing() as session:
        session.execute(update(User).where(User.email == A).values(active=False))
    assert browser.get("/jobs").status_code == 302
    assert client.get("/api/v1/jobs", headers=header).status_code == 401
    assert try_password(client, A, PASSWORD) == 200
