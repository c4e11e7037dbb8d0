"""Every way from state to state that is drawn is gone, and no other, whatever people do."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from enum import StrEnum

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import update

from core import jobs
from core.errors import Conflict, LeaseLost
from core.jobs import Entry, ShardClaim
from core.leases import Claim
from core.made import derivatives, explanations, making
from core.states import ENDED, LIVE_SHARDS, ImageState, JobState, MakingState, ShardState
from core.tables import Derivative, Explanation, Image, Made
from tests.core.conftest import Life, sha

Step = tuple[StrEnum, StrEnum]


def steps(*lines: tuple[StrEnum, tuple[StrEnum, ...]]) -> set[Step]:
    """Return the steps from each state to those beside it."""
    return {(before, after) for before, afters in lines for after in afters}


# As `core.states` draws them.
JOB = steps(
    (JobState.RECEIVING, (JobState.QUEUED, JobState.FAILED, JobState.CANCELLED)),
    (JobState.QUEUED, (JobState.RUNNING, JobState.CANCELLED)),
    (JobState.RUNNING, (JobState.FINISHED, JobState.FAILED, JobState.CANCELLED)),
    *((ended, (JobState.QUEUED,)) for ended in ENDED),
)
IMAGE = steps(
    (ImageState.EXPECTED, (ImageState.RECEIVED, ImageState.REFUSED)),
    (ImageState.RECEIVED, (ImageState.CLASSIFIED, ImageState.FAILED, ImageState.DUPLICATE)),
    (ImageState.REFUSED, (ImageState.RECEIVED,)),
    (ImageState.FAILED, (ImageState.CLASSIFIED,)),
)
SHARD = steps(
    (ShardState.WAITING, (ShardState.PUBLISHED, ShardState.LEASED)),
    (ShardState.PUBLISHED, (ShardState.LEASED,)),
    (ShardState.LEASED, (ShardState.DONE, ShardState.SPLIT, ShardState.WAITING)),
    *((live, (ShardState.DROPPED,)) for live in LIVE_SHARDS),
)


@dataclass
class Day:
    """A job, what may happen to it, and the steps that job, images and shards took."""

    life: Life
    job_id: int = 0
    claims: list[ShardClaim] = field(default_factory=list)
    seen: dict[str, set[Step]] = field(
        default_factory=lambda: {"job": set(), "image": set(), "shard": set()}
    )

    def begin(self, files: int = 6, refused: int = 0) -> None:
        """Announce files, of which two are the same and the last ones are refused."""
        self.job_id, self.claims = self.life.open(), []
        entries = [Entry(f"{i}.png", 100, sha((self.job_id, max(i, 1)))) for i in range(files)]
        ids = [image_id for image_id, _ in self.life.announce(self.job_id, *entries)]
        for image_id in ids[files - refused :]:
            self.do(self.life.refuse, image_id, "not_an_image")

    def do(self, action: Callable[..., object], *words: object, **named: object) -> bool:
        """Do something to the job; note which steps were taken, and return whether it could be.

        What is not possible changes nothing.
        """
        before = self._states()
        try:
            action(*words, **named)
        except (Conflict, LeaseLost):
            assert self._states() == before
            return False
        after = self._states()
        for kind, rows in after.items():
            for id_, state in rows.items():
                was = before[kind].get(id_)
                if was is None:
                    assert state in (ShardState.WAITING, ImageState.EXPECTED), "it begins so"
                elif was is not state:
                    self.seen[kind].add((was, state))
        return True

    def _states(self) -> dict[str, dict[int, StrEnum]]:
        return {
            "job": {self.job_id: self.life.state(self.job_id)},
            "image": {image.id: image.state for image in self.life.images(self.job_id)},
            "shard": {shard.id: shard.state for shard in self.life.shards(self.job_id)},
        }

    def receive(self) -> None:
        """Let each file arrive that may still do so."""
        for place, image in enumerate(self.life.images(self.job_id)):
            self.do(self.life.receive, image.id, (self.job_id, max(place, 1)))

    def refuse(self) -> None:
        """Let the last file be refused."""
        self.do(self.life.refuse, self.life.images(self.job_id)[-1].id)

    def submit(self) -> None:
        """Submit without what is missing."""
        self.do(self.life.submit, self.job_id, without_missing=True)

    def draw(self) -> None:
        """Ring for what there is room for."""
        self.do(self.life.dispatch)

    def claim(self) -> None:
        """Let a worker of its own take each shard that is free."""
        for shard in self.life.shards(self.job_id):
            self.do(self._claim, shard.id)

    def _claim(self, shard_id: int) -> None:
        if claim := self.life.claim(shard_id, f"w{shard_id}"):
            self.claims.append(claim)

    def record(self, failing: bool = False) -> None:
        """Let the last worker that took a shard hand it over."""
        if self.claims:
            claim = self.claims.pop()
            ids = [work.image_id for work in claim.work] if failing else []
            self.do(self.life.record, claim, ids)

    def fail(self) -> None:
        """Let it hand over that none of its images could be read."""
        self.record(failing=True)

    def die(self) -> None:
        """Let each worker that has a shard die."""
        for shard in self.life.shards(self.job_id):
            self.do(self._release, shard.id)

    def _release(self, shard_id: int) -> None:
        with self.life.database.writing() as session:
            jobs.release(session, shard_id, f"w{shard_id}", self.life.settings.max_attempts)

    def settle(self) -> None:
        """End the job if nothing is left to do."""
        self.do(self.life.settle, self.job_id)

    def cancel(self) -> None:
        """Cancel the job."""
        self.do(self.life.cancel, self.job_id)

    def retry(self) -> None:
        """Retry what failed."""
        self.do(self.life.retry_failed, self.job_id)

    def run_again(self) -> None:
        """Run all again."""
        self.do(self.life.run_again, self.job_id)


DEEDS: tuple[Callable[[Day], None], ...] = (
    Day.receive,
    Day.refuse,
    Day.submit,
    Day.draw,
    Day.claim,
    Day.record,
    Day.fail,
    Day.die,
    Day.settle,
    Day.cancel,
    Day.retry,
    Day.run_again,
)


def test_each_step_that_is_drawn_is_taken_in_some_life_and_no_other(life: Life) -> None:
    day = Day(life)
    arrived = (Day.receive, Day.submit)
    recorded = (Day.record, Day.record, Day.settle)
    lives: tuple[tuple[Callable[[Day], None], ...], ...] = (
        # To the end, by way of a worker that died and a late message, and once more.
        (*arrived, Day.claim, Day.die, Day.draw, Day.claim, *recorded, Day.run_again, Day.draw),
        # Nothing can be read, then all can.
        (
            *arrived,
            Day.draw,
            Day.claim,
            Day.fail,
            Day.fail,
            Day.settle,
            Day.retry,
            Day.claim,
            *recorded,
        ),
        # What kills its workers is halved, and failed when it is alone.
        (*arrived, *(Day.claim, Day.die) * 12, Day.settle),
        # Cancelled at each time, and taken up again.
        (Day.cancel,),
        (*arrived, Day.cancel, Day.run_again, Day.draw, Day.cancel),
        (*arrived, Day.claim, Day.cancel),
        # Nothing came, or nothing was accepted until it was sent again.
        (Day.submit,),
        (Day.refuse, *arrived),
    )
    for deeds in lives:
        day.begin()
        for deed in deeds:
            deed(day)
    assert day.seen == {"job": JOB, "image": IMAGE, "shard": SHARD}


@given(st.integers(0, 2), st.lists(st.sampled_from(DEEDS), min_size=4, max_size=14))
@settings(
    max_examples=15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
def test_whatever_is_done_to_a_job_no_other_step_is_taken_and_its_counts_are_true(
    life: Life, refused: int, deeds: list[Callable[[Day], None]]
) -> None:
    day = Day(life)
    day.begin(5, refused)
    # Most of what can be done needs a job that was submitted.
    for deed in (Day.receive, Day.submit, *deeds) if refused else deeds:
        deed(day)
    assert day.seen["job"] <= JOB
    assert day.seen["image"] <= IMAGE
    assert day.seen["shard"] <= SHARD
    state = life.state(day.job_id)
    live = [shard for shard in life.shards(day.job_id) if shard.state in LIVE_SHARDS]
    if state in ENDED:
        assert not live, "nobody works for a job that has ended"
    if state is not JobState.RECEIVING:
        counts = life.counts(day.job_id)
        if life.job(day.job_id).submitted_at is not None:
            assert counts == life.truth(day.job_id)
        parts = (counts.classified, counts.duplicates, counts.refused, counts.failed)
        assert counts.received == sum(parts) + counts.waiting


MADE = steps(
    (MakingState.WAITING, (MakingState.MAKING,)),
    (MakingState.MAKING, (MakingState.READY, MakingState.FAILED, MakingState.WAITING)),
    (MakingState.FAILED, (MakingState.WAITING,)),
    (MakingState.READY, (MakingState.WAITING,)),
)


def test_what_is_made_takes_each_step_that_is_drawn_and_no_other(life: Life) -> None:
    job_id = life.submitted(1)
    life.work_off()
    image_id = life.images(job_id)[0].id
    # Why is asked for again if it failed, copies if they are gone.
    lives: dict[type[Made], tuple[str, MakingState]] = {
        Explanation: ("claim fail ask claim finish ask", MakingState.READY),
        Derivative: ("claim finish ask claim fail ask", MakingState.FAILED),
    }
    for kind, (deeds, last) in lives.items():
        make(life, kind, "ask", image_id)
        seen: set[Step] = set()
        for deed in ("finish", "die", "fail", "claim", "claim", "die", *deeds.split()):
            before = made(life, kind)
            with suppress(LeaseLost):
                make(life, kind, deed, image_id)
            if (after := made(life, kind)) is not before:
                seen.add((before, after))
        assert seen == {step for step in MADE if step[0] is not last}
        assert made(life, kind) is last
        for deed in ("finish", "fail", "die", "claim", "ask"):
            with suppress(LeaseLost):
                make(life, kind, deed, image_id)
            assert made(life, kind) is last


def made(life: Life, kind: type[Made]) -> MakingState:
    """Return the state of the one thing of a kind that was asked for."""
    with life.database.reading() as session:
        return session.query(kind).one().state


def make(life: Life, kind: type[Made], deed: str, image_id: int) -> None:
    """Do something about it."""
    with life.database.writing() as session:
        room = explanations if kind is Explanation else derivatives
        if deed == "ask":
            room.order(session, session.get_one(Image, image_id))
            return
        row = session.query(kind).one()
        claim = Claim(kind, row.id, row.fence)
        if deed == "claim":
            room.claim(session, row.id, "w", 60.0)
        elif deed == "finish":
            making.finish(session, claim, "key")
        elif deed == "fail":
            making.fail(session, claim, "No.")
        else:
            session.execute(update(kind).values(lease_until=1.0))
            making.take_back(session, kind, 3)
