"""From SQL to the doorbell: which shards are rung for next, and the sweep that rings again.

Only a few shards per worker process are out at a time, drawn in turn from all jobs of a lane: so
cancelling acts at once, and a job of fifty images is not held up by one of ten thousand.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from enum import StrEnum

from sqlalchemy import ColumnElement, ScalarSelect, and_, bindparam, func, or_, select, update
from sqlalchemy.orm import Session

from core.db import Database, after_commit, clock
from core.jobs import intentions
from core.jobs.lock import LIVE
from core.jobs.queries import alive, live_workers
from core.jobs.recovery import take_back_lost
from core.jobs.shards import settle
from core.leases import free
from core.made import making
from core.queue import CLASSIFY, Message
from core.settings import Settings
from core.states import LIVE_SHARDS, Lane, MakingState, ShardState
from core.tables import Derivative, Explanation, Job, Made, Report, Shard

# A message that no worker took for so long is taken for lost. Doubling it is harmless.
_RING_AGAIN_SECONDS = 10
# Where no worker is alive nobody takes messages: rung as often, they would fill the broker's memory
# over a weekend. A worker that starts is noticed by its heartbeat, and rung for at once.
_RING_THE_EMPTY_HOUSE_SECONDS = 300
_LANES = (Lane.INTERACTIVE, Lane.BATCH)
# The number of PostgreSQL's lock for drawing; SQLite has one writer anyway.
_DRAWING = 7_460_001
_OUT = (ShardState.PUBLISHED, ShardState.LEASED)
# How many workers live, and how many shards of each lane are out.
_COUNTS = select(
    select(func.count()).where(alive()).scalar_subquery(),
    *(
        select(func.count()).where(Shard.lane == lane, Shard.state.in_(_OUT)).scalar_subquery()
        for lane in _LANES
    ),
)
# Statements that run for every shard or oftener are put together once.
_IMAGES_OUT = (
    select(func.coalesce(func.sum(Shard.size), 0))
    .where(Shard.job_id == Job.id, Shard.state.in_(_OUT))
    .correlate(Job)
    .scalar_subquery()
)
_JOBS_IN_TURN = (
    select(Job.id)
    .where(
        Job.state.in_(LIVE),
        Job.lane == bindparam("lane"),
        select(Shard.id).where(Shard.job_id == Job.id, Shard.state == ShardState.WAITING).exists(),
    )
    .order_by(_IMAGES_OUT, Job.id)
    .limit(bindparam("most"))
)
_AT_WORK = (
    select(Shard.job_id, func.sum(Shard.size).label("images"))
    .where(Shard.lane == Lane.BATCH, Shard.state == ShardState.LEASED)
    .group_by(Shard.job_id)
    .subquery()
)
_IN_TURN = (
    select(Shard.id)
    .outerjoin(_AT_WORK, _AT_WORK.c.job_id == Shard.job_id)
    .where(
        or_(
            and_(Shard.lane == Lane.BATCH, Shard.state == ShardState.PUBLISHED),
            and_(Shard.id == bindparam("asked"), free(Shard)),
        ),
        Shard.id.not_in(bindparam("passed", expanding=True)),
    )
    # Of one job's shards its own, or any: many workers that ask at once don't get the same.
    .order_by(func.coalesce(_AT_WORK.c.images, 0), Shard.id != bindparam("asked"), func.random())
    .limit(1)
)
_INTERACTIVE = (
    select(Shard.id)
    .where(
        Shard.lane == Lane.INTERACTIVE,
        Shard.state.in_((ShardState.WAITING, ShardState.PUBLISHED)),
    )
    .order_by(Shard.id)
    .limit(bindparam("most"))
)


def _first(kind: type[Shard] | type[Made], *where: ColumnElement[bool]) -> ScalarSelect[int]:
    return select(kind.id).where(*where).order_by(kind.id).limit(1).scalar_subquery()


_UNCLAIMED = (ShardState.WAITING, ShardState.PUBLISHED)
_ANYTHING = select(
    _first(Shard, Shard.lane == Lane.INTERACTIVE, Shard.state.in_(_UNCLAIMED)),
    _first(Explanation, Explanation.state == MakingState.WAITING),
    _first(Derivative, Derivative.state == MakingState.WAITING),
    _first(Report, Report.state == MakingState.WAITING),
    _first(Shard, Shard.lane == Lane.BATCH, Shard.state == ShardState.PUBLISHED),
    _first(Shard, Shard.lane == Lane.BATCH, Shard.state == ShardState.WAITING),
)


@dataclass(frozen=True, slots=True)
class Swept:
    """What one sweep found and did."""

    lost: int
    rung: int
    ended: int


def dispatch(database: Database, settings: Settings) -> int:
    """Publish as many waiting shards as there is room for; return how many.

    It follows each commit that noted `Draw.SHARDS`. What can't be rung stays published and is rung
    for again by the sweep.
    """
    with database.writing() as session:
        return _draw(session, settings)


def go_on(database: Database, settings: Settings, job_id: int) -> bool:
    """After a shard is recorded: end its job if it was the last one, and `dispatch`.

    True if this call ended the job.
    """
    with database.writing() as session:
        ended = settle(session, job_id)
        _draw(session, settings)
    return ended


def _draw(session: Session, settings: Settings) -> int:
    """Mark the next shards of every lane as published, and ring for them after the commit.

    One draws at a time, or all see the same room.
    """
    if session.get_bind().dialect.name == "postgresql":
        session.execute(select(func.pg_advisory_xact_lock(_DRAWING)))
    workers, *out = session.execute(_COUNTS).one()
    capacity = max(1, workers or 0) * settings.shards_per_worker
    drawn = [
        Message(CLASSIFY, id_, lane)
        for lane, count in zip(_LANES, out, strict=True)
        for id_ in _draw_lane(session, lane, capacity - count)
    ]
    for message in drawn:
        after_commit(session, message)
    return len(drawn)


def _draw_lane(session: Session, lane: Lane, most: int) -> list[int]:
    """One shard of each job in turn, first of those with the fewest images out."""
    drawn: list[int] = []
    while len(drawn) < most:
        jobs = session.scalars(_JOBS_IN_TURN, {"lane": lane, "most": most}).all()
        batch = [_next_of(session, lane, job) for job in jobs]
        ids = [id_ for id_ in batch if id_ is not None][: most - len(drawn)]
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


def _next_of(session: Session, lane: Lane, job_id: int) -> int | None:
    """Lock and return a job's next waiting shard; one that another dispatcher holds is passed."""
    return session.scalar(
        select(Shard.id)
        .where(Shard.lane == lane, Shard.state == ShardState.WAITING, Shard.job_id == job_id)
        .order_by(Shard.id)
        .limit(1)
        .with_for_update(skip_locked=True)
    )


