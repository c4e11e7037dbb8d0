"""Submitting, cutting into shards, cancelling, retrying and running again."""

from __future__ import annotations

import pytest

from core.errors import Conflict
from core.jobs import Entry
from core.states import ImageState, JobState, Lane, ShardState
from tests.core.conftest import Life, sha


def _sizes(life: Life, job_id: int) -> list[int]:
    return [shard.size for shard in life.shards(job_id) if shard.size]


def test_an_empty_job_cannot_be_submitted(life: Life) -> None:
    job_id = life.open()
    with pytest.raises(Conflict, match="has no files yet"):
        life.submit(job_id)
    assert life.state(job_id) is JobState.RECEIVING


def test_missing_files_are_named_by_number_unless_done_without(life: Life) -> None:
    job_id = life.open()
    life.fill(job_id, 1)
    life.announce(job_id, Entry("late.png", 5, sha("late")), Entry("later.png", 5))
    with pytest.raises(Conflict, match="2 announced files"):
        life.submit(job_id)
    assert life.truth(job_id).refused == 0
    life.submit(job_id, without_missing=True)
    missing = life.images(job_id)[1:]
    assert [i.state for i in missing] == [ImageState.REFUSED] * 2
    assert {i.reason for i in missing} == {"not_received"}


def test_a_job_is_submitted_once(life: Life) -> None:
    job_id = life.submitted(5)
    with pytest.raises(Conflict, match="already submitted"):
        life.submit(job_id)
    assert _sizes(life, job_id) == [4, 1]


def test_of_equal_files_the_first_is_the_cell_and_the_rest_point_to_it(life: Life) -> None:
    job_id = life.open()
    names = ["a.png", "b.png", "c.png", "d.png"]
    answer = life.announce(job_id, *(Entry(name, 100) for name in names))
    for (image_id, _), content in zip(answer, ["x", "y", "x", "x"], strict=True):
        life.receive(image_id, content)
    life.submit(job_id)
    images = life.images(job_id)
    received, duplicate = ImageState.RECEIVED, ImageState.DUPLICATE
    assert [i.state for i in images] == [received, received, duplicate, duplicate]
    assert [i.duplicate_of_id for i in images] == [None, None, images[0].id, images[0].id]
    assert life.job(job_id).duplicates == 2
    assert _sizes(life, job_id) == [2]


def test_equal_files_of_different_jobs_are_no_duplicates(life: Life) -> None:
    first = life.open()
    life.fill(first, 1)
    second = life.open()
    life.announce(second, Entry("again.png", 100, sha(f"{first}/0")))
    life.submit(first)
    life.submit(second)
    assert life.job(second).duplicates == 0


@pytest.mark.parametrize(
    ("count", "sizes", "lane"),
    [
        (1, [1], Lane.INTERACTIVE),
        (6, [4, 2], Lane.INTERACTIVE),
        (7, [4, 3], Lane.BATCH),
        (8, [4, 4], Lane.BATCH),
    ],
)
def test_a_job_is_cut_into_shards_and_its_size_decides_its_lane(
    life: Life, count: int, sizes: list[int], lane: Lane
) -> None:
    job_id = life.submitted(count)
    assert _sizes(life, job_id) == sizes
    assert life.job(job_id).lane is lane
    assert {shard.lane for shard in life.shards(job_id)} == {lane}
    assert life.state(job_id) is JobState.QUEUED


def test_a_job_whose_files_were_all_refused_has_failed_at_once(life: Life) -> None:
    job_id = life.open()
    [(image_id, _)] = life.announce(job_id, Entry("notes.txt", 9, sha("notes")))
    life.refuse(image_id)
    life.submit(job_id)
    job = life.job(job_id)
    assert job.state is JobState.FAILED
    assert job.finished_at is not None
    assert life.counts(job_id).waiting == 0


def test_cancelling_drops_what_waits_and_what_is_out(life: Life) -> None:
    job_id = life.submitted(20)
    rung = life.dispatch()
    life.claimed(rung[0])
    life.cancel(job_id)
    assert {shard.state for shard in life.shards(job_id)} == {ShardState.DROPPED}
    assert life.state(job_id) is JobState.CANCELLED
    assert [life.claim(shard_id) for shard_id in rung] == [None] * 3
    assert life.dispatch() == []


