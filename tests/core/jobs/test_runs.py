"""A later run of a job: what stands stays until there is something new, whatever interrupts it."""

from __future__ import annotations

from functools import partial

import pytest
from sqlalchemy import update

from core import jobs
from core.db import utcnow
from core.errors import Conflict, LeaseLost
from core.jobs import Row
from core.states import ImageState, JobState, ModelState, ShardState
from core.tables import Image, Job, Model, Shard
from lexicon.outcomes import Outcome
from lexicon.verdicts import Verdict
from tests.core.conftest import DOUBT, FAILURE, STRANGE, VERDICT, Life
from tests.core.jobs.test_races import together

OTHER = "e" * 64
CHANGED = Verdict("monocyte", 0.99, Outcome.ACCEPTED, (0.0, 0.0, 1.0, 0.0))


@pytest.fixture
def other(life: Life) -> str:
    """A second model, of the same name and version as the first."""
    with life.database.writing() as session:
        model = session.get_one(Model, life.digest)
        session.add(
            Model(
                digest=OTHER,
                name=model.name,
                version=model.version,
                classes=model.classes,
                state=ModelState.CANDIDATE,
                added_at=utcnow(),
            )
        )
    return OTHER


def exported(life: Life, job_id: int) -> list[Row]:
    with life.database.reading() as session:
        return list(jobs.export_rows(session, job_id))


def verdicts(life: Life, job_id: int) -> list[tuple[object, ...]]:
    """What the rows of the images say, in order."""
    return [
        (i.state, i.label, i.confidence, i.outcome, i.model_digest, i.reason)
        for i in life.images(job_id)
    ]


def balanced(life: Life, job_id: int) -> None:
    """What shards count is what the images say."""
    counts = life.counts(job_id)
    assert counts == life.truth(job_id)
    judged = [i for i in life.images(job_id) if i.state is ImageState.CLASSIFIED]
    with life.database.reading() as session:
        differential = jobs.differential(session, job_id)
    assert differential.classified == counts.classified == len(judged)
    of_each = {outcome.value: count for outcome, count in differential.outcomes.items()}
    assert of_each == {o: sum(i.outcome == o for i in judged) for o in of_each}
    models = {i.model_digest for i in judged}
    expected = {model: sum(i.model_digest == model for i in judged) for model in models}
    assert life.judged_by(job_id) == expected


def test_run_again_and_cancelled_at_once_a_job_is_what_it_was(life: Life, other: str) -> None:
    life.verdicts = (VERDICT, DOUBT, STRANGE)
    job_id = life.submitted(12)
    life.work_off(failing=[life.images(job_id)[0].id])
    before, rows = verdicts(life, job_id), exported(life, job_id)
    assert life.run_again(job_id, other) == 12
    assert (verdicts(life, job_id), exported(life, job_id)) == (before, rows)
    balanced(life, job_id)
    life.cancel(job_id)
    assert (verdicts(life, job_id), exported(life, job_id)) == (before, rows)
    balanced(life, job_id)
    assert life.judged_by(job_id) == {life.digest: 11}
    assert life.images(job_id)[0].message == FAILURE.message


def test_cancelled_in_the_middle_of_a_run_what_is_done_is_new_and_the_rest_old(
    life: Life, other: str
) -> None:
    job_id = life.submitted(12)
    life.work_off()
    life.run_again(job_id, other)
    life.verdicts = (CHANGED,)
    first, *_ = life.dispatch()
    life.record(life.claimed(first))
    balanced(life, job_id)
    assert life.progress(job_id).left == 8
    life.cancel(job_id)
    balanced(life, job_id)
    assert life.judged_by(job_id) == {life.digest: 8, other: 4}
    labels = [row.verdict and row.verdict.label for row in exported(life, job_id)]
    assert labels == ["monocyte"] * 4 + ["lymphocyte"] * 8
    assert (life.counts(job_id).classified, life.counts(job_id).waiting) == (12, 0)
    assert life.state(job_id) is JobState.CANCELLED


