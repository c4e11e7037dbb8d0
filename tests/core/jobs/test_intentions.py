"""What is asked for twice by the same key is made once, on both databases."""

from __future__ import annotations

import threading

import pytest
from sqlalchemy import func, select, update

from core import jobs
from core.db import Database
from core.jobs import intentions
from core.jobs.intentions import KeyTaken
from core.tables import Intention, Job, User
from tests.conftest import MakePerson
from tests.core.conftest import Life


def open_once(database: Database, owner: User, key: str, name: str = "Slide 12") -> int:
    """Open a job under a key, in a transaction of its own."""
    with database.writing() as session:
        return intentions.once(
            session, owner.id, key, (name,), lambda: jobs.create(session, owner.id, name).id
        )


def count(database: Database, table: type[Job] | type[Intention] = Job) -> int:
    """Return how many rows a table has."""
    with database.reading() as session:
        return session.scalar(select(func.count()).select_from(table)) or 0


def test_a_key_makes_one_thing(life: Life, person: MakePerson) -> None:
    first = open_once(life.database, life.owner, "k")
    assert open_once(life.database, life.owner, "k") == first
    assert open_once(life.database, life.owner, "another") != first
    assert open_once(life.database, person("other"), "k") != first
    assert count(life.database) == 3


def test_a_key_stands_for_one_request(life: Life) -> None:
    open_once(life.database, life.owner, "k")
    with pytest.raises(KeyTaken):
        open_once(life.database, life.owner, "k", "Slide 13")
    assert count(life.database) == 1


def test_what_fails_leaves_its_key_free(life: Life) -> None:
    def fail() -> int:
        raise ValueError

    with pytest.raises(ValueError), life.database.writing() as session:
        intentions.once(session, life.owner.id, "k", ("Slide 12",), fail)
    assert open_once(life.database, life.owner, "k")


def test_a_repeat_that_comes_meanwhile_waits_and_makes_nothing(life: Life) -> None:
    begun, job_ids = threading.Event(), []

    def repeat() -> None:
        assert begun.wait(10)
        job_ids.append(open_once(life.database, life.owner, "k"))

    repeats = [threading.Thread(target=repeat) for _ in range(3)]
    for thread in repeats:
        thread.start()
    with life.database.writing() as session:

        def make() -> int:
            begun.set()
            # The others are on their way to the same key, and can't have it yet.
            repeats[0].join(0.3)
            return jobs.create(session, life.owner.id, "Slide 12").id

        first = intentions.once(session, life.owner.id, "k", ("Slide 12",), make)
    for thread in repeats:
        thread.join(10)
    assert job_ids == [first] * 3
    assert count(life.database) == 1


def test_the_sweep_forgets_keys_after_a_day(life: Life) -> None:
    open_once(life.database, life.owner, "old")
    with life.database.writing() as session:
        session.execute(update(Intention).values(noted_at=Intention.noted_at - 25 * 3600))
    open_once(life.database, life.owner, "new")
    life.sweep()
    assert count(life.database, Intention) == 1
