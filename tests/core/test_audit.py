"""The audit trail: written with what it tells of, never changed, and checked."""

from __future__ import annotations

import datetime as dt
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import func, select, text, update
from sqlalchemy.exc import DBAPIError

from core import audit
from core.audit import Action, Actor
from core.db import Database
from core.tables import AuditEntry, AuditHead, User
from tests.conftest import MakePerson, without_triggers

ANNA = Actor("anna@example.org", 1, "192.0.2.7", "session 3", "abcdef12")


def _note(database: Database, *subjects: str) -> None:
    for subject in subjects:
        with database.writing() as session:
            audit.note(session, Action.RESULT_READ, ANNA, subject, {"images": 3})


def _tamper(database: Database, statement: str) -> None:
    with database.writing() as session, without_triggers(session):
        session.execute(text(statement))


def _fault(database: Database, expect: str | None = None) -> str:
    with database.reading() as session:
        return audit.verify(session, expect).fault


def test_an_entry_says_who_what_to_which_object_when_and_from_where(database: Database) -> None:
    _note(database, "job 17")
    with database.reading() as session:
        [entry] = audit.newest(session, 5)
        checked = audit.verify(session)
    assert (entry.actor, entry.person_id, entry.address) == ("anna@example.org", 1, "192.0.2.7")
    assert (entry.session, entry.request) == ("session 3", "abcdef12")
    assert (entry.action, entry.subject, entry.detail) == ("result_read", "job 17", {"images": 3})
    assert (checked.entries, checked.digest, checked.fault) == (1, entry.digest, "")


def test_what_is_rolled_back_is_not_noted_and_what_is_noted_is_kept(
    database: Database, person: MakePerson
) -> None:
    anna = person()
    with pytest.raises(RuntimeError), database.writing() as session:
        audit.note(session, Action.PERSON_DEACTIVATED, ANNA, f"person {anna.id}")
        session.execute(update(User).values(active=False))
        raise RuntimeError
    with database.writing() as session:
        audit.note(session, Action.ROLE_CHANGED, ANNA, f"person {anna.id}")
        with pytest.raises(RuntimeError), session.begin_nested():
            raise RuntimeError
        with session.begin_nested(), pytest.raises(ValueError, match="outside any savepoint"):
            audit.note(session, Action.TOKEN_REVOKED, ANNA, f"person {anna.id}")
    with database.reading() as session:
        assert [entry.action for entry in audit.newest(session, 9)] == ["role_changed"]
    assert _fault(database) == ""


def test_a_session_that_only_reads_can_note_nothing(database: Database) -> None:
    with database.reading() as session, pytest.raises(ValueError, match="a session that writes"):
        audit.note(session, Action.EXPORTED, ANNA)


def test_entries_written_at_the_same_time_make_one_chain(database: Database) -> None:
    def several(number: int) -> None:
        _note(database, *(f"job {number}{i}" for i in range(8)))

    with ThreadPoolExecutor(6) as pool:
        list(pool.map(several, range(6)))
    with database.reading() as session:
        checked = audit.verify(session)
    assert (checked.entries, checked.fault) == (48, "")


def test_several_entries_of_one_transaction_stand_in_their_order(database: Database) -> None:
    with database.writing() as session:
        for number in range(3):
            audit.note(session, Action.JOB_DELETED, audit.SYSTEM, f"job {number}")
    with database.reading() as session:
        assert [entry.subject for entry in audit.newest(session, 9)] == ["job 2", "job 1", "job 0"]


def test_a_chain_of_several_batches_is_checked_to_its_end(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(audit, "_BATCH", 3)
    _note(database, *(f"job {i}" for i in range(6)))
    assert _fault(database) == ""
    _tamper(database, "UPDATE audit SET subject = 'job 9' WHERE number = 6")
    assert _fault(database) == "Entry 6 was changed."


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE audit SET actor = 'nobody'",
        "DELETE FROM audit",
        "DELETE FROM audit_head",
        "UPDATE audit_head SET number = 1",
        "UPDATE audit_head SET digest = 'x'",
    ],
)
def test_the_database_refuses_to_change_the_trail(database: Database, statement: str) -> None:
    _note(database, "job 1", "job 2")
    with pytest.raises(DBAPIError, match="audit trail"), database.writing() as session:
        session.execute(text(statement))
    assert _fault(database) == ""


