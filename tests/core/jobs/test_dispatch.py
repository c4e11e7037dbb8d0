"""What is rung for next, and the sweep that mends what a crash left."""

from __future__ import annotations

from collections.abc import Collection

import pytest
from sqlalchemy import update

from core import jobs
from core.db import clock
from core.queue import CLASSIFY
from core.states import JobState, Lane, ShardState
from core.tables import Shard, Worker
from tests.core.conftest import Life


def _start_workers(life: Life, count: int, age: float = 0.0) -> None:
    with life.database.writing() as session:
        session.add_all(
            Worker(
                name=f"worker-{i}-{age}",
                device="cpu",
                backend="onnxruntime",
                model_digest=life.digest,
                seen_at=clock() - age,
            )
            for i in range(count)
        )


def _age_messages(life: Life, seconds: float) -> None:
    with life.database.writing() as session:
        session.execute(update(Shard).values(published_at=clock() - seconds))


def test_only_some_shards_are_out_at_a_time(life: Life) -> None:
    life.submitted(40)
    assert len(life.dispatch()) == 3
    assert life.dispatch() == []


def test_each_live_worker_makes_room_and_a_silent_one_does_not(life: Life) -> None:
    life.submitted(100)
    _start_workers(life, 2)
    _start_workers(life, 3, age=100.0)
    assert len(life.dispatch()) == 6


def test_what_is_done_makes_room_for_the_next(life: Life) -> None:
    life.submitted(40)
    first = life.dispatch()
    life.record(life.claimed(first[0]))
    assert life.dispatch() == [first[-1] + 1]


def test_the_lanes_do_not_take_each_others_room(life: Life) -> None:
    life.submitted(40)
    life.dispatch()
    life.submitted(2)
    life.queue.rung.clear()
    life.dispatch()
    assert [lane for _, _, lane in life.queue.rung] == [Lane.INTERACTIVE]


def test_fifty_images_are_not_held_up_by_ten_thousand(life: Life) -> None:
    life.settings = life.settings.model_copy(update={"shard_size": 32, "interactive_limit": 1})
    big = life.submitted_at_once(10_000)
    rung = life.dispatch()
    small = life.submitted_at_once(50)
    done = 0
    while life.state(small) is not JobState.FINISHED:
        claim = life.claimed(rung.pop(0))
        life.record(claim)
        life.settle(claim.job_id)
        done += claim.job_id == big
        rung += life.dispatch()
    # Three were out when the small job came, and one had its turn beside it.
    assert done <= 4
    assert life.state(big) is JobState.RUNNING


def test_a_job_is_cut_into_pieces_that_shrink_towards_its_end(life: Life) -> None:
    life.settings = life.settings.model_copy(update={"shard_size": 128})
    sizes = [shard.size for shard in life.shards(life.submitted_at_once(2000))]
    assert sum(sizes) == 2000
    assert sizes[:-1] == sorted(sizes[:-1], reverse=True)
    assert sizes[0] == 128
    assert 16 <= sizes[-1] < 32


@pytest.mark.parametrize("count", [1, 3, 16, 17, 33, 128, 129, 143, 500])
@pytest.mark.parametrize("most", [1, 4, 16, 100])
def test_no_piece_is_larger_than_is_allowed_and_none_is_empty(
    life: Life, count: int, most: int
) -> None:
    life.settings = life.settings.model_copy(update={"shard_size": most})
    sizes = [shard.size for shard in life.shards(life.submitted_at_once(count))]
    assert sum(sizes) == count
    assert 1 <= min(sizes) <= max(sizes) <= most


def test_a_small_job_is_spread_over_the_workers_there_are(life: Life) -> None:
    life.settings = life.settings.model_copy(update={"shard_size": 128})
    _start_workers(life, 4)
    assert len(life.shards(life.submitted_at_once(100))) >= 4


def test_those_for_whom_somebody_waits_are_found_until_they_are_taken(life: Life) -> None:
    life.submitted(40)
    first, second = life.submitted(2), life.submitted(3)
    with life.database.reading() as session:
        waiting = jobs.waiting_interactive(session, 4)
    (a,), (b,) = life.shards(first), life.shards(second)
    assert waiting == [a.id, b.id]
    life.claimed(a.id)
    with life.database.reading() as session:
        assert jobs.waiting_interactive(session, 4) == [b.id]