def test_cancelling_keeps_what_is_done(life: Life) -> None:
    job_id = life.submitted(20)
    life.record(life.claimed(life.dispatch()[0]))
    life.cancel(job_id)
    assert life.counts(job_id) == life.truth(job_id)
    assert (life.counts(job_id).classified, life.counts(job_id).waiting) == (4, 16)


def test_a_job_that_still_receives_can_be_cancelled(life: Life) -> None:
    job_id = life.open()
    life.fill(job_id, 2)
    life.cancel(job_id)
    assert life.counts(job_id) == life.truth(job_id)
    with pytest.raises(Conflict, match="submitted and has ended"):
        life.run_again(job_id)


def test_what_has_ended_cannot_be_cancelled(life: Life) -> None:
    job_id = life.submitted(2)
    life.work_off()
    with pytest.raises(Conflict, match="nothing to cancel"):
        life.cancel(job_id)
    assert life.state(job_id) is JobState.FINISHED


def test_a_retry_queues_what_failed_and_nothing_else(life: Life) -> None:
    job_id = life.submitted(10)
    ids = [image.id for image in life.images(job_id)]
    life.work_off(failing=ids[1:4])
    before = life.predictions()
    assert life.retry_failed(job_id) == 3
    assert life.counts(job_id) == life.truth(job_id)
    assert (life.counts(job_id).failed, life.progress(job_id).left) == (3, 3)
    assert sum(_sizes(life, job_id)) == 10
    job = life.job(job_id)
    assert (job.state, job.finished_at, job.lane) == (JobState.QUEUED, None, Lane.INTERACTIVE)
    life.work_off()
    assert life.counts(job_id).classified == 10
    assert life.predictions() == before + 3
    assert all(image.reason is image.message is None for image in life.images(job_id))


def test_a_retry_that_fails_again_ends_the_job_all_the_same(life: Life) -> None:
    job_id = life.submitted(2)
    ids = [image.id for image in life.images(job_id)]
    life.work_off(failing=ids)
    assert life.state(job_id) is JobState.FAILED
    life.retry_failed(job_id)
    life.work_off(failing=ids[:1])
    assert life.state(job_id) is JobState.FINISHED
    assert (life.counts(job_id).classified, life.counts(job_id).failed) == (1, 1)


def test_only_failures_of_a_finished_job_can_be_retried(life: Life) -> None:
    job_id = life.submitted(2)
    with pytest.raises(Conflict, match="a finished job"):
        life.retry_failed(job_id)
    life.work_off()
    with pytest.raises(Conflict, match="nothing to retry"):
        life.retry_failed(job_id)
    assert life.state(job_id) is JobState.FINISHED


def test_a_job_is_run_again_whole(life: Life) -> None:
    job_id = life.submitted(10)
    life.work_off(failing=[life.images(job_id)[0].id])
    assert life.run_again(job_id) == 10
    assert life.counts(job_id) == life.truth(job_id)
    assert (life.counts(job_id).classified, life.counts(job_id).failed) == (9, 1)
    assert life.progress(job_id).left == 10
    assert _sizes(life, job_id) == [4, 4, 2]
    life.work_off()
    assert life.counts(job_id).classified == life.predictions() == 10


def test_a_cancelled_job_is_taken_up_again(life: Life) -> None:
    job_id = life.submitted(10)
    life.record(life.claimed(life.dispatch()[0]))
    life.cancel(job_id)
    assert life.run_again(job_id) == 10
    life.work_off()
    assert life.counts(job_id) == life.truth(job_id)
    assert life.counts(job_id).classified == life.predictions() == 10
    assert life.state(job_id) is JobState.FINISHED


def test_duplicates_stay_set_aside_when_a_job_is_run_again(life: Life) -> None:
    job_id = life.open()
    life.announce(job_id, Entry("a.png", 100), Entry("b.png", 100))
    for image in life.images(job_id):
        life.receive(image.id, "same")
    life.submit(job_id)
    life.work_off()
    assert life.run_again(job_id) == 1
    life.work_off()
    assert (life.counts(job_id).classified, life.counts(job_id).duplicates) == (1, 1)


def test_a_job_without_an_accepted_file_cannot_be_run_again(life: Life) -> None:
    job_id = life.open()
    [(image_id, _)] = life.announce(job_id, Entry("notes.txt", 9))
    life.refuse(image_id)
    life.submit(job_id)
    with pytest.raises(Conflict, match="nothing to run"):
        life.run_again(job_id)
    assert life.state(job_id) is JobState.FAILED