def test_the_whole_trail_can_be_neither_truncated_nor_replaced(database: Database) -> None:
    _note(database, "job 1")
    statement = "TRUNCATE audit"
    if database.engine.dialect.name == "sqlite":
        statement = "INSERT OR REPLACE INTO audit SELECT * FROM audit"
    with pytest.raises(DBAPIError, match="audit trail"), database.writing() as session:
        session.execute(text(statement))


@pytest.mark.parametrize(
    ("statement", "fault"),
    [
        ("UPDATE audit SET actor = 'x' WHERE number = 2", "Entry 2 was changed."),
        ("UPDATE audit SET detail = '{}' WHERE number = 3", "Entry 3 was changed."),
        ("DELETE FROM audit WHERE number = 1", "Entry 1 is missing."),
        ("DELETE FROM audit WHERE number = 2", "Entry 2 is missing."),
        ("DELETE FROM audit WHERE number = 3", "The end is missing: there were 3 entries, 2"),
        ("DELETE FROM audit", "The end is missing: there were 3 entries, 0"),
        ("DELETE FROM audit_head", "The head of the trail names entry 0"),
    ],
)
def test_a_check_finds_what_was_changed_past_the_triggers(
    database: Database, statement: str, fault: str
) -> None:
    _note(database, "job 1", "job 2", "job 3")
    _tamper(database, statement)
    assert _fault(database).startswith(fault)


def test_a_digest_kept_elsewhere_tells_a_trail_that_was_written_anew(database: Database) -> None:
    _note(database, "job 1")
    with database.reading() as session:
        digest = audit.verify(session).digest
    _note(database, "job 2")
    assert _fault(database, digest) == ""
    with database.writing() as session, without_triggers(session):
        session.execute(AuditEntry.__table__.delete())  # type: ignore[attr-defined]
        session.execute(AuditHead.__table__.delete())  # type: ignore[attr-defined]
    _note(database, "job 1", "job 2", "job 3")
    assert _fault(database) == ""
    assert _fault(database, digest).startswith("No entry has the expected digest")


def test_entries_are_found_by_object_and_by_person(database: Database) -> None:
    _note(database, "job 1", "job 2", "job 1")
    with database.writing() as session:
        audit.note(session, Action.JOB_DELETED, audit.SYSTEM, "job 1")
    with database.reading() as session:
        assert [entry.number for entry in audit.newest(session, 9, subject="job 1")] == [4, 3, 1]
        assert [entry.number for entry in audit.newest(session, 2, person_id=1)] == [3, 2]
        assert session.scalar(select(func.count()).select_from(AuditEntry)) == 4


# PostgreSQL keeps no NUL, and no encoding has half a surrogate.
TEXTS = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=300)
ACTORS = st.builds(Actor, TEXTS, st.none() | st.integers(1, 2**31 - 1), TEXTS, TEXTS, TEXTS)
NOTES = st.tuples(
    st.sampled_from(Action),
    ACTORS,
    TEXTS,
    st.dictionaries(TEXTS, TEXTS | st.integers(-(2**60), 2**60), max_size=3),
)
# Each transaction: what is noted in it, and whether it is committed.
DAYS = st.lists(st.tuples(st.lists(NOTES, max_size=3), st.booleans()), max_size=4)


def _live(database: Database, day: Sequence[tuple[Sequence[Any], bool]]) -> list[Any]:
    """Let a day pass; return what was noted and committed."""
    kept: list[Any] = []
    for notes, committed in day:
        with suppress(RuntimeError), database.writing() as session:
            for one in notes:
                audit.note(session, one[0], one[1], one[2], one[3])
            if not committed:
                raise RuntimeError
            kept += notes
    return kept


