"""The doorbell rings by itself for what a commit made wait, and not for what was rolled back."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Any

import pytest
from sqlalchemy import update

from core import jobs
from core.doorbell import Doorbell
from core.errors import Conflict
from core.made import derivatives, explanations, making, reports
from core.queue import CLASSIFY, DERIVE, EXPLAIN, REPORT, Draw, Message
from core.states import Lane, MakingState, ShardState
from core.tables import Derivative, Explanation, Image, Job, Made, Report, Shard
from tests.core.conftest import Life

AWAY = "The queue does not answer. Workers find in the database what waits."
BACK = "The queue answers again."


@pytest.fixture
def bell(life: Life) -> Life:
    """Return the laboratory with the doorbell itself in place of its stand-in."""
    Doorbell(life.database, life.queue, life.settings)
    return life


@pytest.fixture
def judged(bell: Life) -> int:
    """Return a job of one image that has ended; what was rung for so far is forgotten."""
    job_id = bell.open()
    bell.fill(job_id, 1)
    bell.submit(job_id)
    claim = bell.claimed(bell.heard()[0])
    bell.record(claim)
    bell.settle(job_id)
    bell.queue.rung.clear()
    return job_id


def rung(life: Life) -> list[tuple[str, int, Lane]]:
    """Return what was rung for since the last time that somebody asked."""
    heard = list(life.queue.rung)
    life.queue.rung.clear()
    return heard


def published(life: Life, job_id: int) -> list[int]:
    """Return the shards of a job that are rung for and not taken."""
    out = ShardState.PUBLISHED
    return [shard.id for shard in life.shards(job_id) if shard.state is out]


def test_filling_a_job_rings_for_nothing_and_submitting_it_for_what_there_is_room_for(
    bell: Life,
) -> None:
    job_id = bell.open()
    bell.fill(job_id, 20)
    assert rung(bell) == []
    bell.submit(job_id)
    first = [shard.id for shard in bell.shards(job_id)][: bell.settings.shards_per_worker]
    assert rung(bell) == [(CLASSIFY, id_, Lane.BATCH) for id_ in first]
    assert published(bell, job_id) == first


def test_a_small_job_is_rung_for_on_its_own_lane_beside_a_large_one(bell: Life) -> None:
    bell.submitted(20)
    rung(bell)
    small = bell.submitted(2)
    [shard] = bell.shards(small)
    assert rung(bell) == [(CLASSIFY, shard.id, Lane.INTERACTIVE)]


def test_a_submission_that_fails_rings_for_nothing(bell: Life) -> None:
    job_id = bell.open()
    bell.fill(job_id, 2)
    with pytest.raises(Conflict), bell.database.writing() as session:
        job = session.get_one(Job, job_id)
        jobs.submit(session, job, bell.settings, without_missing=False)
        raise Conflict("The database was asked to forget it.")
    assert rung(bell) == []
    assert bell.shards(job_id) == []


def test_a_cancelled_job_makes_room_that_is_rung_for_at_once(bell: Life) -> None:
    first = bell.submitted(12)
    rung(bell)
    second = bell.submitted(12)
    assert rung(bell) == [], "no room is left"
    bell.cancel(first)
    assert [id_ for _, id_, _ in rung(bell)] == [shard.id for shard in bell.shards(second)]
    bell.cancel(second)
    assert rung(bell) == [], "nothing waits"


def test_what_failed_is_rung_for_when_it_is_retried_and_all_when_it_is_run_again(
    bell: Life,
) -> None:
    job_id = bell.submitted(3)
    claim = bell.claimed(bell.heard()[0])
    bell.record(claim, failing=[claim.work[1].image_id])
    bell.settle(job_id)
    rung(bell)
    assert bell.retry_failed(job_id) == 1
    [message] = rung(bell)
    again = bell.claimed(message[1])
    assert [work.image_id for work in again.work] == [claim.work[1].image_id]
    bell.record(again)
    bell.settle(job_id)
    assert rung(bell) == []
    assert bell.run_again(job_id) == 3
    [message] = rung(bell)
    assert len(bell.claimed(message[1]).work) == 3


def test_a_queue_that_is_away_is_logged_once_and_so_is_its_return(
    bell: Life, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "core.doorbell")
    assert bell.submitted(2) and not caplog.messages
    bell.queue.broken = True
    ids = [bell.submitted(2) for _ in range(2)]
    assert caplog.messages == [AWAY]
    assert [len(published(bell, job_id)) for job_id in ids] == [1, 1], "the sweep rings for them"
    bell.queue.broken = False
    bell.submitted(9)
    bell.submitted(9)
    assert caplog.messages == [AWAY, BACK]
    bell.queue.broken = True
    bell.cancel(ids[0])
    assert caplog.messages == [AWAY, BACK], "nothing was to be rung for, so nothing is known"
    bell.submitted(2)
    assert caplog.messages == [AWAY, BACK, AWAY]
    assert {record.levelname for record in caplog.records} == {"WARNING"}


def test_what_could_not_be_rung_for_is_rung_for_by_the_sweep(bell: Life) -> None:
    bell.queue.broken = True
    [shard] = bell.shards(bell.submitted(2))
    bell.queue.broken = False
    with bell.database.writing() as session:
        session.execute(update(Shard).values(published_at=1.0))
    assert jobs.sweep(bell.database, bell.settings).rung == 1
    assert rung(bell) == [(CLASSIFY, shard.id, Lane.INTERACTIVE)]


def test_messages_are_rung_for_before_shards_are_drawn_and_strange_effects_are_left_alone(
    bell: Life,
) -> None:
    job_id = bell.submitted(2)
    with bell.database.writing() as session:
        session.execute(update(Shard).values(state=ShardState.WAITING))
    rung(bell)
    message = Message(REPORT, 7, Lane.REPORTS)
    Doorbell(bell.database, bell.queue, bell.settings).ring([Draw.SHARDS, message, "other"])
    [shard] = bell.shards(job_id)
    assert rung(bell) == [message, (CLASSIFY, shard.id, Lane.INTERACTIVE)]


Order = Callable[[Life, int], Made]


def order_report(life: Life, job_id: int) -> Report:
    """Order a job's report."""
    with life.database.writing() as session:
        return reports.order(session, session.get_one(Job, job_id), "A4")