def turn_of(life: Life, shard_id: int, passed: Collection[int] = ()) -> int:
    with life.database.reading() as session:
        return jobs.in_turn(session, shard_id, passed)


def test_a_message_of_a_big_job_lets_one_in_that_has_less_under_way(life: Life) -> None:
    big = life.submitted(40)
    first, *rung = life.dispatch()
    life.claimed(first)
    small = life.submitted(8)
    life.settings = life.settings.model_copy(update={"shards_per_worker": 9})
    rung += life.dispatch()
    ours = [shard.id for shard in life.shards(small)]
    theirs = [shard.id for shard in life.shards(big) if shard.id in rung]
    assert turn_of(life, theirs[0]) in ours
    assert turn_of(life, theirs[0], passed=ours) == theirs[0]
    assert turn_of(life, first) in ours, "its own shard is under way already"


def test_a_message_of_a_small_job_is_for_that_alone(life: Life) -> None:
    life.submitted(40)
    life.dispatch()
    (shard,) = life.shards(life.submitted(2))
    life.dispatch()
    assert turn_of(life, shard.id) == shard.id


def test_a_message_whose_lease_ran_out_is_for_its_shard_again(life: Life) -> None:
    life.submitted(8)
    (first, second) = life.dispatch()
    life.claimed(first)
    life.claimed(second)
    assert life.claim(turn_of(life, first)) is None
    life.let_lease_run_out(first)
    assert turn_of(life, first) == first
    assert life.claim(first)


def test_jobs_of_one_lane_are_drawn_from_in_turn(life: Life) -> None:
    first, second = life.submitted(20), life.submitted(20)
    third = life.submitted(20)
    rung = life.dispatch()
    owners = {
        shard.id: shard.job_id for job in (first, second, third) for shard in life.shards(job)
    }
    assert [owners[shard_id] for shard_id in rung] == [first, second, third]


def test_nothing_of_a_job_that_has_ended_is_rung_for(life: Life) -> None:
    job_id = life.submitted(40)
    life.cancel(job_id)
    assert life.dispatch() == []


def test_a_crash_between_commit_and_ring_is_swept(life: Life) -> None:
    life.submitted(2)
    swept = life.sweep()
    assert (swept.rung, len(life.heard())) == (1, 1)


def test_a_broken_queue_loses_nothing(life: Life) -> None:
    life.submitted(2)
    life.queue.broken = True
    assert life.dispatch() == []
    life.queue.broken = False
    assert life.sweep().rung == 0
    _age_messages(life, 301.0)
    assert life.sweep().rung == 1


def test_a_broken_queue_does_not_stop_the_mending(life: Life) -> None:
    job_id = life.submitted(2)
    [shard_id] = life.dispatch()
    life.claimed(shard_id)
    life.let_lease_run_out(shard_id)
    life.queue.broken = True
    life.sweep()
    assert life.shards(job_id)[0].fence == 2


def test_a_lost_message_is_rung_again_on_its_lane(life: Life) -> None:
    life.submitted(2)
    [shard_id] = life.dispatch()
    _start_workers(life, 1)
    assert life.sweep().rung == 0
    _age_messages(life, 11.0)
    assert life.sweep().rung == 1
    assert life.queue.rung == [(CLASSIFY, shard_id, Lane.INTERACTIVE)]
    assert life.sweep().rung == 0


def test_the_bell_rings_seldom_while_no_worker_is_alive(life: Life) -> None:
    life.submitted(2)
    life.dispatch()
    _age_messages(life, 11.0)
    assert life.sweep().rung == 0
    _start_workers(life, 1)
    assert life.sweep().rung == 1


def test_a_job_whose_last_worker_died_before_it_settled_is_ended(life: Life) -> None:
    job_id = life.submitted(2)
    life.record(life.claimed(life.dispatch()[0]))
    assert life.state(job_id) is JobState.RUNNING
    assert life.sweep().ended == 1
    assert life.state(job_id) is JobState.FINISHED
    assert life.sweep().ended == 0


def test_a_message_that_comes_twice_is_worked_on_once(life: Life) -> None:
    job_id = life.submitted(2)
    [shard_id] = life.dispatch()
    claim = life.claimed(shard_id)
    assert life.claim(shard_id) is None
    life.record(claim)
    assert life.claim(shard_id) is None
    assert life.shards(job_id)[0].state is ShardState.DONE