def test_a_run_that_is_taken_up_after_a_cancel_ends_under_one_model(life: Life, other: str) -> None:
    job_id = life.submitted(12)
    life.work_off()
    life.run_again(job_id, other)
    life.record(life.claimed(life.dispatch()[0]))
    life.cancel(job_id)
    life.run_again(job_id, other)
    balanced(life, job_id)
    life.work_off()
    balanced(life, job_id)
    assert life.judged_by(job_id) == {other: 12}
    assert life.state(job_id) is JobState.FINISHED


def test_the_time_taken_is_that_of_the_run(life: Life) -> None:
    job_id = life.submitted(4)
    life.work_off()
    first = life.job(job_id)
    life.run_again(job_id)
    queued = life.job(job_id)
    assert (queued.started_at, queued.finished_at) == (None, None)
    life.cancel(job_id)
    cancelled = life.job(job_id)
    assert cancelled.started_at is None
    life.run_again(job_id)
    life.work_off()
    again = life.job(job_id)
    assert first.finished_at and again.started_at and again.finished_at
    assert first.finished_at <= again.started_at <= again.finished_at


def test_the_speed_of_a_cancelled_run_counts_what_it_did(life: Life) -> None:
    job_id = life.submitted(12)
    life.work_off()
    life.run_again(job_id)
    life.record(life.claimed(life.dispatch()[0]))
    life.cancel(job_id)
    job, run = life.job(job_id), life.progress(job_id)
    assert job.started_at and job.finished_at
    speed = jobs.images_per_second(job, run, utcnow())
    assert speed == pytest.approx(4 / (job.finished_at - job.started_at).total_seconds())
    assert jobs.share_done(job, life.counts(job_id), run) == pytest.approx(1 / 3)


def test_what_a_run_cannot_judge_keeps_its_verdict_and_says_why(life: Life, other: str) -> None:
    life.verdicts = (VERDICT, DOUBT)
    job_id = life.submitted(8)
    life.work_off()
    before = {image.id: image for image in life.images(job_id)}
    lost = list(before)[1:4]
    life.run_again(job_id, other)
    life.work_off(failing=lost)
    balanced(life, job_id)
    assert life.state(job_id) is JobState.FINISHED
    assert (life.counts(job_id).failed, life.progress(job_id).kept) == (0, 3)
    assert life.judged_by(job_id) == {life.digest: 3, other: 5}
    for image in life.images(job_id):
        if image.id in lost:
            was = before[image.id]
            assert (image.label, image.outcome) == (was.label, was.outcome)
            assert image.message == f"Could not be judged again. {FAILURE.message}"
        else:
            assert (image.model_digest, image.message) == (other, None)


def test_what_a_run_could_not_judge_can_be_retried(life: Life, other: str) -> None:
    job_id = life.submitted(8)
    life.work_off()
    lost = [image.id for image in life.images(job_id)][2:6]
    life.run_again(job_id, other)
    life.work_off(failing=lost)
    assert life.retry_failed(job_id) == 4
    balanced(life, job_id)
    assert life.progress(job_id).left == 4
    life.work_off()
    balanced(life, job_id)
    assert life.judged_by(job_id) == {other: 8}
    assert life.progress(job_id).kept == 0
    assert all(image.message is None for image in life.images(job_id))


def test_a_retry_that_is_cancelled_still_says_why_images_failed(life: Life) -> None:
    job_id = life.submitted(10)
    ids = [image.id for image in life.images(job_id)]
    life.work_off(failing=ids[1:4])
    before = verdicts(life, job_id)
    life.retry_failed(job_id)
    assert verdicts(life, job_id) == before
    balanced(life, job_id)
    life.cancel(job_id)
    assert verdicts(life, job_id) == before
    balanced(life, job_id)
    assert life.counts(job_id).failed == 3


def test_a_retry_and_then_a_run_of_everything_leave_one_shard_row_an_image(life: Life) -> None:
    job_id = life.submitted(10)
    ids = [image.id for image in life.images(job_id)]
    life.work_off(failing=ids[1:4])
    life.retry_failed(job_id)
    life.work_off(failing=ids[1:2])
    balanced(life, job_id)
    life.run_again(job_id)
    balanced(life, job_id)
    assert sum(shard.size for shard in life.shards(job_id)) == 10
    life.work_off()
    balanced(life, job_id)
    assert life.counts(job_id).classified == 10


