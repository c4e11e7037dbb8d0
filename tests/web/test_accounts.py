"""The account page, first passwords, and the page of people and workers."""

from __future__ import annotations

import datetime as dt
import re

from argon2 import PasswordHasher
from flask.testing import FlaskClient
from sqlalchemy import select, update

from core import audit
from core.audit import SYSTEM
from core.db import Database, clock, utcnow
from core.people import membership
from core.states import TokenKind
from core.tables import Token, User, Worker
from tests.web.conftest import PASSWORD, Browser, SignIn, csrf_of
from tests.web.test_sign_in import person_of, trail_of, try_password

A = "a@laboratory.test"
DOCTOR = "doctor@clinic.test"
ADMIN = "admin@localhost"
NEW = "another long password"


def first_password(page: str) -> str:
    """Return the first password that a page shows."""
    [password] = re.findall(r'id="secret">([a-z0-9-]{19})<', page)
    return str(password)


def test_passwords_that_look_alike_are_alike(sign_in: SignIn, database: Database) -> None:
    composed, decomposed = "Schl\u00fcssel bund", "Schlu\u0308ssel bund"
    membership.change_password(database, SYSTEM, person_of(database, A).id, composed)
    form = {"present": decomposed, "new": "a third long password"}
    assert sign_in(A).submit("/account/password", form).status_code == 302


def test_a_hash_of_another_cost_is_renewed_at_sign_in(
    database: Database, client: FlaskClient
) -> None:
    weak = PasswordHasher(time_cost=1, memory_cost=1024).hash(PASSWORD)
    with database.writing() as session:
        session.execute(update(User).where(User.email == A).values(password=weak))
    assert try_password(client, A, PASSWORD) == 302
    assert person_of(database, A).password != weak
    assert client.get("/jobs").status_code == 200


def test_one_sees_where_one_is_signed_in_and_ends_one_or_all_others(
    sign_in: SignIn, database: Database
) -> None:
    current, elsewhere, stranger = sign_in(A), sign_in(A), sign_in("b@laboratory.test")
    page = current.get("/account").text
    assert page.count('/end"') == 1
    assert "this session" in page
    assert "Werkzeug" in page and "127.0.0.1" in page
    [path] = re.findall(r"/account/sign-ins/\d+/end\b", page)
    assert stranger.submit(path).status_code == 404
    assert elsewhere.get("/jobs").status_code == 200
    assert current.submit(path).status_code == 302
    assert elsewhere.get("/jobs").status_code == 302
    assert current.submit(path).status_code == 404
    more = [sign_in(A) for _ in range(2)]
    assert current.submit("/account/sign-ins/end-others").status_code == 302
    assert [browser.get("/jobs").status_code for browser in more] == [302, 302]
    assert current.get("/jobs").status_code == 200
    assert stranger.get("/jobs").status_code == 200
    assert [action for action, _ in trail_of(database)].count("session_ended") == 2


def test_a_token_is_shown_once_and_then_by_its_hint(
    laboratory: Browser, client: FlaskClient
) -> None:
    page = laboratory.submit("/account/tokens", {"name": "Scanner", "days": "30"}).text
    token = re.search(r"hv_[\w-]{20,}", page)
    assert token
    header = {"Authorization": f"Bearer {token[0]}"}
    assert client.get("/api/v1/jobs", headers=header).status_code == 200
    page = laboratory.get("/account").text
    assert token[0] not in page
    assert "Scanner" in page
    assert token[0][:8] in page


def test_a_revoked_token_opens_nothing(laboratory: Browser, client: FlaskClient) -> None:
    page = laboratory.submit("/account/tokens", {"name": "Scanner", "days": ""}).text
    header = {"Authorization": f"Bearer {re.findall(r'hv_[-_0-9A-Za-z]{20,}', page)[0]}"}
    path = re.findall(r"/account/tokens/\d+/revoke", page)[0]
    assert laboratory.submit(path).status_code == 302
    assert client.get("/api/v1/jobs", headers=header).status_code == 401
    assert laboratory.submit(path).status_code == 404


def test_nobody_revokes_anothers_token(
    laboratory: Browser, sign_in: SignIn, database: Database
) -> None:
    laboratory.submit("/account/tokens", {"name": "Scanner", "days": "30"})
    with database.reading() as session:
        token = session.scalars(select(Token).where(Token.kind == TokenKind.API)).one()
    browser = sign_in("admin@localhost")
    assert browser.submit(f"/account/tokens/{token.id}/revoke").status_code == 404


def test_a_token_form_says_what_is_wrong(laboratory: Browser) -> None:
    assert "This field is required" in laboratory.submit("/account/tokens", {"days": "30"}).text
    page = laboratory.submit("/account/tokens", {"name": "x", "days": "forever"}).text
    assert "Not a valid choice" in page


def test_the_password_changes_only_with_the_present_one(
    laboratory: Browser, sign_in: SignIn, database: Database
) -> None:
    elsewhere = sign_in(A)
    form = {"present": "wrong", "new": NEW}
    page = laboratory.submit("/account/password", form).text
    assert "This is not your current password" in page
    refused = {"short": "at least 10", "1234567890": "easy to guess", PASSWORD: "Choose another"}
    for new, sentence in refused.items():
        form = {"present": PASSWORD, "new": new}
        assert sentence in laboratory.submit("/account/password", form).text
    form = {"present": PASSWORD, "new": NEW}
    assert laboratory.submit("/account/password", form).location == "/account"
    assert laboratory.get("/account").status_code == 200
    assert elsewhere.get("/account").status_code == 302
    assert ("password_changed", "person 1") in trail_of(database)


