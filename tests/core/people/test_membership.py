"""People come, change and go."""

from __future__ import annotations

import pytest
from sqlalchemy import select

from core import audit
from core.audit import SYSTEM
from core.db import Database
from core.errors import BadInput, Conflict, NotFound
from core.people import membership, passwords
from core.people.membership import add_person, normal_email
from core.tables import User
from tests.conftest import MakePerson

PASSWORD = "a long enough password"


@pytest.mark.parametrize(
    "email", ["", "nobody", "a b@c.d", "a@b@c", "x" * 300 + "@y.z", "a\0b@c.org", "a@c\u202e.org"]
)
def test_what_is_no_address_is_refused(email: str) -> None:
    with pytest.raises(BadInput, match="not an e-mail address"):
        normal_email(email)


def test_an_added_person_has_the_password_they_chose(database: Database) -> None:
    admission = add_person(database, SYSTEM, " New@Lab ", "laboratory", PASSWORD)
    assert admission.first_password is None
    with database.reading() as session:
        user = session.scalars(select(User).where(User.email == "new@lab")).one()
        [entry] = audit.newest(session, 1)
    assert passwords.matches(user.password, PASSWORD)
    assert user.first_password_until is None
    assert [role.name for role in user.roles] == ["laboratory"]
    assert (entry.action, entry.subject) == ("person_added", f"person {user.id}")
    assert entry.detail == {"role": "laboratory"}


def test_a_person_who_chose_none_gets_a_first_password(database: Database) -> None:
    admission = add_person(database, SYSTEM, "new@lab", "clinician")
    assert admission.first_password is not None
    assert passwords.matches(admission.person.password, admission.first_password)
    assert admission.person.first_password_until is not None


def test_weak_passwords_unknown_roles_and_doubles_are_refused(
    database: Database, person: MakePerson
) -> None:
    person("anna")
    with pytest.raises(BadInput, match="at least 10"):
        add_person(database, SYSTEM, "n@l.test", "laboratory", "short")
    with pytest.raises(BadInput, match="easy to guess"):
        add_person(database, SYSTEM, "nora.lind@l.test", "laboratory", "noralind2026")
    with pytest.raises(BadInput, match="Choose one of these roles"):
        add_person(database, SYSTEM, "n@l.test", "king", PASSWORD)
    with pytest.raises(Conflict, match="already a person"):
        add_person(database, SYSTEM, "ANNA@example.org", "laboratory", PASSWORD)
    with pytest.raises(NotFound):
        membership.change_password(database, SYSTEM, 4711, PASSWORD)


def test_an_id_of_a_person_is_never_given_to_another(
    database: Database, person: MakePerson
) -> None:
    """The audit trail names people by their ids, also those who were deleted."""
    gone = person("anna")
    with database.writing() as session:
        session.delete(session.get_one(User, gone.id))
    assert person("boris").id != gone.id
