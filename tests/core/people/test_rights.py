"""Who may see, change and bring back whose job: every cell of the table."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass

import pytest
from sqlalchemy.orm import Session

from core.db import Database, utcnow
from core.errors import NotAllowed, NotFound
from core.people import accounts
from core.people.accounts import RoleName
from core.tables import Image, Job, Role, User
from tests.conftest import MakePerson

L, C, A = RoleName.LABORATORY, RoleName.CLINICIAN, RoleName.ADMINISTRATOR

# What a person may do with a job of their own or another's: s is to see it and its images, h to
# send files to it, cancel or retry it, r to bring it back once it is deleted.
TABLE = """
roles    own  other's  own deleted  other's deleted  own erased  other's erased
L        sh   -        r            -                -           -
C        sh   s        r            -                -           -
A        sh   sh       r            r                -           -
LC       sh   s        r            -                -           -
CA       sh   sh       r            r                -           -
none     sh   -        r            -                -           -
"""
HEAD, *LINES = [re.split(r"\s{2,}", line) for line in TABLE.strip().splitlines()]
ROWS = {letters: dict(zip(HEAD[1:], cells, strict=True)) for letters, *cells in LINES}


@dataclass
class Ward:
    """One job of each person, there, deleted or erased, and what may be done with it."""

    database: Database
    kept: dict[str, tuple[Job, Image]]

    def may(self, user: User, whose: str) -> str:
        """Return the letters of what this person may do, asking each question in all its ways."""
        job, image = self.kept[whose]
        with self.database.reading() as session:
            listed = session.scalars(accounts.visible_jobs(user)).all()
            ways = {
                job.id in {one.id for one in listed},
                _answers(lambda: accounts.find_job(session, user, job.id)),
                _answers(lambda: accounts.find_image(session, user, image.id)),
            }
            [sees] = ways  # A list that shows what its page denies would tell of it.
            handles = _answers(lambda: accounts.find_job_to_handle(session, user, job.id))
            restores = {
                job.id in {one.id for one in session.scalars(accounts.deleted_jobs(user))},
                _answers(lambda: accounts.find_deleted_job(session, user, job.id)),
            }
            [restorable] = restores
        return "s" * sees + "h" * handles + "r" * restorable or "-"


def _answers(question: Callable[[], object]) -> bool:
    try:
        question()
    except (NotFound, NotAllowed):
        return False
    return True


def _fill(session: Session, owner: User, whose: str) -> dict[str, tuple[Job, Image]]:
    kept: dict[str, tuple[Job, Image]] = {}
    for end, times in (
        ("", {}),
        (" deleted", {"deleted_at": utcnow(), "purge_at": utcnow()}),
        # Its row is kept for the record, and nobody can bring it back.
        (" erased", {"deleted_at": utcnow(), "purged_at": utcnow()}),
    ):
        job = Job(owner_id=owner.id, name="Slide 12", **times)
        session.add(job)
        session.flush()
        image = Image(job_id=job.id, position=0, name="a.png", size=9)
        session.add(image)
        kept[whose + end] = job, image
    return kept


@pytest.mark.parametrize("letters", ROWS)
def test_each_role_may_do_what_its_row_says_and_nothing_else(
    database: Database, person: MakePerson, letters: str
) -> None:
    roles = [role for role in RoleName if role.value[0].upper() in letters]
    asking, other = person("asking", *roles), person("other", A)
    with database.writing() as session:
        user = session.get_one(User, asking.id)
        user.roles = [role for role in user.roles if role.name in roles]
        kept = _fill(session, asking, "own") | _fill(session, other, "other's")
    ward = Ward(database, kept)
    assert {whose: ward.may(user, whose) for whose in kept} == ROWS[letters]


def test_the_table_has_a_row_for_every_role_and_for_none() -> None:
    assert {role.value[0].upper() for role in RoleName} < set(ROWS)
    assert "none" in ROWS


def test_a_change_of_role_is_valid_from_the_next_question(
    database: Database, person: MakePerson
) -> None:
    anna, berta = person("anna", L), person("berta", L)
    with database.writing() as session:
        job = Job(owner_id=berta.id, name="Slide 12")
        session.add(job)
    for role, sees in ((C, True), (L, False), (A, True)):
        with database.writing() as session:
            [wanted] = session.query(Role).filter_by(name=role.value)
            session.get_one(User, anna.id).roles = [wanted]
        with database.reading() as session:
            user = session.get_one(User, anna.id)
            assert _answers(lambda s=session, u=user: accounts.find_job(s, u, job.id)) is sees  # type: ignore[misc]


def test_what_may_not_be_touched_says_so_and_what_may_not_be_seen_is_not_there(
    database: Database, person: MakePerson
) -> None:
    berta = person("berta", L)
    with database.writing() as session:
        job = Job(owner_id=berta.id, name="Slide 12")
        session.add(job)
    clinician, laboratory = person("c", C), person("l", L)
    with database.reading() as session:
        with pytest.raises(NotAllowed, match="administrator"):
            accounts.find_job_to_handle(session, clinician, job.id)
        with pytest.raises(NotFound) as hidden:
            accounts.find_job_to_handle(session, laboratory, job.id)
        with pytest.raises(NotFound) as absent:
            accounts.find_job_to_handle(session, laboratory, 4711)
    assert str(hidden.value) == str(absent.value)
