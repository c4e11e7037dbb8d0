"""The second factor: set up, asked for, used once, lost and removed."""

from __future__ import annotations

import html
import re
import time

import pyotp
import pytest
from flask import Flask
from flask.testing import FlaskClient
from sqlalchemy import select, update

from core.audit import SYSTEM
from core.blobs import MemoryBlobs
from core.db import Database
from core.installation import Installation
from core.people import membership
from core.queue import MemoryQueue
from core.settings import Settings, TotpRule
from core.states import TokenKind
from core.tables import RecoveryCode, User
from tests.web.conftest import PASSWORD, Browser, SignIn, csrf_of, on_both, open_link
from tests.web.test_guessing import pass_time
from tests.web.test_sign_in import person_of, token_for, trail_of, try_password
from web import create_app
from web.security import second_factor

A = "a@laboratory.test"
ADMIN = "admin@localhost"
PAGE = "/account/second-factor"


def code_of(secret: str, shift: int = 1) -> str:
    """Return the code of the next period, which is taken already; that of now proved the set-up."""
    return pyotp.TOTP(secret).at(time.time() + 30 * shift)


def set_up(browser: Browser) -> tuple[str, list[str]]:
    """Turn the second factor on; return its secret and the recovery codes."""
    [secret] = re.findall(r'class="secret">([A-Z2-7]{32})<', browser.get(PAGE).text)
    form = {"code": code_of(secret, 0), "present": PASSWORD}
    page = browser.submit(f"{PAGE}/enable", form).text
    [codes] = re.findall(r'id="codes">([^<]+)<', page)
    return secret, codes.split()


def enter(client: FlaskClient, code: str) -> int:
    """Send the form that asks for a code and return the status."""
    token = csrf_of(client.get("/sign-in/code").text)
    return client.post("/sign-in/code", data={"code": code, "csrf_token": token}).status_code


@on_both
def test_with_a_second_factor_the_password_alone_opens_nothing(
    laboratory: Browser, app: Flask, database: Database
) -> None:
    secret, _ = set_up(laboratory)
    client = app.test_client()
    assert try_password(client, A, PASSWORD) == 302
    assert client.get("/jobs").status_code == 302
    assert enter(client, "000000") == 200
    assert enter(client, code_of(secret)) == 302
    assert client.get("/jobs").status_code == 200
    assert "password and code" in client.get("/account").text
    actions = [action for action, _ in trail_of(database)]
    assert actions[-3:] == ["totp_enabled", "sign_in_failed", "sign_in"]


def test_the_link_asks_for_the_code_too(
    laboratory: Browser, app: Flask, database: Database
) -> None:
    secret, _ = set_up(laboratory)
    client = app.test_client()
    link = f"/sign-in/{token_for(database, A, TokenKind.SIGN_IN)}"
    assert open_link(client, link).location == "/sign-in/code"
    assert enter(client, code_of(secret)) == 302
    assert "link and code" in client.get("/account").text


def test_a_code_is_good_once(laboratory: Browser, app: Flask) -> None:
    secret, _ = set_up(laboratory)
    code = code_of(secret)
    for status in (302, 200):
        client = app.test_client()
        try_password(client, A, PASSWORD)
        assert enter(client, code) == status


def test_a_recovery_code_is_good_once(laboratory: Browser, app: Flask, database: Database) -> None:
    _, codes = set_up(laboratory)
    assert len(set(codes)) == 10
    for status in (302, 200):
        client = app.test_client()
        try_password(client, A, PASSWORD)
        assert enter(client, f" {codes[3].upper()} ") == status
    assert "9 recovery codes left" in laboratory.get(PAGE).text
    assert ("totp_recovered", "person 1") in trail_of(database)


def test_codes_can_not_be_guessed(laboratory: Browser, app: Flask, database: Database) -> None:
    secret, _ = set_up(laboratory)
    client = app.test_client()
    try_password(client, A, PASSWORD)
    assert [enter(client, f"{i:06}") for i in range(7)] == [200] * 5 + [429] * 2
    other = app.test_client()
    try_password(other, A, PASSWORD)
    assert enter(other, code_of(secret)) == 429
    pass_time(database, 31)
    assert enter(other, code_of(secret)) == 302


def test_the_first_half_of_a_sign_in_does_not_outlive_a_new_password(
    laboratory: Browser, app: Flask, database: Database
) -> None:
    set_up(laboratory)
    client = app.test_client()
    try_password(client, A, PASSWORD)
    membership.change_password(database, SYSTEM, person_of(database, A).id, "another long password")
    assert client.get("/sign-in/code").status_code == 302


