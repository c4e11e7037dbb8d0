"""Shards whose worker died: they wait again, or are halved until the guilty image is alone."""

from __future__ import annotations

from collections.abc import Sequence

from sqlalchemy import select, update
from sqlalchemy.orm import Session

from core import leases
from core.jobs.shards import Failure, Work, work_of, write_failures
from core.jobs.tallies import count_again, tally
from core.states import ShardState
from core.tables import Image, Job, Shard
from lexicon import refusals

KILLER = "stopped_worker"
# A shard that lost so many workers is halved, so that the image that stops them is found.
_SPLIT_AFTER = 2


def release(session: Session, shard_id: int, worker: str, max_attempts: int) -> bool:
    """End the lease of a worker known to be dead; False if the shard is no longer its own.

    It counts as an attempt, as if the lease had run out.
    """
    held = (Shard.id == shard_id, leases.held(Shard), Shard.worker == worker)
    _lock_job_of(session, shard_id)
    shard = session.scalars(select(Shard).where(*held).with_for_update(skip_locked=True)).first()
    if shard is None:
        return False
    _take_back(session, shard, max_attempts)
    return True


def held_by(session: Session, worker: str) -> Sequence[int]:
    """Return the shards a worker has leased: two, if it interrupted one for a small job."""
    held = select(Shard.id).where(leases.held(Shard), Shard.worker == worker)
    return session.scalars(held.order_by(Shard.id)).all()


def _lock_job_of(session: Session, shard_id: int) -> None:
    """Hold the job against a cancel that would not see the halves that are being made."""
    job_id = select(Shard.job_id).where(Shard.id == shard_id).scalar_subquery()
    session.execute(select(Job.id).where(Job.id == job_id).with_for_update(key_share=True))


def take_back_lost(session: Session, max_attempts: int) -> int:
    """End the leases that ran out; return how many. What others hold is left to the next sweep."""
    lost = leases.lost(Shard)
    jobs = session.scalars(
        select(Job.id)
        .where(Job.id.in_(select(Shard.job_id).where(lost)))
        .with_for_update(key_share=True, skip_locked=True)
    ).all()
    shards = session.scalars(
        select(Shard).where(Shard.job_id.in_(jobs), lost).with_for_update(skip_locked=True)
    ).all()
    for shard in shards:
        _take_back(session, shard, max_attempts)
    return len(shards)


def _take_back(session: Session, shard: Shard, max_attempts: int) -> None:
    leases.end(shard)
    if shard.attempt >= (_SPLIT_AFTER if shard.size > 1 else max_attempts):
        _break_up(session, shard)
    else:
        shard.state = ShardState.WAITING


def _break_up(session: Session, shard: Shard) -> None:
    """Halve a shard; a single image is marked as failed."""
    work = work_of(session, shard.id)
    if len(work) <= 1:
        _fail_alone(session, shard, work)
        return
    shard.state, shard.size = ShardState.SPLIT, 0
    # What stands of its images is counted by the halves.
    for name, nothing in tally(()).items():
        setattr(shard, name, nothing)
    pieces = []
    middle = len(work) // 2
    for half in (work[:middle], work[middle:]):
        piece = Shard(job_id=shard.job_id, lane=shard.lane, size=len(half))
        session.add(piece)
        session.flush()
        session.execute(
            update(Image)
            .where(Image.id.in_([image.image_id for image in half]))
            .values(shard_id=piece.id)
        )
        pieces.append(piece.id)
    count_again(session, pieces)


def _fail_alone(session: Session, shard: Shard, work: Sequence[Work]) -> None:
    shard.state = ShardState.DONE
    write_failures(
        session, {image.image_id: Failure(KILLER, refusals.sentence(KILLER)) for image in work}
    )
    session.flush()
    count_again(session, [shard.id])
