"""People who are deleted: out at once, back within the grace, erased after it."""

from __future__ import annotations

import datetime as dt

import pytest
from sqlalchemy import func, select, update

from core import audit
from core.audit import Action, Actor
from core.blobs import MemoryBlobs
from core.db import utcnow
from core.errors import Conflict
from core.jobs import purge
from core.people import erasure, tokens
from core.people.accounts import RoleName
from core.states import TokenKind
from core.tables import Image, Token, User
from tests.conftest import MakePerson
from tests.core.conftest import Life

BY = Actor("chief@example.org", 99)


def delete(life: Life, user: User, heir: User | None = None) -> None:
    with life.database.writing() as session:
        person = session.get_one(User, user.id)
        to = session.get_one(User, heir.id) if heir else None
        erasure.delete_person(session, person, life.settings, BY, heir=to)


def restore(life: Life, user: User) -> None:
    with life.database.writing() as session:
        erasure.restore_person(session, session.get_one(User, user.id), BY)


def let_grace_end(life: Life) -> int:
    over = utcnow() - dt.timedelta(seconds=1)
    with life.database.writing() as session:
        session.execute(update(User).where(User.erase_at.is_not(None)).values(erase_at=over))
    return erasure.erase_due(life.database, life.settings)


def read(life: Life, user: User) -> User:
    with life.database.reading() as session:
        return session.get_one(User, user.id)


def test_a_deleted_person_is_out_at_once_and_may_come_back(life: Life) -> None:
    with life.database.writing() as session:
        secret = tokens.issue(session, session.get_one(User, life.owner.id), TokenKind.API, "t")
    delete(life, life.owner)
    gone = read(life, life.owner)
    assert not gone.active
    with life.database.reading() as session:
        assert tokens.find(session, secret, TokenKind.API) is None
    assert erasure.erase_due(life.database, life.settings) == 0
    restore(life, life.owner)
    assert read(life, life.owner).active
    with pytest.raises(Conflict, match="is not deleted"):
        restore(life, life.owner)


def test_after_the_grace_no_personal_data_is_left_but_the_trail(
    life: Life, person: MakePerson
) -> None:
    with life.database.writing() as session:
        tokens.issue(session, session.get_one(User, life.owner.id), TokenKind.API, "t")
    delete(life, life.owner, person("heir"))
    assert let_grace_end(life) == 1
    gone = read(life, life.owner)
    assert gone.email == f"deleted-{gone.id}@deleted.invalid"
    assert (gone.password, gone.roles, gone.active) == (None, [], False)
    with life.database.reading() as session:
        assert session.scalar(select(func.count()).select_from(Token)) == 0
        noted = [entry.action for entry in audit.newest(session, 9, subject=f"person {gone.id}")]
    assert noted == [Action.PERSON_ERASED, Action.JOB_HANDED_ON, Action.PERSON_DELETED]
    assert let_grace_end(life) == 0
    with pytest.raises(Conflict, match="already deleted"):
        delete(life, life.owner)
    with pytest.raises(Conflict):
        restore(life, life.owner)
    assert person(life.owner.email.split("@")[0]).id != gone.id


def test_the_jobs_go_to_the_heir(life: Life, person: MakePerson) -> None:
    job_id, heir = life.submitted(2), person("heir")
    delete(life, life.owner, heir)
    assert life.job(job_id).owner_id == life.owner.id
    let_grace_end(life)
    assert life.job(job_id).owner_id == heir.id
    life.work_off()
    assert life.counts(job_id).classified == 2


def test_where_the_heir_is_erased_too_an_administrator_gets_the_jobs(
    life: Life, person: MakePerson
) -> None:
    chief, heir = person("chief", RoleName.ADMINISTRATOR), person("heir")
    job_id = life.submitted(1)
    delete(life, life.owner, heir)
    with life.database.writing() as session:
        session.execute(update(User).where(User.id == heir.id).values(erased_at=utcnow()))
    let_grace_end(life)
    assert life.job(job_id).owner_id == chief.id


def test_the_jobs_are_deleted_with_the_person_if_that_was_chosen(life: Life) -> None:
    job_id = life.submitted(2)
    delete(life, life.owner)
    let_grace_end(life)
    purge(life.database, MemoryBlobs(), life.settings)
    assert life.job(job_id).purged_at is not None
    with life.database.reading() as session:
        assert session.scalar(select(func.count()).select_from(Image)) == 0


def test_the_last_administrator_stays(life: Life, person: MakePerson) -> None:
    chief = person("chief", RoleName.ADMINISTRATOR)
    person("former", RoleName.ADMINISTRATOR, active=False)
    with pytest.raises(Conflict, match="last administrator"):
        delete(life, chief)
    second = person("second", RoleName.ADMINISTRATOR)
    delete(life, chief)
    with pytest.raises(Conflict, match="last administrator"):
        delete(life, second)


@pytest.mark.parametrize("which", ["themselves", "inactive"])
def test_the_heir_is_somebody_else_who_may_sign_in(
    life: Life, person: MakePerson, which: str
) -> None:
    heir = life.owner if which == "themselves" else person("gone", active=False)
    with pytest.raises(Conflict, match="another person"):
        delete(life, life.owner, heir)
