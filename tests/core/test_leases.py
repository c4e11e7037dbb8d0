"""A lease, on each kind of row that is worked on: one holder, and no word from a former one."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from enum import StrEnum
from functools import partial
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import inspect, select, update

from core import leases
from core.db import Database, clock
from core.leases import Claim
from core.states import ImageState, JobState, Lane, MakingState, ShardState
from core.tables import Derivative, Explanation, Image, Job, Leased, Report, Shard
from tests.conftest import MakePerson
from tests.core.jobs.test_races import together

KINDS: tuple[type[Leased], ...] = (Shard, Report, Explanation, Derivative)


def waiting(kind: type[Leased]) -> StrEnum:
    """Return the state in which a row of this kind waits."""
    return ShardState.WAITING if kind is Shard else MakingState.WAITING


def held(kind: type[Leased]) -> StrEnum:
    """Return the state in which a row of this kind is worked on."""
    return ShardState.LEASED if kind is Shard else MakingState.MAKING


def over(kind: type[Leased]) -> tuple[StrEnum, ...]:
    """Return the states in which nothing is left to do."""
    if kind is Shard:
        return ShardState.DONE, ShardState.SPLIT, ShardState.DROPPED
    return MakingState.READY, MakingState.FAILED


@dataclass
class Desk:
    """Two rows of one kind that wait, and what workers do to them, each in its own transaction."""

    database: Database
    kind: type[Leased]
    first: int
    second: int

    def take(self, worker: str = "a", seconds: float = 60.0, id_: int | None = None) -> int | None:
        """Try to take the first row, or another; return the fence."""
        with self.database.writing() as session:
            return leases.take(session, self.kind, id_ or self.first, worker, seconds)

    def taken(self, worker: str = "a", seconds: float = 60.0) -> Claim:
        """Take the first row, which is free."""
        fence = self.take(worker, seconds)
        assert fence is not None
        return Claim(self.kind, self.first, fence)

    def write(self, claim: Claim, **values: Any) -> bool:
        """Write as the holder of a claim."""
        with self.database.writing() as session:
            return leases.write(session, claim, **values)

    def renew(self, claim: Claim, seconds: float = 60.0) -> bool:
        """Renew a claim."""
        with self.database.writing() as session:
            return leases.renew(session, claim, seconds)

    def excuse(self, claim: Claim, **values: Any) -> None:
        """Take back the attempt of a claim."""
        with self.database.writing() as session:
            leases.excuse(session, claim, **values)

    def end(self) -> None:
        """End the lease on the first row and let it wait again, as recovery does."""
        with self.database.writing() as session:
            row = session.get_one(self.kind, self.first)
            leases.end(row)
            row.state = waiting(self.kind)

    def set(self, id_: int | None = None, **values: Any) -> None:
        """Change a row past all rules."""
        with self.database.writing() as session:
            here = self.kind.id == (id_ or self.first)
            session.execute(update(self.kind).where(here).values(**values))

    def run_out(self) -> None:
        """Make the lease of the first row one that ended a while ago."""
        self.set(lease_until=1.0)

    def row(self) -> dict[str, Any]:
        """Read all columns of the first row."""
        with self.database.reading() as session:
            row = session.get_one(self.kind, self.first)
            return {one.key: getattr(row, one.key) for one in inspect(self.kind).column_attrs}

    def left(self) -> float:
        """Return for how many seconds the lease on the first row still holds."""
        query = select(self.kind.lease_until - clock()).where(self.kind.id == self.first)
        with self.database.reading() as session:
            return session.scalars(query).one() or 0.0

    def lost(self) -> Sequence[int]:
        """Return the rows whose lease ran out."""
        with self.database.reading() as session:
            return session.scalars(select(self.kind.id).where(leases.lost(self.kind))).all()

    def free(self) -> Sequence[int]:
        """Return the rows that may be taken."""
        with self.database.reading() as session:
            return session.scalars(select(self.kind.id).where(leases.free(self.kind))).all()

    def holders(self) -> Collection[str | None]:
        """Return who works on a row of this kind."""
        with self.database.reading() as session:
            return leases.holders(session, self.kind)


@pytest.fixture(params=KINDS, ids=lambda kind: kind.__name__.lower())
def desk(
    request: pytest.FixtureRequest, database: Database, person: MakePerson, model_digest: str
) -> Desk:
    """Return two rows of one kind that wait; the test runs for every kind."""
    owner, kind = person(), request.param
    with database.writing() as session:
        job = Job(owner_id=owner.id, name="Slide 12", state=JobState.RUNNING)
        session.add(job)
        session.flush()
        images = [
            Image(job_id=job.id, position=i, name=f"{i}.png", size=9, state=ImageState.CLASSIFIED)
            for i in range(2)
        ]
        session.add_all(images)
        session.flush()
        rows: dict[type[Leased], list[Leased]] = {
            Shard: [Shard(job_id=job.id, lane=Lane.BATCH, size=1) for _ in images],
            Report: [Report(job_id=job.id, paper="A4") for _ in images],
            Explanation: [Explanation(image_id=i.id, model_digest=model_digest) for i in images],
            Derivative: [Derivative(image_id=i.id) for i in images],
        }
        # Of every kind there is something: no statement about one may touch another.
        for each in rows.values():
            session.add_all(each)
        session.flush()
        first, second = rows[kind]
        return Desk(database, kind, first.id, second.id)


def test_what_waits_is_taken_by_one_and_says_by_whom_and_for_how_long(desk: Desk) -> None:
    assert desk.take("a", 60.0) == 1
    row = desk.row()
    assert (row["state"], row["worker"]) == (held(desk.kind), "a")
    assert (row["attempt"], row["fence"]) == (1, 1)
    assert 30 < desk.left() <= 60
    assert desk.take("b", 600.0) is None
    assert desk.row() == row
    assert desk.free() == [desk.second], "the other row is nobody's still"


def test_a_row_that_is_not_there_is_not_taken(desk: Desk) -> None:
    assert desk.take(id_=4711) is None
    assert set(desk.free()) == {desk.first, desk.second}


def test_what_was_lost_is_taken_by_the_next_and_counts_as_another_attempt(desk: Desk) -> None:
    first = desk.taken("a")
    desk.run_out()
    assert set(desk.free()) == {desk.first, desk.second}
    second = desk.taken("b")
    assert second.fence == first.fence + 1
    row = desk.row()
    assert (row["worker"], row["attempt"], row["state"]) == ("b", 2, held(desk.kind))
    assert desk.left() > 30


def test_what_is_over_is_not_taken_even_if_its_lease_ran_out(desk: Desk) -> None:
    for state in over(desk.kind):
        for lease_until in (None, 1.0):
            desk.set(state=state, lease_until=lease_until)
            assert desk.take() is None
            assert desk.row()["state"] is state


def test_a_former_holder_changes_nothing(desk: Desk) -> None:
    zombie = desk.taken("a")
    desk.run_out()
    holder = desk.taken("b")
    before = desk.row()
    assert not desk.write(zombie, worker="zombie", state=over(desk.kind)[0])
    assert not desk.renew(zombie, 9_000.0)
    desk.excuse(zombie, lease_until=None)
    assert desk.row() == before
    assert desk.write(holder, worker="still b")
    assert desk.row() == before | {"worker": "still b"}


def test_a_holder_who_has_handed_over_writes_nothing_more(desk: Desk) -> None:
    claim = desk.taken()
    for state in over(desk.kind):
        desk.set(state=state)
        before = desk.row()
        assert not desk.write(claim, worker="x")
        assert not desk.renew(claim)
        desk.excuse(claim)
        assert desk.row() == before


def test_a_holder_writes_to_its_own_row_alone(desk: Desk) -> None:
    claim = desk.taken("a")
    with desk.database.writing() as session:
        assert leases.take(session, desk.kind, desk.second, "b", 60.0) == claim.fence
    assert desk.write(claim, worker="x")
    assert set(desk.holders()) == {"x", "b"}


def test_a_condition_that_does_not_hold_keeps_the_holder_from_writing(desk: Desk) -> None:
    claim, kind = desk.taken("a"), desk.kind
    with desk.database.writing() as session:
        assert not leases.write(session, claim, kind.attempt > 1, worker="x")
        assert not leases.write(session, claim, kind.attempt == 1, kind.worker == "b", worker="x")
    assert desk.row()["worker"] == "a"
    with desk.database.writing() as session:
        assert leases.write(session, claim, kind.attempt == 1, kind.worker == "a", worker="x")
    assert desk.row()["worker"] == "x"


def test_renewing_lengthens_the_lease_and_changes_nothing_else(desk: Desk) -> None:
    claim = desk.taken("a", 5.0)
    before = desk.row()
    assert desk.renew(claim, 600.0)
    assert 300 < desk.left() <= 600
    after = desk.row()
    assert before | {"lease_until": after["lease_until"]} == after


def test_a_late_holder_may_renew_as_long_as_nobody_came(desk: Desk) -> None:
    claim = desk.taken()
    desk.run_out()
    assert list(desk.lost()) == [desk.first]
    assert desk.renew(claim)
    assert list(desk.lost()) == []
    assert desk.take("b") is None


def test_an_attempt_is_taken_back_once_and_never_below_none(desk: Desk) -> None:
    claim = desk.taken()
    lease = desk.row()["lease_until"]
    desk.excuse(claim)
    row = desk.row()
    assert (row["attempt"], row["fence"], row["state"]) == (0, claim.fence, held(desk.kind))
    assert row["lease_until"] == lease, "the pause until the next try is what is left of the lease"
    desk.excuse(claim, worker="x")
    assert desk.row() == row


def test_an_outage_may_end_the_lease_sooner_and_the_next_try_is_the_first(desk: Desk) -> None:
    claim = desk.taken("a")
    desk.excuse(claim, lease_until=clock() - 1)
    assert list(desk.lost()) == [desk.first]
    desk.taken("b")
    row = desk.row()
    assert (row["attempt"], row["fence"]) == (1, claim.fence + 1)


def test_a_lease_that_was_ended_is_nobodys_and_its_holder_is_not_heard(desk: Desk) -> None:
    claim = desk.taken("a")
    desk.end()
    row = desk.row()
    assert (row["fence"], row["lease_until"]) == (claim.fence + 1, None)
    assert not desk.write(claim, worker="x")
    next_one = desk.taken("b")
    assert next_one.fence > row["fence"]
    assert not desk.renew(claim)


def test_only_what_is_held_can_be_lost(desk: Desk) -> None:
    for state in (waiting(desk.kind), *over(desk.kind)):
        desk.set(state=state, lease_until=1.0)
        assert list(desk.lost()) == []
    desk.set(state=held(desk.kind), lease_until=1.0)
    assert list(desk.lost()) == [desk.first]
    desk.set(lease_until=None)
    assert list(desk.lost()) == []
    desk.set(lease_until=4e9)
    assert list(desk.lost()) == []


def test_holders_are_named_once_and_only_while_they_hold_something(desk: Desk) -> None:
    assert list(desk.holders()) == []
    for id_ in (desk.first, desk.second):
        assert desk.take("a", id_=id_) == 1
    assert list(desk.holders()) == ["a"]
    desk.set(desk.second, worker="b")
    assert set(desk.holders()) == {"a", "b"}
    desk.end()
    assert list(desk.holders()) == ["b"], "the row still says who had it last"
    desk.set(desk.second, state=over(desk.kind)[0])
    assert list(desk.holders()) == []


def test_of_many_that_take_a_row_at_once_one_wins(desk: Desk) -> None:
    for round_ in range(1, 4):
        fences = together(*[partial(desk.take, f"w{n}") for n in range(4)])
        assert [fence for fence in fences if fence is not None] == [round_]
        assert desk.row()["attempt"] == round_
        desk.run_out()


def test_a_late_holder_and_a_new_one_never_both_have_the_row(desk: Desk) -> None:
    claim = desk.taken("a")
    for _ in range(4):
        desk.run_out()
        renewed, fence = together(partial(desk.renew, claim), partial(desk.take, "b"))
        assert renewed is (fence is None)
        assert desk.row()["worker"] == ("a" if renewed else "b")
        if fence is not None:
            desk.end()
            claim = desk.taken("a")


def test_a_claim_is_named_by_its_kind_and_number() -> None:
    assert str(Claim(Shard, 7, 2)) == "Shard 7"
    assert str(Claim(Explanation, 3, 1)) == "Explanation 3"


@given(st.lists(st.sampled_from(["take a", "take b", "lose", "end", "hand over"]), max_size=12))
@settings(
    max_examples=15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
def test_whatever_happens_only_the_last_to_take_a_row_is_heard(
    desk: Desk, events: list[str]
) -> None:
    fence = int(desk.row()["fence"])
    desk.set(state=waiting(desk.kind), lease_until=None)
    claims: list[Claim] = []
    holder: Claim | None = None
    ran_out = over_now = False
    for event in events:
        if event.startswith("take"):
            got = desk.take(event[-1])
            assert (got is not None) == (not over_now and (holder is None or ran_out))
            if got is not None:
                assert got > fence, "a fence never comes twice"
                fence, ran_out, holder = got, False, Claim(desk.kind, desk.first, got)
                claims.append(holder)
        elif event == "lose" and holder:
            desk.run_out()
            ran_out = True
        elif event == "end":
            desk.end()
            holder, ran_out, over_now = None, False, False
        elif event == "hand over" and holder:
            assert desk.write(holder, state=over(desk.kind)[0])
            holder, ran_out, over_now = None, False, True
        heard = [claim for claim in claims if desk.write(claim, worker=f"{claim.fence}")]
        assert heard == ([holder] if holder else [])


def test_a_shard_that_was_rung_for_is_taken_like_one_that_waits(
    database: Database, person: MakePerson
) -> None:
    owner = person()
    with database.writing() as session:
        job = Job(owner_id=owner.id, name="Slide", state=JobState.QUEUED)
        session.add(job)
        session.flush()
        published = ShardState.PUBLISHED
        shard = Shard(job_id=job.id, lane=Lane.INTERACTIVE, size=1, state=published)
        session.add(shard)
        session.flush()
        # What was rung for is waited for by nobody yet, and can't be lost.
        assert not session.scalars(select(Shard.id).where(leases.held(Shard))).all()
        assert leases.take(session, Shard, shard.id, "a", 60.0) == 1
        assert session.scalars(select(Shard.id).where(leases.held(Shard))).all() == [shard.id]
