"""The documented table of rights: it names every address, and each of its cells is true."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable
from pathlib import Path

import pytest
from flask import Flask
from flask.testing import FlaskClient
from sqlalchemy import update
from werkzeug.routing import Rule
from werkzeug.test import TestResponse

from core.blobs import MemoryBlobs
from core.db import Database, utcnow
from core.states import MakingState, TokenKind
from core.tables import Job, Report, User
from tests.web.conftest import DIGEST, Api, Classify, Png, SignIn, Submitted, csrf_of
from tests.web.test_sign_in import token_for

PAGE = Path(__file__).parents[2] / "docs" / "rights.md"
A, B = "a@laboratory.test", "b@laboratory.test"
# The person whom administrators act upon.
ANOTHER = 99
# A column of the table → who asks. Everything that has an owner is laboratory A's.
COLUMNS = {
    "stranger": None,
    "owner": A,
    "other laboratory": B,
    "clinician": "doctor@clinic.test",
    "administrator": "admin@localhost",
}
Rights = dict[tuple[str, str], dict[str, str]]


def written() -> Rights:
    """Return the table: method and address → column → what happens."""
    lines = [line for line in PAGE.read_text().splitlines() if line.startswith("|")]
    head, _, *rows = [[cell.strip(" `") for cell in line.strip("|").split("|")] for line in lines]
    return {(row[0], row[1]): dict(zip(head[2:], row[2:], strict=True)) for row in rows}


def routes(app: Flask) -> dict[tuple[str, str], Rule]:
    """Return every method and address that the application answers."""
    return {
        (method, rule.rule): rule
        for rule in app.url_map.iter_rules()
        for method in (rule.methods or set()) - {"HEAD", "OPTIONS"}
    }


@pytest.fixture
def job(
    submitted: Submitted,
    classify: Classify,
    png: Png,
    api: Api,
    sign_in: SignIn,
    database: Database,
    blobs: MemoryBlobs,
) -> int:
    """A finished job of laboratory A with a report and an explanation, and a session of theirs."""
    made = submitted({"a.png": png(1)})
    classify()
    blobs.put("report", b"%PDF")
    api("POST", f"/jobs/{made}/reports", json={"paper": "A4"})
    api("POST", "/images/1/explanation")
    with database.writing() as session:
        session.add(User(id=ANOTHER, email="another@laboratory.test"))
        session.execute(update(Report).values(state=MakingState.READY, blob_key="report"))
    sign_in(A)
    return made


@pytest.fixture
def ask(app: Flask, database: Database, sign_in: SignIn, job: int) -> Callable[..., TestResponse]:
    """Return what sends a request as somebody, with a browser of their own each time."""

    def send(rule: Rule, method: str, email: str | None) -> TestResponse:
        if email is None:
            client: FlaskClient = app.test_client()
            csrf = csrf_of(client.get("/sign-in").text)
        else:
            browser = sign_in(email)
            client, csrf = browser.client, browser.csrf
        stage(database, deleted="restore" in rule.rule or "for-good" in rule.rule)
        values = {"side": 192, "name": "heat", "index": 1, "digest": DIGEST}
        values["filename"] = "app.css" if rule.endpoint == "static" else "css/bootstrap.min.css"
        values |= dict.fromkeys(("job_id", "image_id", "report_id", "token_id", "sign_in_id"), 1)
        values |= {"user_id": ANOTHER, "secret": token_for(database, A, TokenKind.SIGN_IN)}
        values["action"] = "retire" if "digest" in rule.arguments else "cancel"
        values["action"] = "deactivate" if "user_id" in rule.arguments else values["action"]
        with app.test_request_context():
            _, path = rule.build({name: values[name] for name in rule.arguments}) or ("", "")
        body: object = {"files": []} if rule.endpoint == "uploads.manifest" else None
        headers = {"X-CSRFToken": csrf}
        return client.open(path, method=method, headers=headers, json=body, buffered=True)

    return send


def stage(database: Database, *, deleted: bool) -> None:
    """Undo what was asked for before, and have job and person deleted where that can be undone."""
    now = utcnow()
    until = now + dt.timedelta(days=1) if deleted else None
    deletion = {"deleted_at": now if deleted else None, "purge_at": until, "pictures_until": None}
    with database.writing() as session:
        session.execute(update(Job).values(**deletion, pictures_gone_at=None))
        gone = update(User).where(User.id == ANOTHER)
        session.execute(gone.values(erase_at=until, active=not deleted, heir_id=None))


def outcome(answer: TestResponse) -> str:
    """Return what an answer says of the right to ask."""
    assert answer.status_code < 500, answer.text
    # Signing out leads to the sign-in, too.
    if "Clear-Site-Data" in answer.headers:
        return "yes"
    if answer.status_code == 401 or (answer.location or "").startswith("/sign-in"):
        return "sign in"
    return {403: "no", 404: "hidden"}.get(answer.status_code, "yes")


def test_the_table_names_every_address_and_no_other(app: Flask) -> None:
    assert set(written()) == set(routes(app))


@pytest.mark.parametrize("column", COLUMNS)
def test_every_cell_of_the_table_is_true(
    app: Flask, ask: Callable[..., TestResponse], column: str
) -> None:
    table = written()
    for (method, address), rule in routes(app).items():
        answer = ask(rule, method, COLUMNS[column])
        assert outcome(answer) == table[method, address][column], (method, address)
