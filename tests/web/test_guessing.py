"""Who guesses is slowed down; whom they guess at is not kept out."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import pytest
from flask import Flask
from flask.testing import FlaskClient
from sqlalchemy import select, update

from core.db import Database
from core.errors import TooManyAttempts
from core.installation import Installation
from core.settings import Settings
from core.states import TokenKind
from core.tables import Guesses
from tests.web.conftest import PASSWORD, Browser, csrf_of, on_both
from tests.web.test_sign_in import token_for
from web.security import guessing
from web.security.guessing import Budget

A = "a@laboratory.test"
HOME, OUTSIDE = "192.0.2.1", "198.51.100.7"


def attempt(client: FlaskClient, password: str, email: str = A, address: str = OUTSIDE) -> int:
    """Send the sign-in form from an address and return the status."""
    at = {"REMOTE_ADDR": address}
    token = csrf_of(client.get("/sign-in", environ_base=at).text)
    form = {"email": email, "password": password, "csrf_token": token}
    return client.post("/sign-in", data=form, environ_base=at).status_code


def guess(app: Flask, count: int, email: str = A, address: str = OUTSIDE) -> list[int]:
    """Guess with a new browser each time and return the statuses."""
    return [attempt(app.test_client(), f"guess {i}", email, address) for i in range(count)]


def pass_time(database: Database, seconds: float) -> None:
    """Let the past be so much longer ago."""
    with database.writing() as session:
        session.execute(
            update(Guesses).values(
                blocked_until=Guesses.blocked_until - seconds, last_at=Guesses.last_at - seconds
            )
        )


def test_many_addresses_have_one_budget_for_an_account(app: Flask) -> None:
    codes = [code for n in range(12) for code in guess(app, 10, address=f"198.51.100.{n}")]
    assert codes == [200] * 5 + [429] * 115


def test_waits_grow_up_to_a_quarter_of_an_hour() -> None:
    budget = Budget("x")
    waits = [budget.wait(failures) for failures in range(1, 13)]
    assert waits == [0, 0, 0, 0, 30, 60, 120, 240, 480, 900, 900, 900]
    assert budget.wait(10**6) == 900


def test_a_wait_is_said_and_after_it_the_right_password_opens(
    app: Flask, client: FlaskClient, database: Database
) -> None:
    guess(app, 6)
    token = csrf_of(client.get("/sign-in").text)
    form = {"email": A, "password": PASSWORD, "csrf_token": token}
    answer = client.post("/sign-in", data=form, environ_base={"REMOTE_ADDR": OUTSIDE})
    assert answer.status_code == 429
    assert 25 <= int(answer.headers["Retry-After"]) <= 30
    assert "Too many attempts. Wait" in answer.text
    pass_time(database, 31)
    assert attempt(client, PASSWORD) == 302


def test_a_try_that_was_refused_does_not_lengthen_the_wait(app: Flask, database: Database) -> None:
    guess(app, 40)
    pass_time(database, 31)
    assert attempt(app.test_client(), PASSWORD) == 302


def test_guesses_elsewhere_keep_nobody_out_who_was_here_before(
    app: Flask, client: FlaskClient
) -> None:
    assert attempt(client, PASSWORD, address=HOME) == 302
    client.post("/sign-out", data={"csrf_token": csrf_of(client.get("/account").text)})
    assert 429 in guess(app, 8)
    assert attempt(client, PASSWORD, address=OUTSIDE) == 302, "this browser is known"
    assert attempt(app.test_client(), PASSWORD, address=HOME) == 302, "this address is known"
    assert attempt(app.test_client(), PASSWORD, address="203.0.113.9") == 429


def test_a_browser_that_is_known_has_no_more_tries_than_others(
    app: Flask, client: FlaskClient
) -> None:
    attempt(client, PASSWORD)
    client.post("/sign-out", data={"csrf_token": csrf_of(client.get("/account").text)})
    codes = [attempt(client, f"guess {i}") for i in range(7)]
    assert codes == [200] * 5 + [429] * 2
    attempt(app.test_client(), PASSWORD)
    client.set_cookie("hematovision_browser", "made up")
    assert attempt(client, "guess") == 200, "a cookie of one's own making is none"


def test_one_machine_keeps_nobody_else_out_behind_the_same_proxy(
    app: Flask, database: Database
) -> None:
    for number in range(40):
        guess(app, 1, email=f"nobody-{number}@x.test")
    assert attempt(app.test_client(), PASSWORD) == 429, "the machine that guesses is slowed down"
    pass_time(database, 11)
    assert attempt(app.test_client(), PASSWORD) == 302
    for number in range(40):
        guess(app, 1, email=f"nobody-{number}@x.test")
    assert attempt(app.test_client(), PASSWORD) == 302, "who was here before does not wait at all"


def test_an_address_waits_ten_seconds_at_most() -> None:
    budget = guessing.Budget("x", 30, 1.0, 10.0)
    assert [budget.wait(n) for n in (29, 30, 31, 32, 33, 34, 1000)] == [0, 1, 2, 4, 8, 10, 10]


def test_successful_sign_ins_are_not_counted(app: Flask) -> None:
    assert [attempt(app.test_client(), PASSWORD) for _ in range(35)] == [302] * 35


def test_a_success_wipes_the_accounts_slate(app: Flask) -> None:
    assert guess(app, 4) == [200] * 4
    assert attempt(app.test_client(), PASSWORD) == 302
    assert guess(app, 5) == [200] * 5


def test_a_day_without_a_failure_wipes_it_too(app: Flask, database: Database) -> None:
    assert guess(app, 6)[-1] == 429
    pass_time(database, 25 * 3600)
    assert guess(app, 6) == [200] * 5 + [429]


def test_an_unknown_address_is_limited_like_a_known_one(app: Flask) -> None:
    assert guess(app, 7, email="nobody@x.test") == guess(app, 7)


@on_both
def test_many_tries_at_once_get_no_more_than_the_budget(app: Flask, database: Database) -> None:
    def spend(_: int) -> bool:
        try:
            guessing.spend(database, [Budget("a"), Budget("b", 30, lasting=True)])
        except TooManyAttempts:
            return False
        return True

    with ThreadPoolExecutor(8) as pool:
        assert sum(pool.map(spend, range(40))) == 5
    with database.writing() as session:
        guessing.give_back(session, [Budget("a"), Budget("b", 30, lasting=True)])
    with database.reading() as session:
        assert {row.key: row.failures for row in session.scalars(select(Guesses))} == {
            "a": 0,
            "b": 4,
        }


@on_both
def test_tries_and_successes_at_once_are_no_fault(app: Flask, database: Database) -> None:
    budgets = [Budget("a", 10**6), Budget("b", 10**6, lasting=True)]

    def succeed(_: int) -> None:
        guessing.spend(database, budgets)
        with database.writing() as session:
            guessing.give_back(session, budgets)

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(succeed, range(64)))
    with database.reading() as session:
        assert {row.key: row.failures for row in session.scalars(select(Guesses))} == {
            "a": 0,
            "b": 0,
        }


def test_several_processes_share_the_budgets(
    app: Flask, settings: Settings, database: Database
) -> None:
    from core.blobs import MemoryBlobs
    from core.queue import MemoryQueue
    from web import create_app

    second = create_app(Installation(settings, database, MemoryBlobs(), MemoryQueue()))
    assert guess(app, 3) == [200] * 3
    assert guess(second, 3) == [200] * 2 + [429]


def test_the_present_password_can_not_be_guessed_from_a_session(
    laboratory: Browser, database: Database
) -> None:
    form = {"present": "wrong", "new": "another long password"}
    codes = [laboratory.submit("/account/password", form).status_code for _ in range(7)]
    assert codes == [200] * 5 + [429] * 2
    right = {"present": PASSWORD, "new": "another long password"}
    assert laboratory.submit("/account/password", right).status_code == 429
    pass_time(database, 31)
    assert laboratory.submit("/account/password", right).status_code == 302


@pytest.mark.parametrize("path", ["/api/v1/jobs", "/sign-in/guess"])
def test_tokens_and_links_can_not_be_guessed_at_speed(
    app: Flask, database: Database, path: str
) -> None:
    client, header = app.test_client(), {"Authorization": "Bearer hv_guess"}
    codes = {client.get(path, headers=header).status_code for _ in range(30)}
    assert codes in ({401}, {302})
    answer = client.get(path, headers=header)
    assert answer.status_code == 429
    assert answer.headers["Retry-After"] == "1"
    right = {"Authorization": f"Bearer {token_for(database, A, TokenKind.API)}"}
    assert client.get("/api/v1/jobs", headers=right).status_code == 200, "a right one never waits"


def test_an_ipv6_household_is_one_address(app: Flask) -> None:
    for number in range(31):
        guess(app, 1, email=f"nobody-{number}@x.test", address=f"2001:db8::{number:x}")
    assert attempt(app.test_client(), "x", address="2001:db8::ffff") == 429
    assert attempt(app.test_client(), "x", address="2001:db8:0:1::1") == 200