def test_the_code_page_opens_to_nobody_else(client: FlaskClient) -> None:
    assert "That took too long" in client.get("/sign-in/code", follow_redirects=True).text


def test_setting_up_takes_the_right_code_and_the_password(laboratory: Browser) -> None:
    [secret] = re.findall(r'class="secret">([A-Z2-7]{32})<', laboratory.get(PAGE).text)
    wrong = {"code": "000000", "present": PASSWORD}
    assert "not the current code" in laboratory.submit(f"{PAGE}/enable", wrong).text
    wrong = {"code": code_of(secret), "present": "wrong"}
    assert "not your current password" in laboratory.submit(f"{PAGE}/enable", wrong).text
    page = html.unescape(laboratory.get(PAGE).text)
    assert 'src="data:image/svg+xml' in page


def test_going_without_it_again_takes_the_password(
    laboratory: Browser, app: Flask, database: Database
) -> None:
    set_up(laboratory)
    assert laboratory.submit(f"{PAGE}/disable", {"present": "x"}).status_code == 200
    assert laboratory.submit(f"{PAGE}/disable", {"present": PASSWORD}).location == "/account"
    assert try_password(app.test_client(), A, PASSWORD) == 302
    with database.reading() as session:
        assert session.scalars(select(RecoveryCode)).all() == []
    assert trail_of(database)[-2:] == [("totp_disabled", "person 1"), ("sign_in", "person 1")]


def test_new_recovery_codes_take_the_place_of_the_old(laboratory: Browser, app: Flask) -> None:
    _, old = set_up(laboratory)
    page = laboratory.submit(f"{PAGE}/recovery-codes", {"present": PASSWORD}).text
    [new] = re.findall(r'id="codes">([^<]+)<', page)
    for code, status in ((old[0], 200), (new.split()[0], 302)):
        client = app.test_client()
        try_password(client, A, PASSWORD)
        assert enter(client, code) == status


def test_an_administrator_lets_in_who_lost_the_telephone(
    laboratory: Browser, sign_in: SignIn, app: Flask, database: Database
) -> None:
    set_up(laboratory)
    id_ = person_of(database, A).id
    admin = sign_in(ADMIN)
    assert admin.submit(f"/people/{id_}/remove-second-factor").status_code == 302
    client = app.test_client()
    try_password(client, A, PASSWORD)
    assert client.get("/jobs").status_code == 200


def test_the_secret_is_kept_encrypted(laboratory: Browser, database: Database) -> None:
    secret, codes = set_up(laboratory)
    encrypted = person_of(database, A).totp_secret
    assert encrypted is not None and secret not in encrypted
    with database.reading() as session:
        digests = session.scalars(select(RecoveryCode.digest)).all()
    assert not set(codes) & set(digests)


def test_a_changed_secret_key_is_said_and_is_no_fault(
    laboratory: Browser, settings: Settings, database: Database
) -> None:
    set_up(laboratory)
    other = settings.model_copy(update={"secret_key": "t" * 40})
    app = create_app(Installation(other, database, MemoryBlobs(), MemoryQueue()))
    client = app.test_client()
    try_password(client, A, PASSWORD)
    assert enter(client, "123456") == 409


@pytest.mark.parametrize(
    ("rule", "leads_away"), [("none", set()), ("administrators", {ADMIN}), ("all", {A, ADMIN})]
)
def test_a_required_second_factor_comes_before_all_else(
    settings: Settings, database: Database, rule: str, leads_away: set[str]
) -> None:
    strict = settings.model_copy(update={"require_totp": TotpRule(rule)})
    app = create_app(Installation(strict, database, MemoryBlobs(), MemoryQueue()))
    for email in (A, ADMIN):
        client = app.test_client()
        try_password(client, email, PASSWORD)
        answer = client.get("/jobs")
        assert (answer.location == PAGE) is (email in leads_away)
        if email in leads_away:
            assert client.get("/api/v1/jobs").status_code == 403
            assert "Your role requires it" in client.get(PAGE).text


def test_a_person_without_a_password_sets_it_up_by_their_link_alone(
    sign_in: SignIn, database: Database
) -> None:
    with database.writing() as session:
        session.execute(update(User).where(User.email == A).values(password=None))
    secret, _ = set_up(sign_in(A))
    assert second_factor.matching_step(secret, code_of(secret)) is not None
