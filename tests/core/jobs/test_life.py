"""A job's whole life, in any order that can happen: whatever comes, the counts balance."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)
from sqlalchemy import delete, func, select

from core import jobs
from core.errors import Conflict, LeaseLost
from core.jobs import Counts, Entry, JobOverview, ShardClaim
from core.states import ImageState, JobState, ShardState
from core.tables import Image, Job, Prediction, Shard
from lexicon.outcomes import Outcome
from tests.core.conftest import DOUBT, STRANGE, VERDICT, Life, sha

_UNDER_WAY = (JobState.QUEUED, JobState.RUNNING)
_ENDED = (JobState.FINISHED, JobState.FAILED, JobState.CANCELLED)
_LIVE = (ShardState.WAITING, ShardState.PUBLISHED, ShardState.LEASED)
_CONTENTS = st.integers(0, 8)


@dataclass(frozen=True)
class Look:
    """All that the database says of the job, its files and its shards at one moment."""

    job: Job
    images: list[Image]
    shards: list[Shard]
    predictions: dict[int, int]
    overview: JobOverview

    @property
    def counts(self) -> Counts:
        return self.overview.counts

    @property
    def left(self) -> int:
        """Images that the present run has not judged."""
        return self.overview.progress.left


class OneJob(RuleBasedStateMachine):
    """One job, its files and its workers, zombies among them. Each rule is one transaction."""

    life: Life

    @initialize()
    def open(self) -> None:
        with self.life.database.writing() as session:
            for table in (Prediction, Image, Shard, Job):
                session.execute(delete(table))
        self.life.queue.rung.clear()
        self.job_id = self.life.open()
        self.claims: list[ShardClaim] = []
        self.now = self._look()
        self.begun_anew = False

    def _is(self, *states: JobState) -> bool:
        return self.now.job.state in states

    def _image(self, data: st.DataObject, *states: ImageState) -> Image | None:
        images = [image for image in self.now.images if image.state in states]
        return data.draw(st.sampled_from(images)) if images else None

    @precondition(lambda self: self._is(JobState.RECEIVING))
    @rule(contents=st.lists(_CONTENTS, min_size=1, max_size=8), hashed=st.booleans())
    def announce(self, contents: list[int], hashed: bool) -> None:
        entries = [Entry(f"{c % 5}.png", 100, sha(c) if hashed else None) for c in contents]
        before = self.life.announce(self.job_id, *entries)
        again = self.life.announce(self.job_id, *entries)
        assert [image_id for image_id, _ in again] == [image_id for image_id, _ in before]

    @precondition(lambda self: self._is(JobState.RECEIVING))
    @rule(data=st.data(), content=_CONTENTS)
    def receive(self, data: st.DataObject, content: int) -> None:
        if image := self._image(data, ImageState.EXPECTED, ImageState.REFUSED):
            contents = [c for c in range(9) if sha(c) == image.sha256]
            self.life.receive(image.id, contents[0] if contents else content)

    @precondition(lambda self: self._is(JobState.RECEIVING))
    @rule(data=st.data(), code=st.sampled_from(["changed", "not_an_image"]))
    def refuse(self, data: st.DataObject, code: str) -> None:
        if image := self._image(data, ImageState.EXPECTED, ImageState.RECEIVED):
            self.life.refuse(image.id, code)

    @precondition(lambda self: self._is(JobState.RECEIVING))
    @rule()
    def receive_the_rest(self) -> None:
        for n, image in enumerate(self.now.images):
            if image.state is ImageState.EXPECTED:
                contents = [c for c in range(9) if sha(c) == image.sha256]
                self.life.receive(image.id, contents[0] if contents else n)

    @precondition(lambda self: self._is(JobState.RECEIVING))
    @rule(without_missing=st.booleans())
    def submit(self, without_missing: bool) -> None:
        try:
            self.life.submit(self.job_id, without_missing=without_missing)
        except Conflict:
            assert self.life.state(self.job_id) is JobState.RECEIVING

    @rule()
    def dispatch(self) -> None:
        self.life.dispatch()

    @precondition(lambda self: self._is(*_UNDER_WAY))
    @rule(data=st.data())
    def claim(self, data: st.DataObject) -> None:
        shard = data.draw(st.sampled_from(self.now.shards))
        if claim := self.life.claim(shard.id):
            self.claims.append(claim)

    @precondition(lambda self: self.claims)
    @rule(data=st.data(), settle=st.booleans())
    def record(self, data: st.DataObject, settle: bool) -> None:
        claim = data.draw(st.sampled_from(self.claims))
        ids = [work.image_id for work in claim.work]
        failing = data.draw(st.lists(st.sampled_from(ids), max_size=2)) if ids else []
        try:
            self.life.record(claim, failing)
        except LeaseLost:
            return
        if settle:
            self.life.settle(self.job_id)

    @precondition(lambda self: self.claims)
    @rule(data=st.data())
    def die(self, data: st.DataObject) -> None:
        leased = [s.id for s in self.now.shards if s.state is ShardState.LEASED]
        if leased:
            self.life.let_lease_run_out(data.draw(st.sampled_from(leased)))

    @rule()
    def sweep(self) -> None:
        self.life.sweep()

    @precondition(lambda self: self._is(JobState.RECEIVING, *_UNDER_WAY))
    @rule(really=st.sampled_from([False, False, False, True]))
    def cancel(self, really: bool) -> None:
        if really:
            self.life.cancel(self.job_id)

    @precondition(lambda self: self._is(JobState.FINISHED, JobState.FAILED))
    @rule()
    def retry_failed(self) -> None:
        failed = self.now.counts.failed + self.now.overview.progress.kept
        if failed:
            assert self.life.retry_failed(self.job_id) == failed
            self.begun_anew = True

    @precondition(lambda self: self._is(JobState.FINISHED, JobState.FAILED, JobState.CANCELLED))
    @rule()
    def run_again(self) -> None:
        try:
            count = self.life.run_again(self.job_id)
        except Conflict:
            return
        self.begun_anew = True
        assert self._look().left == count

    @rule()
    def work_off(self) -> None:
        """From wherever it stands, a job that is under way comes to its end."""
        if not self._is(*_UNDER_WAY):
            return
        for shard in self.now.shards:
            if shard.state is ShardState.LEASED:
                self.life.let_lease_run_out(shard.id)
        self.life.sweep()
        rung = [s.id for s in self.life.shards(self.job_id) if s.state is ShardState.PUBLISHED]
        while rung:
            for shard_id in rung:
                self.life.record(self.life.claimed(shard_id))
            rung = self.life.dispatch()
        self.life.sweep()
        assert self.life.state(self.job_id) in (JobState.FINISHED, JobState.FAILED)
        assert self.life.counts(self.job_id).waiting == 0

    @invariant()
    def what_is_always_so(self) -> None:
        before, self.now = self.now, self._look()
        _counts_are_those_of_the_image_rows(self.now)
        _the_differential_is_that_of_the_image_rows(self.now)
        _the_models_are_those_of_the_image_rows(self.now)
        _what_is_classified_has_one_prediction(self.now)
        _what_waits_is_in_a_live_shard(self.now)
        _what_has_ended_says_when(self.now)
        if self.now.job.submitted_at == before.job.submitted_at:
            assert self.now.counts.classified >= before.counts.classified, "a verdict is gone"
            assert self.begun_anew or self.now.left <= before.left, "progress went back"
        self.begun_anew = False

    def _look(self) -> Look:
        with self.life.database.reading() as session:
            job = session.get_one(Job, self.job_id)
            per_image = select(Prediction.image_id, func.count()).group_by(Prediction.image_id)
            return Look(
                job,
                list(session.scalars(select(Image).order_by(Image.position))),
                list(session.scalars(select(Shard).order_by(Shard.id))),
                {image_id: count for image_id, count in session.execute(per_image)},
                jobs.overview(session, job),
            )


def _counts_are_those_of_the_image_rows(now: Look) -> None:
    states = [image.state for image in now.images]
    assert now.counts.received == len(states)
    assert now.counts.classified == states.count(ImageState.CLASSIFIED)
    assert now.counts.duplicates == states.count(ImageState.DUPLICATE)
    assert now.counts.refused == states.count(ImageState.REFUSED)
    assert now.counts.failed == states.count(ImageState.FAILED)
    assert now.counts.waiting >= 0
    assert now.counts.by_state == {state: states.count(state) for state in ImageState}


def _the_differential_is_that_of_the_image_rows(now: Look) -> None:
    differential = now.overview.differential
    judged = [(i.outcome, i.label) for i in now.images if i.state is ImageState.CLASSIFIED]
    assert differential.outcomes == {o: sum(o == outcome for outcome, _ in judged) for o in Outcome}
    accepted = Counter(label for outcome, label in judged if outcome == Outcome.ACCEPTED)
    assert {counted.name: counted.count for counted in differential.classes} == accepted


def _the_models_are_those_of_the_image_rows(now: Look) -> None:
    judged = [image for image in now.images if image.state is ImageState.CLASSIFIED]
    counts = {judge.model.digest: judge.count for judge in now.overview.judges}
    assert counts == Counter(image.model_digest for image in judged)
    assert now.overview.progress.kept == sum(image.message is not None for image in judged)


def _what_is_classified_has_one_prediction(now: Look) -> None:
    assert set(now.predictions.values()) <= {1}
    classified = {i.id for i in now.images if i.state is ImageState.CLASSIFIED}
    assert classified <= now.predictions.keys()


def _what_waits_is_in_a_live_shard(now: Look) -> None:
    if now.job.state not in _UNDER_WAY:
        return
    live = {shard.id: shard.size for shard in now.shards if shard.state in _LIVE}
    waiting = [image for image in now.images if image.state is ImageState.RECEIVED]
    assert all(image.shard_id in live for image in waiting)
    assert len(waiting) == now.counts.waiting
    assert sum(live.values()) == sum(i.shard_id in live for i in now.images) == now.left


def _what_has_ended_says_when(now: Look) -> None:
    assert (now.job.state in _ENDED) == (now.job.finished_at is not None)
    if now.job.state is JobState.FINISHED:
        assert now.counts.classified > 0


def test_whatever_happens_to_a_job_its_counts_balance(life: Life) -> None:
    life.settings = life.settings.model_copy(update={"shard_size": 2})
    life.verdicts = (VERDICT, DOUBT, STRANGE)
    machine = type("OneJobHere", (OneJob,), {"life": life})
    run_state_machine_as_test(
        machine,
        settings=settings(
            max_examples=12,
            stateful_step_count=25,
            deadline=None,
            suppress_health_check=list(HealthCheck),
        ),
    )
