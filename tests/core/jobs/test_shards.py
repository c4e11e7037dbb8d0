"""A shard under a lease: one winner, one writer, one verdict an image."""

from __future__ import annotations

import pytest
from sqlalchemy import select

from core import jobs, leases
from core.db import utcnow
from core.errors import LeaseLost
from core.jobs import Failure
from core.states import ImageState, JobState, ShardState
from core.tables import Image, Model, Prediction
from lexicon.verdicts import Verdict
from tests.core.conftest import FAILURE, VERDICT, Life


def test_the_first_claim_sets_the_job_running(life: Life) -> None:
    job_id = life.submitted(5)
    claim = life.claimed(life.dispatch()[0])
    job = life.job(job_id)
    assert (job.state, job.started_at is not None) == (JobState.RUNNING, True)
    images = life.images(job_id)
    assert [w.image_id for w in claim.work] == [i.id for i in images[:4]]
    assert [w.sha256 for w in claim.work] == [i.sha256 for i in images[:4]]
    assert (claim.job_id, claim.fence) == (job_id, 1)


def test_a_shard_under_a_lease_is_nobody_elses(life: Life) -> None:
    life.submitted(2)
    [shard_id] = life.dispatch()
    life.claimed(shard_id)
    assert life.claim(shard_id, "worker-2") is None


def test_a_shard_whose_lease_ran_out_may_be_taken(life: Life) -> None:
    job_id = life.submitted(2)
    [shard_id] = life.dispatch()
    first = life.claimed(shard_id)
    life.let_lease_run_out(shard_id)
    second = life.claimed(shard_id, "worker-2")
    assert second.fence > first.fence
    [shard] = life.shards(job_id)
    assert (shard.attempt, shard.worker) == (2, "worker-2")


def test_a_shard_that_never_was_is_no_error(life: Life) -> None:
    assert life.claim(4711) is None


def test_a_lease_is_renewed_by_its_holder_alone(life: Life) -> None:
    job_id = life.submitted(2)
    [shard_id] = life.dispatch()
    zombie = life.claimed(shard_id)
    life.let_lease_run_out(shard_id)
    holder = life.claimed(shard_id, "worker-2")
    with life.database.writing() as session:
        assert leases.renew(session, holder, 1_000.0)
        assert not leases.renew(session, zombie, 9_000.0)
    [before] = life.shards(job_id)
    life.sweep()
    [after] = life.shards(job_id)
    assert before.lease_until == after.lease_until


def test_a_zombie_records_nothing(life: Life) -> None:
    job_id = life.submitted(2)
    [shard_id] = life.dispatch()
    zombie = life.claimed(shard_id)
    life.let_lease_run_out(shard_id)
    holder = life.claimed(shard_id, "worker-2")
    with pytest.raises(LeaseLost):
        life.record(zombie)
    assert life.predictions() == 0
    assert life.truth(job_id).classified == 0
    life.record(holder)
    with pytest.raises(LeaseLost):
        life.record(zombie)
    assert life.predictions() == 2


def test_a_worker_records_nothing_of_a_cancelled_job(life: Life) -> None:
    job_id = life.submitted(2)
    claim = life.claimed(life.dispatch()[0])
    life.cancel(job_id)
    with life.database.writing() as session:
        assert not leases.renew(session, claim, 60.0)
    with pytest.raises(LeaseLost):
        life.record(claim)
    assert life.predictions() == 0


def test_a_worker_of_a_cancelled_run_records_nothing_in_the_next_one(life: Life) -> None:
    job_id = life.submitted(2)
    zombie = life.claimed(life.dispatch()[0])
    life.cancel(job_id)
    life.run_again(job_id)
    current = life.claimed(life.dispatch()[0])
    with pytest.raises(LeaseLost):
        life.record(zombie)
    life.record(current)
    assert life.counts(job_id).classified == 2