@given(DAYS)
@settings(
    max_examples=20, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
def test_after_any_day_the_chain_holds_and_says_what_was_done(
    database: Database, day: list[tuple[list[Any], bool]]
) -> None:
    with database.reading() as session:
        before = audit.verify(session)
    kept = _live(database, day)
    with database.reading() as session:
        after = audit.verify(session, before.digest)
        entries = audit.newest(session, len(kept))[::-1] if kept else []
    assert (after.fault, after.entries) == ("", before.entries + len(kept))
    assert after.expected_at == before.entries
    assert (after.digest == before.digest) is (not kept)
    for (action, actor, subject, detail), entry in zip(kept, entries, strict=True):
        assert (entry.action, entry.person_id) == (action, actor.person_id)
        assert entry.detail == detail
        said = (entry.actor, entry.address, entry.session, entry.request, entry.subject)
        meant = (actor.name, actor.address, actor.session, actor.request, subject)
        for word, whole in zip(said, meant, strict=True):
            assert whole.startswith(word)
            assert word == whole or len(word) >= 40, "cut only where it is long"


OTHER_VALUES: dict[str, Any] = {
    "action": "exported",
    "person_id": 4711,
    "actor": "somebody",
    "address": "somewhere",
    "session": "another",
    "request": "another",
    "subject": "another",
    "detail": {"other": 1},
    "previous": "f" * 64,
    "digest": "e" * 64,
}


@pytest.mark.parametrize("column", [*OTHER_VALUES, "at"])
def test_a_change_of_any_column_of_any_entry_is_noticed(database: Database, column: str) -> None:
    _note(database, "job 1", "job 2", "job 3")
    for number in (1, 2, 3):
        with database.writing() as session, without_triggers(session):
            entry = session.get_one(AuditEntry, number)
            before = getattr(entry, column)
            other = (
                before + dt.timedelta(microseconds=1) if column == "at" else OTHER_VALUES[column]
            )
            setattr(entry, column, other)
            session.flush()
            checked = audit.verify(session)
            setattr(entry, column, before)
            session.flush()
        assert checked.fault.startswith(f"Entry {number} "), checked.fault
        assert checked.entries == number - 1, "so many are sound"
    assert _fault(database) == ""


def test_the_columns_of_an_entry_are_all_sealed() -> None:
    columns = set(AuditEntry.__table__.columns.keys())
    assert columns == {*OTHER_VALUES, "at", "number"}, "a new column needs a row of the test above"


def test_entries_that_changed_places_are_noticed(database: Database) -> None:
    _note(database, "job 1", "job 2", "job 3")
    _tamper(database, "UPDATE audit SET number = 9 WHERE number = 2")
    _tamper(database, "UPDATE audit SET number = 2 WHERE number = 3")
    _tamper(database, "UPDATE audit SET number = 3 WHERE number = 9")
    assert _fault(database) == "Entry 2 does not follow the one before it."


def test_an_entry_that_is_written_past_the_trail_is_noticed(database: Database) -> None:
    _note(database, "job 1")
    with database.reading() as session:
        [last] = audit.newest(session, 1)
    columns = AuditEntry.__table__.columns.keys()
    forged = {name: getattr(last, name) for name in columns} | {"number": 2, "subject": "job 9"}
    with database.writing() as session:
        session.add(AuditEntry(**forged))
    assert _fault(database) == "Entry 2 does not follow the one before it."


def test_a_check_of_an_empty_trail_expects_nothing_but_its_beginning(database: Database) -> None:
    with database.reading() as session:
        checked = audit.verify(session, audit.BEFORE_THE_FIRST)
        assert (checked.entries, checked.fault, checked.expected_at) == (0, "", 0)
        other = audit.verify(session, "a" * 64)
    assert other.fault.startswith("No entry has the expected digest")