def test_a_first_password_opens_nothing_but_the_choice_of_another(
    sign_in: SignIn, client: FlaskClient
) -> None:
    form = {"email": "new@lab.test", "role": "clinician"}
    first = first_password(sign_in(ADMIN).submit("/people", form).text)
    assert try_password(client, "new@lab.test", first) == 302
    for path in ("/", "/jobs", "/account", "/models"):
        assert client.get(path).location == "/account/password", path
    assert client.get("/api/v1/jobs").status_code == 403
    page = client.get("/account/password").text
    assert "Choose your own password" in page
    new = {"present": first, "new": NEW, "csrf_token": csrf_of(page)}
    assert client.post("/account/password", data=new).location == "/account"
    assert client.get("/jobs").status_code == 200
    assert try_password(client.application.test_client(), "new@lab.test", first) == 200


def test_a_first_password_runs_out(
    sign_in: SignIn, client: FlaskClient, database: Database
) -> None:
    first = membership.reset_password(database, SYSTEM, person_of(database, A).id)
    with database.writing() as session:
        past = utcnow() - dt.timedelta(seconds=1)
        session.execute(update(User).values(first_password_until=past))
    assert try_password(client, A, first) == 200


def test_an_administrator_adds_and_deactivates_people(sign_in: SignIn, database: Database) -> None:
    admin = sign_in(ADMIN)
    form = {"email": "new@lab.test", "role": "clinician"}
    page = admin.submit("/people", form).text
    assert "new@lab.test signs in with this first password" in page
    assert first_password(page) not in admin.get("/people").text
    assert "already a person" in admin.submit("/people", form).text
    assert "not an e-mail address" in admin.submit("/people", form | {"email": "x"}).text
    assert "This field is required" in admin.submit("/people", {}).text
    new = person_of(database, "new@lab.test").id
    assert admin.submit(f"/people/{new}/deactivate").status_code == 302
    assert "deactivated" in admin.get("/people").text
    assert admin.submit(f"/people/{new}/activate").status_code == 302
    with database.reading() as session:
        entries = audit.newest(session, 3)
    actions = ["person_reactivated", "person_deactivated", "person_added"]
    assert [(entry.action, entry.actor, entry.subject) for entry in entries] == [
        (action, ADMIN, f"person {new}") for action in actions
    ]


def test_an_administrator_resets_a_password_and_hands_a_first_one_over(
    sign_in: SignIn, client: FlaskClient, database: Database
) -> None:
    lost, admin = sign_in(DOCTOR), sign_in(ADMIN)
    doctor = person_of(database, DOCTOR).id
    first = first_password(admin.submit(f"/people/{doctor}/reset-password").text)
    assert lost.get("/jobs").status_code == 302
    assert try_password(client, DOCTOR, PASSWORD) == 200
    assert try_password(client, DOCTOR, first) == 302
    assert ("password_reset", f"person {doctor}") in trail_of(database)


def test_a_role_changes_from_the_next_click_on(sign_in: SignIn, database: Database) -> None:
    doctor, admin = sign_in(DOCTOR), sign_in(ADMIN)
    id_ = person_of(database, DOCTOR).id
    assert doctor.get("/people").status_code == 403
    assert admin.submit(f"/people/{id_}/role", {"role": "administrator"}).status_code == 302
    assert doctor.get("/people").status_code == 200
    assert admin.submit(f"/people/{id_}/role", {"role": "king"}).status_code == 400
    with database.reading() as session:
        entries = audit.newest(session, 9)
        [entry] = [entry for entry in entries if entry.action == "role_changed"]
    assert entry.detail == {"from": "clinician", "to": "administrator"}


def test_an_administrator_can_not_lock_themselves_out(sign_in: SignIn, database: Database) -> None:
    me, admin = person_of(database, ADMIN).id, sign_in(ADMIN)
    for action in ("deactivate", "role", "reset-password", "remove-second-factor"):
        assert admin.submit(f"/people/{me}/{action}").status_code == 409, action
        assert admin.submit(f"/people/999/{action}", {"role": "clinician"}).status_code == 404


def test_workers_are_shown_by_their_heartbeat(sign_in: SignIn, database: Database) -> None:
    admin = sign_in("admin@localhost")
    assert "There is no worker yet" in admin.get("/people").text
    with database.writing() as session:
        for name, age in (("near", 1), ("silent", 300), ("left", 10**6)):
            backend = "onnxruntime int8" if name == "near" else "another"
            worker = Worker(name=name, device="cpu", backend=backend, model_digest="0" * 64)
            worker.seen_at = 0
            session.add(worker)
            session.flush()
            late = update(Worker).where(Worker.name == name).values(seen_at=clock() - age)
            session.execute(late)
    page = admin.get("/people").text
    assert "near" in page
    assert "CPU, ONNX Runtime in 8 bits" in page
    assert "CPU, another" in page
    assert "silent for 5 min" in page
    assert "silent for 11 d" in page, "how long a row is kept is the worker's to say"
