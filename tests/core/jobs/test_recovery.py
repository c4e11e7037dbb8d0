"""What a dead worker leaves: a lease that ran out, and the image that killed it."""

from __future__ import annotations

from core import jobs, leases
from core.jobs.recovery import KILLER
from core.states import ImageState, JobState, ShardState
from tests.core.conftest import Life


def _die_reading(life: Life, killer: int) -> None:
    """Be workers that die of one image, and sweep, until nothing is left to do."""
    for _ in range(60):
        life.sweep()
        for shard in [s for s in life.shards(1) if s.state is ShardState.PUBLISHED]:
            claim = life.claimed(shard.id)
            if killer in {work.image_id for work in claim.work}:
                life.let_lease_run_out(shard.id)
            else:
                life.record(claim)
            assert life.counts(1) == life.truth(1)
        if life.state(1) is JobState.FINISHED:
            return
    raise AssertionError("the job never ended")


def test_a_lease_that_ran_out_is_taken_back_and_rung_for(life: Life) -> None:
    job_id = life.submitted(2)
    [shard_id] = life.dispatch()
    zombie = life.claimed(shard_id)
    life.let_lease_run_out(shard_id)
    swept = life.sweep()
    assert (swept.lost, swept.rung, life.heard()) == (1, 1, [shard_id])
    [shard] = life.shards(job_id)
    assert (shard.state, shard.attempt, shard.lease_until) == (ShardState.PUBLISHED, 1, None)
    with life.database.writing() as session:
        assert not leases.renew(session, zombie, 60.0)


def test_a_lease_that_runs_is_left_alone(life: Life) -> None:
    job_id = life.submitted(2)
    life.claimed(life.dispatch()[0])
    assert life.sweep().lost == 0
    assert life.shards(job_id)[0].state is ShardState.LEASED


def test_a_shard_is_split_until_the_guilty_image_stands_alone(life: Life) -> None:
    job_id = life.submitted(20)
    guilty = life.images(job_id)[6]
    _die_reading(life, guilty.id)
    counts = life.counts(job_id)
    assert (counts.classified, counts.failed, counts.waiting) == (19, 1, 0)
    guilty = life.images(job_id)[6]
    assert (guilty.state, guilty.reason) == (ImageState.FAILED, KILLER)
    assert guilty.message is not None
    assert life.predictions() == 19
    assert sum(shard.size for shard in life.shards(job_id)) == 20


def test_an_image_that_stands_alone_has_as_many_tries_as_the_settings_say(life: Life) -> None:
    job_id = life.submitted(1)
    [shard_id] = life.dispatch()
    for _ in range(life.settings.max_attempts):
        assert life.truth(job_id).failed == 0
        life.claimed(shard_id)
        life.let_lease_run_out(shard_id)
        life.sweep()
    assert life.truth(job_id).failed == 1
    assert life.state(job_id) is JobState.FAILED


def test_what_killed_its_workers_can_be_retried(life: Life) -> None:
    job_id = life.submitted(5)
    _die_reading(life, life.images(job_id)[0].id)
    assert life.retry_failed(job_id) == 1
    life.work_off()
    assert life.counts(job_id).classified == 5
    assert life.counts(job_id) == life.truth(job_id)
    assert sum(shard.size for shard in life.shards(job_id)) == 5


def test_a_worker_that_is_known_to_be_dead_loses_its_lease_at_once(life: Life) -> None:
    life.submitted(1)
    [shard_id] = life.dispatch()
    life.claimed(shard_id, "worker-1")
    with life.database.writing() as session:
        assert not jobs.release(session, shard_id, "worker-2", life.settings.max_attempts)
        assert jobs.release(session, shard_id, "worker-1", life.settings.max_attempts)
        assert not jobs.release(session, shard_id, "worker-1", life.settings.max_attempts)
    assert life.claimed(shard_id, "worker-2").fence == 3


def test_a_split_of_a_job_that_was_cancelled_makes_no_halves(life: Life) -> None:
    job_id = life.submitted(4)
    [shard_id] = life.dispatch()
    for _ in range(2):
        life.claimed(shard_id)
        life.let_lease_run_out(shard_id)
    life.cancel(job_id)
    assert life.sweep().lost == 0
    assert [shard.state for shard in life.shards(job_id)] == [ShardState.DROPPED]


def test_an_outage_is_not_held_against_the_images(life: Life) -> None:
    job_id = life.submitted(2)
    (shard_id,) = life.dispatch()
    for _ in range(life.settings.max_attempts + 1):
        claim = life.claimed(shard_id)
        with life.database.writing() as session:
            leases.excuse(session, claim)
        life.let_lease_run_out(shard_id)
        life.sweep()
    (shard,) = life.shards(job_id)
    assert (shard.state, shard.attempt) == (ShardState.PUBLISHED, 0)


def test_a_late_outage_forgives_nothing_of_another_workers_lease(life: Life) -> None:
    job_id = life.submitted(2)
    (shard_id,) = life.dispatch()
    stale = life.claimed(shard_id)
    life.let_lease_run_out(shard_id)
    life.claimed(shard_id, "worker-2")
    with life.database.writing() as session:
        leases.excuse(session, stale)
    assert life.shards(job_id)[0].attempt == 2
