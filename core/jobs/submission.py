"""Submits a job: closes its intake and cuts it into shards. Also cancels and retries it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from sqlalchemy import ColumnElement, and_, bindparam, delete, func, or_, select, update
from sqlalchemy.orm import Session

from core import registry
from core.db import after_commit, utcnow
from core.errors import Conflict
from core.jobs import holdings
from core.jobs.lock import lock, require_pictures, require_receiving
from core.jobs.queries import image_states, live_workers
from core.jobs.tallies import count_again
from core.queue import Draw
from core.settings import Settings
from core.states import ENDED, LIVE_SHARDS, ImageState, JobState, Lane, ShardState
from core.tables import Image, Job, Shard
from lexicon import refusals

# A worker takes up to so many more pieces of a job as it ends, none smaller than this.
_TURNS, _SMALLEST_PIECE = 3, 16


def submit(
    session: Session, job: Job, settings: Settings, *, without_missing: bool, model: str = ""
) -> None:
    """Close the intake, pin the model and cut the shards.

    ``model`` is the start of a digest; empty is the one that the job was opened for, or else the
    active one.

    Raises:
        Conflict: it was submitted before, holds no file, or files are still missing and
            ``without_missing`` is not set; or the model can't be chosen.
        NotFound: there is no such model.
    """
    require_receiving(session, job, "This job was already submitted.")
    job.model_digest = registry.choose(session, model or job.model_digest or "")
    _refuse_missing(session, job, without_missing)
    _set_duplicates_aside(session, job)
    counts = image_states(session, job.id)
    job.received = sum(counts.values())
    if not job.received:
        raise Conflict("The job has no files yet. Add images, then submit it.")
    job.duplicates = counts.get(ImageState.DUPLICATE, 0)
    job.refused = counts.get(ImageState.REFUSED, 0)
    holdings.count(session, job)
    job.submitted_at = utcnow()
    _cut(session, job, settings, Image.state == ImageState.RECEIVED)


def _refuse_missing(session: Session, job: Job, without_missing: bool) -> None:
    missing = update(Image).where(Image.job_id == job.id, Image.state == ImageState.EXPECTED)
    if not without_missing:
        count = image_states(session, job.id).get(ImageState.EXPECTED, 0)
        if count:
            raise Conflict(
                f"{count:,} announced files have not arrived. Send them, or submit without them."
            )
    session.execute(
        missing.values(
            state=ImageState.REFUSED,
            reason="not_received",
            message=refusals.sentence("not_received"),
        )
    )


def _set_duplicates_aside(session: Session, job: Job) -> None:
    """Mark repeated files: among equal bytes in a job, the first counts and the rest point to it.

    Found in one pass here: as one statement it took PostgreSQL 40 s for ten thousand files, as long
    as it had no statistics of the table.
    """
    waiting = (Image.job_id == job.id, Image.state == ImageState.RECEIVED)
    query = select(Image.id, Image.sha256).where(*waiting).order_by(Image.position)
    first_ids: dict[str | None, int] = {}
    duplicates: list[dict[str, Any]] = []
    for id_, sha256 in session.execute(query):
        first_id = first_ids.setdefault(sha256, id_)
        if first_id != id_:
            duplicates.append(
                {"id": id_, "state": ImageState.DUPLICATE, "duplicate_of_id": first_id}
            )
    if duplicates:
        session.execute(update(Image), duplicates)


def _cut(
    session: Session, job: Job, settings: Settings, wanted: ColumnElement[bool]
) -> Sequence[int]:
    """Put the job's images that are ``wanted`` into new shards, whose ids are returned, and the
    job into the queue that fits its size."""
    inside = and_(Image.job_id == job.id, wanted)
    positions = session.scalars(select(Image.position).where(inside).order_by(Image.position)).all()
    job.lane = Lane.INTERACTIVE if len(positions) <= settings.interactive_limit else Lane.BATCH
    job.state = JobState.QUEUED if positions else JobState.FAILED
    job.started_at, job.finished_at = None, None if positions else utcnow()
    pieces = list(_pieces(positions, settings.shard_size, max(1, live_workers(session))))
    shards = [Shard(job_id=job.id, lane=job.lane, size=len(piece)) for piece in pieces]
    session.add_all(shards)
    session.flush()
    if not shards:
        return ()
    after_commit(session, Draw.SHARDS)
    within_piece = Image.position.between(bindparam("first"), bindparam("last"))
    statement = update(Image).where(inside, within_piece).values(shard_id=bindparam("shard"))
    # Between the ends of a piece nothing is wanted but the piece itself.
    rows = [
        {"shard": shard.id, "first": piece[0], "last": piece[-1]}
        for shard, piece in zip(shards, pieces, strict=True)
    ]
    session.connection().execute(statement, rows)
    return [shard.id for shard in shards]


def _pieces(positions: Sequence[int], most: int, workers: int) -> Iterator[Sequence[int]]:
    """Return the sizes of pieces, which shrink towards the end so that all workers end together.

    Each is a share of what is left (guided self-scheduling, C. Polychronopoulos and D. Kuck, IEEE
    Trans. Computers 36, 1987): a job of fifty images is spread out too, and one of ten thousand
    pays for few shards.
    """
    start, least = 0, min(_SMALLEST_PIECE, most)
    while start < len(positions):
        left = len(positions) - start
        size = min(max(-(-left // (_TURNS * workers)), least), most)
        if left <= most and left - size < least:
            size = left
        yield positions[start : start + size]
        start += size


def cancel(session: Session, job: Job) -> None:
    """Stop a job: waiting shards never start, and running ones record nothing more.

    Raises:
        Conflict: the job has already ended.
    """
    lock(session, job)
    if job.state in ENDED:
        raise Conflict("This job has already ended. There is nothing to cancel.")
    session.execute(
        update(Shard)
        .where(Shard.job_id == job.id, Shard.state.in_(LIVE_SHARDS))
        .values(state=ShardState.DROPPED, fence=Shard.fence + 1, lease_until=None)
    )
    job.state, job.finished_at = JobState.CANCELLED, utcnow()
    # Its shards leave room for those of others.
    after_commit(session, Draw.SHARDS)


_HAS_RESULT = or_(Image.state == ImageState.CLASSIFIED, Image.state == ImageState.FAILED)
# What has no verdict of the run that ended: those that failed, some of which have an earlier one.
_UNJUDGED = or_(
    Image.state == ImageState.FAILED,
    and_(Image.state == ImageState.CLASSIFIED, Image.message.is_not(None)),
)
# Not as a list: the same statement is run for many shards at once.
_JUDGEABLE = or_(Image.state == ImageState.RECEIVED, _HAS_RESULT)


def retry_failed(session: Session, job: Job, settings: Settings) -> int:
    """Queue the images that failed once more; return how many.

    Why each of them failed stays known until it is judged.

    Raises:
        Conflict: the job has not ended, or nothing in it failed.
    """
    lock(session, job)
    if job.state not in (JobState.FINISHED, JobState.FAILED):
        raise Conflict(
            "Only a finished job can be retried. To go on with a cancelled job, run it again."
        )
    require_pictures(job)
    failed = and_(Image.job_id == job.id, _UNJUDGED)
    left = session.scalars(select(Image.shard_id).where(failed).distinct()).all()
    if not left:
        raise Conflict("No image of this job failed. There is nothing to retry.")
    session.execute(update(Shard).where(Shard.job_id == job.id).values(done_at=None))
    new = _cut(session, job, settings, _UNJUDGED)
    old = [id_ for id_ in left if id_ is not None]
    count_again(session, [*old, *new])
    session.execute(update(Shard).where(Shard.id.in_(old)).values(size=Shard.classified))
    return _begin_counting(session, job, new)


def run_again(session: Session, job: Job, settings: Settings, model: str = "") -> int:
    """Queue every accepted image once more, under the model that is active now; return how many.

    ``model`` is the start of another's digest, if another is wanted.

    A verdict stands until there is a new one. What this model has said of an image before is taken
    over, not computed again. A cancelled job takes up where it stopped.

    Raises:
        Conflict: the job has not ended, or holds no accepted image; or the model can't be chosen.
        NotFound: there is no such model.
    """
    lock(session, job)
    if job.state not in ENDED or job.submitted_at is None:
        raise Conflict("This job can be run again once it was submitted and has ended.")
    require_pictures(job)
    job.model_digest = registry.choose(session, model)
    new = _cut(session, job, settings, _JUDGEABLE)
    if not new:
        raise Conflict("No file of this job was accepted. There is nothing to run.")
    session.execute(delete(Shard).where(Shard.job_id == job.id, Shard.id < min(new)))
    count_again(session, new)
    return _begin_counting(session, job, new)


def _begin_counting(session: Session, job: Job, shard_ids: Sequence[int]) -> int:
    """Note how many images are no part of the run of these shards; return how many are."""
    job_shards = select(func.sum(Shard.size)).where(Shard.job_id == job.id)
    count = session.scalar(job_shards.where(Shard.id >= min(shard_ids))) or 0
    job.settled_before = job.received - job.duplicates - job.refused - count
    return int(count)