def in_turn(session: Session, shard_id: int, passed: Collection[int] = ()) -> int:
    """Return the shard to work on when a message announces this one.

    For a big job's it is the one whose job has the fewest images under way, of all that were rung
    for: a small late job is not held up by what is already in the queue. Those in
    ``passed`` were taken by others meanwhile.
    """
    lane = session.scalar(select(Shard.lane).where(Shard.id == shard_id))
    if lane is not Lane.BATCH:
        return shard_id
    next_id = session.scalar(_IN_TURN, {"asked": shard_id, "passed": list(passed)})
    return shard_id if next_id is None else next_id


def waiting_interactive(session: Session, most: int) -> list[int]:
    """Return the shards that somebody sits and waits for, the oldest first."""
    return list(session.scalars(_INTERACTIVE, {"most": most}))


Waiting = tuple[type[Shard] | type[Made], int]


def next_waiting(session: Session) -> Waiting | None:
    """Return what an idle worker should do next, whether or not a message announced it.

    The order is that of the lanes. One cheap statement looks, since all idle workers ask all the
    time; only where a big job waits others find out whose turn it is.
    """
    interactive, *wished, published, waits = session.execute(_ANYTHING).one()
    if interactive is not None:
        return Shard, interactive
    for kind, id_ in zip((Explanation, Derivative, Report), wished, strict=True):
        if id_ is not None:
            return kind, id_
    if published is not None:
        return Shard, in_turn(session, published)
    jobs = session.scalars(_JOBS_IN_TURN, {"lane": Lane.BATCH, "most": 1}).all() if waits else ()
    shards = (_next_of(session, Lane.BATCH, job) for job in jobs)
    return next(((Shard, id_) for id_ in shards if id_ is not None), None)


def sweep(database: Database, settings: Settings) -> Swept:
    """Mend what a crash left: lost leases, lost messages, jobs that nobody ended."""
    with database.writing() as session:
        lost = take_back_lost(session, settings.max_attempts)
        for kind in making.BELLS:
            lost += making.take_back(session, kind, settings.max_attempts)
        intentions.forget_old(session)
    ended = _end_jobs(database)
    again = _ring_again(database)
    return Swept(lost=lost, rung=again + dispatch(database, settings), ended=ended)


def _end_jobs(database: Database) -> int:
    """End the jobs whose last worker died between its two transactions."""
    left = select(Shard.id).where(Shard.job_id == Job.id, Shard.state.in_(LIVE_SHARDS))
    with database.reading() as session:
        ids = session.scalars(select(Job.id).where(Job.state.in_(LIVE), ~left.exists())).all()
    ended = 0
    for job_id in ids:
        # Each in a transaction of its own: two sweeps that hold several jobs could wait in a ring.
        with database.writing() as session:
            ended += settle(session, job_id)
    return ended


def _ring_again(database: Database) -> int:
    with database.writing() as session:
        pause = _RING_AGAIN_SECONDS if live_workers(session) else _RING_THE_EMPTY_HOUSE_SECONDS
        shards = _overdue(session, Shard, ShardState.PUBLISHED, pause)
        wanted = [
            (kind, id_)
            for kind in making.BELLS
            for id_ in _overdue(session, kind, MakingState.WAITING, pause)
        ]
        lanes = session.execute(select(Shard.id, Shard.lane).where(Shard.id.in_(shards))).all()
        for id_, lane in lanes:
            after_commit(session, Message(CLASSIFY, id_, lane))
        for kind, id_ in wanted:
            making.ring(session, kind, id_)
    return len(lanes) + len(wanted)


def _overdue(
    session: Session, kind: type[Shard] | type[Made], state: StrEnum, pause: float
) -> Sequence[int]:
    """Return what was rung for in vain, its clock set anew; what others hold is passed over."""
    stale = or_(kind.published_at.is_(None), kind.published_at < clock() - pause)
    ids = session.scalars(
        select(kind.id).where(kind.state == state, stale).with_for_update(skip_locked=True)
    ).all()
    session.execute(
        update(kind).where(kind.id.in_(ids)).values(published_at=clock()),
        execution_options={"synchronize_session": False},
    )
    return ids