def test_a_worker_of_a_cancelled_run_records_nothing_into_the_next(life: Life, other: str) -> None:
    job_id = life.submitted(4)
    life.work_off()
    life.run_again(job_id, other)
    late = life.claimed(life.dispatch()[0])
    life.cancel(job_id)
    life.run_again(job_id)
    with pytest.raises(LeaseLost):
        life.record(late)
    balanced(life, job_id)
    assert life.judged_by(job_id) == {life.digest: 4}


def test_a_job_is_cancelled_once(life: Life) -> None:
    job_id = life.submitted(4)
    life.work_off()
    life.run_again(job_id)
    life.cancel(job_id)
    ended = life.job(job_id).finished_at
    with pytest.raises(Conflict):
        life.cancel(job_id)
    assert life.job(job_id).finished_at == ended


def test_an_image_that_kills_the_workers_of_a_later_run_keeps_its_verdict(life: Life) -> None:
    life.verdicts = (VERDICT, DOUBT, STRANGE)
    job_id = life.submitted(4)
    life.work_off()
    killer = life.images(job_id)[2].id
    before = verdicts(life, job_id)
    life.run_again(job_id)
    for _ in range(40):
        for shard_id in life.dispatch():
            claim = life.claimed(shard_id)
            if killer in {work.image_id for work in claim.work}:
                life.let_lease_run_out(shard_id)
            else:
                life.record(claim)
                life.settle(job_id)
        life.sweep()
        balanced(life, job_id)
        if life.state(job_id) is JobState.FINISHED:
            break
        with life.database.writing() as session:
            published = update(Shard).where(Shard.state == ShardState.PUBLISHED)
            session.execute(published.values(state=ShardState.WAITING))
    assert life.state(job_id) is JobState.FINISHED
    assert verdicts(life, job_id) == before
    assert life.progress(job_id).kept == 1
    assert "crashed the worker" in (life.images(job_id)[2].message or "")


def test_a_cancel_beside_the_work_of_a_later_run_leaves_every_verdict(
    life: Life, other: str
) -> None:
    for n in range(4):
        job_id = life.submitted(12)
        life.work_off()
        life.run_again(job_id, other)
        rung = life.dispatch()

        def work(shard_id: int) -> None:
            if claim := life.claim(shard_id):
                life.record(claim, failing=[claim.work[0].image_id])
                life.settle(claim.job_id)

        together(
            *[partial(work, i) for i in rung],
            partial(life.cancel, job_id),
            partial(jobs.sweep, life.database, life.settings),
        )
        balanced(life, job_id)
        assert life.counts(job_id).classified == 12, n
        assert sum(life.judged_by(job_id).values()) == 12


def test_a_run_and_a_retry_at_once_make_one_run(life: Life) -> None:
    job_id = life.submitted(8)
    life.work_off(failing=[life.images(job_id)[0].id])
    results = together(partial(life.run_again, job_id), partial(life.retry_failed, job_id))
    assert sum(isinstance(result, Conflict) for result in results) == 1
    balanced(life, job_id)
    life.work_off()
    balanced(life, job_id)
    assert life.counts(job_id).classified == 8


def test_a_job_of_before_is_counted_as_it_was(life: Life) -> None:
    """Rows that were judged before shards counted by model are recounted by the next run."""
    job_id = life.submitted(4)
    life.work_off()
    with life.database.writing() as session:
        session.execute(update(Shard).values(judged_by={}))
    life.run_again(job_id)
    balanced(life, job_id)


def test_the_first_run_shows_nothing_before_it_has_judged(life: Life) -> None:
    job_id = life.submitted(4)
    life.cancel(job_id)
    balanced(life, job_id)
    with life.database.reading() as session:
        job = session.get_one(Job, job_id)
        assert jobs.overview(session, job).judges == ()
        assert session.get_one(Image, life.images(job_id)[0].id).state is ImageState.RECEIVED
