"""What must follow a commit follows it, in order, and nothing follows what was rolled back."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import select, text
from sqlalchemy.exc import DBAPIError, IntegrityError
from sqlalchemy.orm import Session

from core.db import Database, after_commit, clock
from core.errors import Conflict
from core.tables import Worker


class Told:
    """Follows the commits of a database, and remembers with what, in which thread, and who of
    those that wrote was in the database by then."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self.calls: list[tuple[object, ...]] = []
        self.threads: list[int] = []
        self.there: list[set[str]] = []
        database.on_commit(self._follow)

    def _follow(self, effects: Sequence[object]) -> None:
        self.calls.append(tuple(effects))
        self.threads.append(threading.get_ident())
        self.there.append(names(self._database))


@pytest.fixture
def told(database: Database) -> Iterator[Told]:
    """Return what is told of a database that other tests use after this one."""
    yield Told(database)
    database.on_commit(lambda _: None)


def names(database: Database) -> set[str]:
    """Return the names of the rows that are committed."""
    with database.reading() as session:
        return set(session.scalars(select(Worker.name)))


def row(name: str) -> Worker:
    """Return a row that can be written."""
    return Worker(name=name, device="cpu", backend="x", model_digest="d", seen_at=clock())


def test_effects_are_told_once_in_their_order_when_all_is_committed(
    database: Database, told: Told
) -> None:
    with database.writing() as session:
        after_commit(session, "first")
        session.add(row("a"))
        after_commit(session, "second")
        session.flush()
        after_commit(session, "first")
        after_commit(session, "third")
        assert told.calls == []
    assert told.calls == [("first", "second", "first", "third")]
    assert told.there == [{"a"}], "another connection sees what was written"
    assert told.threads == [threading.get_ident()]


def test_where_nothing_was_noted_nobody_is_called(database: Database, told: Told) -> None:
    with database.writing() as session:
        session.add(row("a"))
    database.together(lambda session: session.add(row("b")))
    with database.reading() as session:
        after_commit(session, "a reader commits nothing")
    assert told.calls == []


def test_a_body_that_raises_is_followed_by_nothing_now_or_later(
    database: Database, told: Told
) -> None:
    with pytest.raises(Conflict), database.writing() as session:
        after_commit(session, "never")
        raise Conflict("No.")
    with database.writing() as session:
        after_commit(session, "later")
    assert told.calls == [("later",)]


def test_a_commit_that_fails_is_followed_by_nothing(database: Database, told: Told) -> None:
    with database.writing() as session:
        session.add(row("a"))

    def again(session: Session) -> None:
        after_commit(session, "never")
        session.add(row("a"))

    with pytest.raises(IntegrityError), database.writing() as session:
        again(session)
    with pytest.raises(IntegrityError):
        database.together(again)
    assert told.calls == []


def test_without_anybody_who_follows_effects_may_be_noted(database: Database) -> None:
    alone = Database(database.engine.url.render_as_string(hide_password=False))
    with alone.writing() as session:
        after_commit(session, "nobody")
        session.add(row("a"))
    alone.dispose()
    assert names(database) == {"a"}


def test_what_a_follower_writes_is_followed_in_turn(database: Database) -> None:
    heard: list[object] = []

    def follow(effects: Sequence[object]) -> None:
        heard.extend(effects)
        if "draw" in effects:
            with database.writing() as session:
                session.add(row("drawn"))
                after_commit(session, "ring")

    database.on_commit(follow)
    with database.writing() as session:
        after_commit(session, "draw")
    database.together(lambda session: after_commit(session, "alone"))
    database.on_commit(lambda _: None)
    assert heard == ["draw", "ring", "alone"]
    assert names(database) == {"drawn"}


def test_what_several_threads_note_together_each_is_told_in_its_own(
    database: Database, told: Told
) -> None:
    started = threading.Barrier(6)

    def write(number: int) -> tuple[int, int]:
        def work(session: Session) -> int:
            after_commit(session, (number, "began"))
            session.add(row(f"w{number}"))
            session.flush()
            after_commit(session, (number, "done"))
            if number % 3 == 0:
                raise Conflict("No.")
            return number

        started.wait()
        try:
            return database.together(work), threading.get_ident()
        except Conflict:
            return -1, threading.get_ident()

    with ThreadPoolExecutor(6) as pool:
        answers = dict(pool.map(write, range(6)))
    expected = {((number, "began"), (number, "done")) for number in (1, 2, 4, 5)}
    assert set(told.calls) == expected
    assert len(told.calls) == 4
    for effects, thread, there in zip(told.calls, told.threads, told.there, strict=True):
        number = next(n for n in (1, 2, 4, 5) if (n, "began") in effects)
        assert answers[number] == thread
        assert f"w{number}" in there, "it was on the disk before it was told"
    assert names(database) == {"w1", "w2", "w4", "w5"}


def test_one_whose_row_can_t_be_written_is_told_nothing_and_the_others_are(
    database: Database, told: Told
) -> None:
    """The row is refused only when it is flushed, after the work has returned."""
    started = threading.Barrier(5)

    def write(number: int) -> bool:
        def work(session: Session) -> None:
            after_commit(session, number)
            session.add(row("taken" if number == 0 else f"w{number}"))

        started.wait()
        try:
            database.together(work)
        except IntegrityError:
            return False
        return True

    with database.writing() as session:
        session.add(row("taken"))
    with ThreadPoolExecutor(5) as pool:
        written = list(pool.map(write, range(5)))
    assert written == [False, True, True, True, True]
    assert sorted(told.calls, key=str) == [(1,), (2,), (3,), (4,)]


def test_an_error_of_the_database_s_own_is_followed_by_nothing(
    database: Database, told: Told
) -> None:
    def work(session: Session) -> None:
        session.add(row("a"))
        after_commit(session, "never")
        session.execute(text("SELECT nothing FROM nowhere"))

    with pytest.raises(DBAPIError):
        database.together(work)
    with pytest.raises(DBAPIError), database.writing() as session:
        work(session)
    assert (told.calls, names(database)) == ([], set())


@given(st.lists(st.tuples(st.lists(st.integers(), max_size=3), st.booleans(), st.booleans())))
@settings(
    max_examples=20, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
def test_what_is_told_is_what_was_committed_whatever_failed_between(
    database: Database, told: Told, turns: list[tuple[list[int], bool, bool]]
) -> None:
    told.calls.clear()

    def work(session: Session, effects: list[int], fails: bool) -> None:
        for effect in effects:
            after_commit(session, effect)
        if fails:
            raise Conflict("No.")

    for effects, fails, joined in turns:
        try:
            if joined:
                database.together(lambda s, e=effects, f=fails: work(s, e, f))  # type: ignore[misc]
            else:
                with database.writing() as session:
                    work(session, effects, fails)
        except Conflict:
            assert fails
    assert told.calls == [tuple(effects) for effects, fails, _ in turns if effects and not fails]
