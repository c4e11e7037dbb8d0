"""From SQL to the doorbell: which shards are rung for next, and the sweep that rings again.

Only some shards a worker process are out at a time, drawn in turn from all jobs of a lane: so
cancelling acts at once, and a job of fifty images is not held up by one of ten thousand.
"""

from __future__ import annotations

from dataclasses import dataclass

from sqlalchemy import ColumnElement, func, or_, select, update
from sqlalchemy.orm import InstrumentedAttribute, Session

from core import reports
from core.db import Database, clock
from core.jobs.shards import break_up, settle
from core.models import Job, Report, Shard, Worker
from core.queue import CLASSIFY, REPORT, TaskQueue
from core.settings import Settings
from core.states import JobState, Lane, ReportState, ShardState

# A worker whose heartbeat is older than this is taken for dead when slots are counted.
WORKER_SECONDS = 20
# A message that no worker took for so long is taken for lost. Doubling it is harmless.
_RING_AGAIN_SECONDS = 10
_SPLIT_AFTER = 2
_LANES = (Lane.INTERACTIVE, Lane.BATCH)
_OUT = (ShardState.PUBLISHED, ShardState.LEASED)


@dataclass(frozen=True, slots=True)
class Swept:
    """What one sweep found and did."""

    lost: int
    rung: int
    ended: int


def dispatch(database: Database, queue: TaskQueue, settings: Settings) -> int:
    """Publish as many waiting shards as there is room for; return how many.

    Call it after a commit that made shards wait or done. What can't be rung stays published and
    is rung for again by the sweep.

    Raises:
        QueueUnavailable: the broker does not answer.
    """
    with database.writing() as session:
        drawn = [(id_, lane) for lane in _LANES for id_ in _draw(session, lane, settings)]
    for id_, lane in drawn:
        queue.ring(CLASSIFY, id_, lane)
    return len(drawn)


def _draw(session: Session, lane: Lane, settings: Settings) -> list[int]:
    """Mark the next shards of a lane as published: one of each job in turn, fewest out first."""
    room = _slots(session) * settings.shards_per_worker - _count_out(session, lane)
    drawn: list[int] = []
    while len(drawn) < room:
        batch = [_next_of(session, lane, job) for job in _jobs_in_turn(session, lane, room)]
        ids = [id_ for id_ in batch if id_ is not None][: room - len(drawn)]
        if not ids:
            break
        session.execute(
            update(Shard)
            .where(Shard.id.in_(ids), Shard.state == ShardState.WAITING)
            .values(state=ShardState.PUBLISHED, published_at=clock()),
            execution_options={"synchronize_session": False},
        )
        drawn += ids
    return drawn


def _slots(session: Session) -> int:
    live = select(func.count()).where(Worker.seen_at > clock() - WORKER_SECONDS)
    return max(1, session.scalar(live) or 0)


def _count_out(session: Session, lane: Lane) -> int:
    out = select(func.count()).where(Shard.lane == lane, Shard.state.in_(_OUT))
    return session.scalar(out) or 0


def _jobs_in_turn(session: Session, lane: Lane, most: int) -> list[int]:
    out = (
        select(func.count())
        .where(Shard.job_id == Job.id, Shard.state.in_(_OUT))
        .correlate(Job)
        .scalar_subquery()
    )
    waits = select(Shard.id).where(Shard.job_id == Job.id, Shard.state == ShardState.WAITING)
    live = Job.state.in_((JobState.QUEUED, JobState.RUNNING))
    rows = session.scalars(
        select(Job.id).where(live, Job.lane == lane, waits.exists()).order_by(out, Job.id)
    )
    return list(rows.fetchmany(most))


def _next_of(session: Session, lane: Lane, job_id: int) -> int | None:
    """Lock and return a job's next waiting shard; one that another dispatcher holds is passed."""
    return session.scalar(
        select(Shard.id)
        .where(Shard.lane == lane, Shard.state == ShardState.WAITING, Shard.job_id == job_id)
        .order_by(Shard.id)
        .limit(1)
        .with_for_update(skip_locked=True)
    )


def sweep(database: Database, queue: TaskQueue, settings: Settings) -> Swept:
    """Mend what a crash left: lost leases, lost messages, jobs that nobody ended.

    Raises:
        QueueUnavailable: the broker does not answer; what SQL could mend is mended all the same.
    """
    with database.writing() as session:
        lost = _take_back(session, settings)
    ended = _end_jobs(database)
    again = _ring_again(database, queue)
    return Swept(lost=lost, rung=again + dispatch(database, queue, settings), ended=ended)


def _take_back(session: Session, settings: Settings) -> int:
    gone = session.scalars(
        select(Shard)
        .where(Shard.state == ShardState.LEASED, Shard.lease_until < clock())
        .with_for_update(skip_locked=True)
    ).all()
    for shard in gone:
        limit = _SPLIT_AFTER if shard.size > 1 else settings.max_attempts
        if shard.attempt >= limit:
            break_up(session, shard)
        else:
            shard.state, shard.lease_until, shard.fence = ShardState.WAITING, None, shard.fence + 1
    return len(gone) + reports.take_back(session, settings.max_attempts)


def _end_jobs(database: Database) -> int:
    """End the jobs whose last worker died between its two transactions."""
    left = select(Shard.id).where(
        Shard.job_id == Job.id, Shard.state.in_((ShardState.WAITING, *_OUT))
    )
    with database.writing() as session:
        ids = session.scalars(
            select(Job.id).where(Job.state.in_((JobState.QUEUED, JobState.RUNNING)), ~left.exists())
        ).all()
        return sum(settle(session, job_id) for job_id in ids)


def _ring_again(database: Database, queue: TaskQueue) -> int:
    with database.writing() as session:
        shards = session.execute(
            update(Shard)
            .where(Shard.state == ShardState.PUBLISHED, _stale(Shard.published_at))
            .values(published_at=clock())
            .returning(Shard.id, Shard.lane)
            .execution_options(synchronize_session=False)
        ).all()
        papers = session.scalars(
            update(Report)
            .where(Report.state == ReportState.WAITING, _stale(Report.published_at))
            .values(published_at=clock())
            .returning(Report.id)
            .execution_options(synchronize_session=False)
        ).all()
    for id_, lane in shards:
        queue.ring(CLASSIFY, id_, lane)
    for id_ in papers:
        queue.ring(REPORT, id_, Lane.REPORTS)
    return len(shards) + len(papers)


def _stale(published_at: InstrumentedAttribute[float | None]) -> ColumnElement[bool]:
    return or_(published_at.is_(None), published_at < clock() - _RING_AGAIN_SECONDS)
