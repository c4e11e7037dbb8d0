"""Adding people, password rules, the account page and the page of people and workers."""

from __future__ import annotations

import re

import pytest
from flask.testing import FlaskClient
from sqlalchemy import select, update

from core.db import Database, clock
from core.errors import Conflict, NotFound
from core.models import Token, User, Worker
from core.states import TokenKind
from tests.web.conftest import PASSWORD, Browser, SignIn
from web.accounts import Account, People, add_user, normal_email, set_password
from web.errors import BadInput

A = "a@laboratory.test"


def test_an_added_person_has_an_argon2_hash_that_needs_no_renewal(database: Database) -> None:
    add_user(database, " New@Lab ", PASSWORD, "laboratory")
    with database.reading() as session:
        user = session.scalars(select(User).where(User.email == "new@lab")).one()
    assert user.password is not None
    assert user.password.startswith("$argon2id$")
    assert [role.name for role in user.roles] == ["laboratory"]


def test_passwords_that_look_alike_are_alike(sign_in: SignIn, database: Database) -> None:
    composed, decomposed = "Schl\u00fcssel bund", "Schlu\u0308ssel bund"
    set_password(database, A, composed)
    form = {"present": decomposed, "new": "a third long password"}
    assert sign_in(A).submit("/account/password", form).status_code == 302


@pytest.mark.parametrize(
    "email", ["", "nobody", "a b@c.d", "a@b@c", "x" * 300 + "@y.z", "a\0b@c.org", "a@c\u202e.org"]
)
def test_what_is_no_address_is_refused(email: str) -> None:
    with pytest.raises(BadInput, match="not an e-mail address"):
        normal_email(email)


def test_weak_passwords_unknown_roles_and_doubles_are_refused(database: Database) -> None:
    with pytest.raises(BadInput, match="at least 10"):
        add_user(database, "n@l.test", "short", "laboratory")
    with pytest.raises(BadInput, match="at most 200"):
        add_user(database, "n@l.test", "x" * 201, "laboratory")
    with pytest.raises(BadInput, match="A role is one of"):
        add_user(database, "n@l.test", PASSWORD, "king")
    with pytest.raises(Conflict, match="known already"):
        add_user(database, A.upper(), PASSWORD, "laboratory")
    with pytest.raises(NotFound, match="Add them first"):
        set_password(database, "n@l.test", PASSWORD)


def test_a_hash_of_another_cost_is_renewed_at_sign_in(
    database: Database, client: FlaskClient
) -> None:
    from argon2 import PasswordHasher

    from tests.web.test_sign_in import try_password

    weak = PasswordHasher(time_cost=1, memory_cost=1024).hash(PASSWORD)
    with database.writing() as session:
        session.execute(update(User).where(User.email == A).values(password=weak))
    assert try_password(client, A, PASSWORD) == 302
    found = People(database).find_user(email=A)
    assert isinstance(found, Account)
    assert found.password != weak
    assert client.get("/jobs").status_code == 200


def test_a_token_is_shown_once_and_then_by_its_hint(
    laboratory: Browser, client: FlaskClient
) -> None:
    page = laboratory.submit("/account/tokens", {"name": "Scanner", "days": "30"}).text
    found = re.search(r"hv_[\w-]{20,}", page)
    assert found
    header = {"Authorization": f"Bearer {found[0]}"}
    assert client.get("/api/v1/jobs", headers=header).status_code == 200
    page = laboratory.get("/account").text
    assert found[0] not in page
    assert "Scanner" in page
    assert found[0][:8] in page


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
    laboratory: Browser, sign_in: SignIn
) -> None:
    elsewhere = sign_in(A)
    form = {"present": "wrong", "new": "another long password"}
    page = laboratory.submit("/account/password", form).text
    assert "This is not your present password" in page
    form = {"present": PASSWORD, "new": "short"}
    assert "at least 10 characters" in laboratory.submit("/account/password", form).text
    form = {"present": PASSWORD, "new": "another long password"}
    assert laboratory.submit("/account/password", form).location == "/account"
    assert laboratory.get("/account").status_code == 200
    assert elsewhere.get("/account").status_code == 302


def test_an_administrator_adds_and_deactivates_people(sign_in: SignIn, database: Database) -> None:
    admin = sign_in("admin@localhost")
    form = {"email": "new@lab.test", "role": "clinician", "password": PASSWORD}
    assert admin.submit("/people", form).status_code == 302
    assert "new@lab.test" in admin.get("/people").text
    assert "known already" in admin.submit("/people", form).text
    assert "at least 10" in admin.submit("/people", form | {"password": "x"}).text
    assert "This field is required" in admin.submit("/people", {}).text
    browser = sign_in("new@lab.test")
    with database.reading() as session:
        new = session.scalars(select(User.id).where(User.email == "new@lab.test")).one()
    assert admin.submit(f"/people/{new}/deactivate").status_code == 302
    assert browser.get("/jobs").status_code == 302
    admin.submit(f"/people/{new}/activate")
    assert sign_in("new@lab.test").get("/jobs").status_code == 200


def test_an_administrator_can_not_lock_themselves_out(sign_in: SignIn, database: Database) -> None:
    with database.reading() as session:
        me = session.scalars(select(User.id).where(User.email == "admin@localhost")).one()
    admin = sign_in("admin@localhost")
    assert admin.submit(f"/people/{me}/deactivate").status_code == 409
    assert admin.submit("/people/999/deactivate").status_code == 404


def test_workers_are_shown_by_their_heartbeat(sign_in: SignIn, database: Database) -> None:
    admin = sign_in("admin@localhost")
    assert "No worker is known" in admin.get("/people").text
    with database.writing() as session:
        for name, age in (("near", 1), ("silent", 300), ("left", 10**6)):
            backend = "onnxruntime int8" if name == "near" else "another"
            one = Worker(name=name, device="cpu", backend=backend, model_digest="0" * 64)
            one.seen_at = 0
            session.add(one)
            session.flush()
            late = update(Worker).where(Worker.name == name).values(seen_at=clock() - age)
            session.execute(late)
    page = admin.get("/people").text
    assert "near" in page
    assert "CPU, ONNX Runtime in 8 bits" in page
    assert "CPU, another" in page
    assert "silent for 5 min" in page
    assert "silent for 11 d" in page, "how long a row is kept is the worker's to say"