def test_a_shard_is_recorded_once(life: Life) -> None:
    job_id = life.submitted(2)
    claim = life.claimed(life.dispatch()[0])
    life.record(claim)
    with pytest.raises(LeaseLost):
        life.record(claim)
    assert life.predictions() == 2
    assert life.counts(job_id).classified == 2


def test_a_verdict_is_written_on_the_image_and_a_failure_with_its_reason(life: Life) -> None:
    job_id = life.submitted(2)
    claim = life.claimed(life.dispatch()[0])
    life.record(claim, failing=[claim.work[1].image_id])
    good, bad = life.images(job_id)
    assert (good.state, good.label, good.confidence) == (ImageState.CLASSIFIED, "lymphocyte", 0.9)
    assert (good.outcome, good.model_digest) == ("accepted", life.digest)
    assert (bad.state, bad.reason, bad.message) == (
        ImageState.FAILED,
        FAILURE.code,
        FAILURE.message,
    )
    assert (bad.label, bad.model_digest) == (None, None)
    with life.database.reading() as session:
        [prediction] = session.scalars(select(Prediction))
    assert tuple(prediction.probabilities) == VERDICT.probabilities


def test_results_that_are_not_those_of_the_shard_are_not_written(life: Life) -> None:
    job_id = life.submitted(2)
    claim = life.claimed(life.dispatch()[0])
    first, second = (work.image_id for work in claim.work)
    wrong: list[dict[int, Verdict | Failure]] = [
        {},
        {first: VERDICT},
        {first: VERDICT, second: VERDICT, 4711: VERDICT},
    ]
    for results in wrong:
        with pytest.raises(ValueError, match="not those"), life.database.writing() as session:
            jobs.record(session, claim, life.digest, results)
    assert life.shards(job_id)[0].state is ShardState.LEASED


def test_a_failure_told_at_length_is_cut_and_fails_its_image_alone(life: Life) -> None:
    job_id = life.submitted(1)
    claim = life.claimed(life.dispatch()[0])
    with life.database.writing() as session:
        wordy = Failure("c" * 100, "m" * 1_000)
        jobs.record(session, claim, life.digest, {claim.work[0].image_id: wordy})
    [image] = life.images(job_id)
    assert (image.reason, image.message) == ("c" * 40, "m" * 400)


def test_the_last_shard_ends_the_job_and_no_earlier_one(life: Life) -> None:
    job_id = life.submitted(5)
    first, last = (life.claimed(shard_id) for shard_id in life.dispatch())
    life.record(first)
    assert not life.settle(job_id)
    life.record(last)
    assert life.settle(job_id)
    assert not life.settle(job_id)
    job = life.job(job_id)
    assert (job.state, job.finished_at is not None) == (JobState.FINISHED, True)


def test_a_job_in_which_nothing_could_be_classified_has_failed(life: Life) -> None:
    job_id = life.submitted(5)
    life.work_off(failing=[image.id for image in life.images(job_id)])
    assert life.state(job_id) is JobState.FAILED
    assert life.counts(job_id).failed == 5


def test_what_a_model_has_said_of_these_bytes_is_known_to_the_next_worker(life: Life) -> None:
    job_id = life.submitted(3)
    life.work_off(failing=[life.images(job_id)[2].id])
    life.run_again(job_id)
    claim = life.claimed(life.dispatch()[0])
    with life.database.reading() as session:
        verdicts = jobs.known_verdicts(session, claim, life.digest)
        assert jobs.known_verdicts(session, claim, "another model") == {}
    assert verdicts == {work.sha256: VERDICT for work in claim.work[:2]}


def test_another_model_adds_its_own_prediction_and_it_counts(life: Life) -> None:
    job_id = life.submitted(2)
    life.work_off()
    with life.database.writing() as session:
        session.add(
            Model(digest="e" * 64, name="n", version="2", classes=["monocyte"], added_at=utcnow())
        )
    life.run_again(job_id, "e" * 64)
    life.work_off()
    assert life.predictions() == 4
    with life.database.reading() as session:
        assert set(session.scalars(select(Image.model_digest))) == {"e" * 64}