def order_explanation(life: Life, job_id: int) -> Explanation:
    """Ask why the job's image was judged as it was."""
    with life.database.writing() as session:
        image = session.get_one(Image, life.images(job_id)[0].id)
        return explanations.order(session, image)


def order_copies(life: Life, job_id: int) -> Derivative:
    """Ask for the missing copies of the job's image."""
    with life.database.writing() as session:
        return derivatives.order(session, life.images(job_id)[0])


ORDERS: list[tuple[Order, str, Lane]] = [
    (order_report, REPORT, Lane.REPORTS),
    (order_explanation, EXPLAIN, Lane.INTERACTIVE),
    (order_copies, DERIVE, Lane.INTERACTIVE),
]


def put(life: Life, wanted: Made, **values: Any) -> None:
    """Change what was ordered past all rules."""
    with life.database.writing() as session:
        kind = type(wanted)
        session.execute(update(kind).where(kind.id == wanted.id).values(**values))


@pytest.mark.parametrize(("order", "task", "lane"), ORDERS, ids=["report", "why", "copies"])
def test_an_order_is_rung_for_as_long_as_it_waits(
    bell: Life, judged: int, order: Order, task: str, lane: Lane
) -> None:
    wanted = order(bell, judged)
    assert rung(bell) == [(task, wanted.id, lane)]
    assert order(bell, judged).id == wanted.id
    assert rung(bell) == [(task, wanted.id, lane)], "whoever asks again may have lost a message"
    put(bell, wanted, state=MakingState.MAKING, lease_until=4e9)
    assert order(bell, judged).id == wanted.id
    assert rung(bell) == [], "somebody makes it"


@pytest.mark.parametrize("order", [order_report, order_explanation], ids=["report", "why"])
def test_what_is_made_is_not_rung_for(bell: Life, judged: int, order: Order) -> None:
    wanted = order(bell, judged)
    rung(bell)
    put(bell, wanted, state=MakingState.READY)
    assert order(bell, judged).id == wanted.id
    assert rung(bell) == []


def test_copies_that_are_gone_are_rung_for_although_they_were_made(bell: Life, judged: int) -> None:
    wanted = order_copies(bell, judged)
    rung(bell)
    put(bell, wanted, state=MakingState.READY)
    order_copies(bell, judged)
    assert rung(bell) == [(DERIVE, wanted.id, Lane.INTERACTIVE)]


def test_a_failed_order_rings_only_where_another_try_may_help(bell: Life, judged: int) -> None:
    for order, task, lane in ORDERS:
        wanted = order(bell, judged)
        put(bell, wanted, state=MakingState.FAILED)
        rung(bell)
        again = order(bell, judged)
        hopeless = order is order_copies
        assert rung(bell) == ([] if hopeless else [(task, again.id, lane)])
        # A report that failed gives way to a new one; why is asked once for each verdict.
        assert (again.id == wanted.id) is (order is not order_report)


def test_an_order_that_is_rolled_back_is_not_rung_for(bell: Life, judged: int) -> None:
    with pytest.raises(Conflict), bell.database.writing() as session:
        reports.order(session, session.get_one(Job, judged), "A4")
        raise Conflict("No.")
    assert rung(bell) == []


def test_what_the_sweep_takes_back_from_the_dead_is_rung_for(bell: Life, judged: int) -> None:
    wanted = [order(bell, judged) for order, _, _ in ORDERS]
    for one in wanted:
        # It was rung for a moment ago, which is no reason to wait: its worker is dead since.
        put(bell, one, state=MakingState.MAKING, lease_until=1.0, published_at=4e9)
    rung(bell)
    assert jobs.sweep(bell.database, bell.settings).lost == 3
    messages = [(task, one.id, lane) for one, (_, task, lane) in zip(wanted, ORDERS, strict=True)]
    assert sorted(rung(bell)) == sorted(messages)


def test_every_kind_of_thing_that_is_made_has_a_bell_of_its_own() -> None:
    assert set(making.BELLS) == set(Made.__subclasses__())
    tasks = [task for task, _ in making.BELLS.values()]
    assert len(set(tasks)) == len(tasks)
