"""Who may see and do what, and the tokens that stand for a person."""

from __future__ import annotations

import datetime as dt

import pytest
from sqlalchemy import select, update

from core.db import Database, utcnow
from core.errors import Conflict, NotAllowed, NotFound
from core.people import accounts, tokens
from core.people.accounts import RoleName
from core.states import TokenKind
from core.tables import Token, User
from tests.conftest import MakePerson
from tests.core.conftest import Life

HOUR = dt.timedelta(hours=1)


def _issue(database: Database, user: User, lifetime: dt.timedelta | None = None) -> str:
    with database.writing() as session:
        return tokens.issue(session, user, TokenKind.API, "laptop", lifetime)


def _find(database: Database, secret: str, kind: TokenKind = TokenKind.API) -> Token | None:
    with database.reading() as session:
        return tokens.find(session, secret, kind)


def test_a_tokens_secret_is_kept_nowhere(database: Database, person: MakePerson) -> None:
    secret = _issue(database, person())
    assert secret.startswith("hv_")
    with database.reading() as session:
        [token] = session.scalars(select(Token))
    stored = {str(value) for value in vars(token).values()}
    assert not any(secret in value for value in stored)
    assert token.hint == secret[:8]
    assert len(token.digest) == 64


def test_a_token_opens_what_it_is_for(database: Database, person: MakePerson) -> None:
    anna = person("anna")
    secret = _issue(database, anna)
    found = _find(database, secret)
    assert found is not None
    assert found.user.email == anna.email
    assert _find(database, secret, TokenKind.SIGN_IN) is None
    assert _find(database, secret[:-1]) is None
    assert _find(database, "") is None


def test_a_token_that_has_run_out_opens_nothing(database: Database, person: MakePerson) -> None:
    anna = person()
    assert _find(database, _issue(database, anna, HOUR)) is not None
    assert _find(database, _issue(database, anna, -HOUR)) is None


def test_the_token_of_a_person_who_left_opens_nothing(
    database: Database, person: MakePerson
) -> None:
    anna = person()
    secret = _issue(database, anna)
    with database.writing() as session:
        session.execute(update(User).values(active=False))
    assert _find(database, secret) is None


def test_a_person_who_left_gets_no_token(database: Database, person: MakePerson) -> None:
    with pytest.raises(Conflict, match="deactivated"):
        _issue(database, person(active=False))


def test_a_token_that_is_good_once_opens_nothing_the_second_time(
    database: Database, person: MakePerson
) -> None:
    anna = person()
    with database.writing() as session:
        secret = tokens.issue(session, anna, TokenKind.SIGN_IN, "link")
    for opens in (True, False):
        with database.writing() as session:
            assert bool(tokens.use_up(session, secret, TokenKind.SIGN_IN)) is opens


def test_a_revoked_token_opens_nothing(database: Database, person: MakePerson) -> None:
    anna = person()
    secret = _issue(database, anna)
    with database.writing() as session:
        tokens.revoke_all(session, anna, TokenKind.API)
    assert _find(database, secret) is None


def test_use_is_noted_once_a_minute(database: Database, person: MakePerson) -> None:
    secret = _issue(database, person())
    times = []
    for _ in range(2):
        token = _find(database, secret)
        assert token is not None
        with database.writing() as session:
            tokens.note_use(session, token)
        found = _find(database, secret)
        assert found is not None
        assert not tokens.is_stale(found)
        times.append(found.used_at)
    assert times[0] == times[1]
    with database.writing() as session:
        session.execute(update(Token).values(used_at=utcnow() - HOUR))
    stale = _find(database, secret)
    assert stale is not None
    assert tokens.is_stale(stale)


def test_the_laboratory_sees_its_own_jobs_and_the_others_see_all(
    life: Life, person: MakePerson
) -> None:
    mine, theirs = life.open(), life.open(person("boris"))
    clinician = person("clara", RoleName.CLINICIAN)
    administrator = person("dora", RoleName.ADMINISTRATOR)
    with life.database.reading() as session:
        seen = [
            {job.id for job in session.scalars(accounts.visible_jobs(user))}
            for user in (life.owner, clinician, administrator)
        ]
    assert seen == [{mine}, {mine, theirs}, {mine, theirs}]


def test_anothers_and_none_look_the_same(life: Life, person: MakePerson) -> None:
    theirs = life.open(person("boris"))
    [image_id] = life.fill(theirs, 1)
    find_image, find_job = accounts.find_image, accounts.find_job
    for find, ids in ((find_job, (theirs, 4711)), (find_image, (image_id, 4711))):
        told = set()
        for id_ in ids:
            with life.database.reading() as session, pytest.raises(NotFound) as refused:
                find(session, life.owner, id_)
            told.add(str(refused.value))
        assert len(told) == 1


def test_an_image_is_seen_by_those_who_see_its_job(life: Life, person: MakePerson) -> None:
    [image_id] = life.fill(life.open(), 1)
    with life.database.reading() as session:
        for user in (life.owner, person("clara", RoleName.CLINICIAN)):
            assert accounts.find_image(session, user, image_id).id == image_id


def test_a_clinician_may_look_but_not_touch(life: Life, person: MakePerson) -> None:
    job_id = life.open()
    clinician = person("clara", RoleName.CLINICIAN)
    administrator = person("dora", RoleName.ADMINISTRATOR)
    with life.database.reading() as session:
        assert accounts.find_job(session, clinician, job_id).id == job_id
        with pytest.raises(NotAllowed):
            accounts.find_job_to_handle(session, clinician, job_id)
        for user in (life.owner, administrator):
            assert accounts.find_job_to_handle(session, user, job_id).id == job_id


def test_the_first_administrator_is_made_once(database: Database) -> None:
    for _ in range(2):
        with database.writing() as session:
            made = accounts.first_administrator(session, "admin@example.org")
            assert accounts.has_role(made, RoleName.ADMINISTRATOR)
            for written in ("admin@example.org", " Admin@Example.ORG"):
                assert accounts.find_person(session, written).id == made.id
                assert accounts.first_administrator(session, written).id == made.id
    with database.reading() as session, pytest.raises(NotFound, match="no person with the address"):
        accounts.find_person(session, "nobody@example.org")
