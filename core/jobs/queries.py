"""What pages, exports and reports read of jobs. Nothing here writes."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from sqlalchemy import ColumnElement, Select, case, func, select, tuple_
from sqlalchemy.orm import Session, aliased

from core.db import clock
from core.models import Image, Job, Prediction, Shard, Worker
from core.states import ImageState, JobState

EXPORT_CHUNK = 1000
# A worker whose heartbeat is older than this is taken for dead.
WORKER_SECONDS = 20


@dataclass(frozen=True, slots=True)
class Counts:
    """Where a job's files are. ``received`` = the sum of all the others, at any time."""

    received: int
    classified: int
    duplicates: int
    refused: int
    failed: int

    @property
    def waiting(self) -> int:
        """Files that still wait for a verdict, or never got one because the job was cancelled."""
        return self.received - self.classified - self.duplicates - self.refused - self.failed

    @property
    def share_done(self) -> float:
        """Part of the files that are settled, 0 to 1."""
        return 1 - self.waiting / self.received if self.received else 0.0


def counts(session: Session, jobs: Sequence[Job]) -> dict[int, Counts]:
    """Return the counts of each job, summed over shard rows: no image row is read.

    A job that still receives is counted from its images.
    """
    ids = [job.id for job in jobs if job.state is not JobState.RECEIVING]
    sums = session.execute(
        select(Shard.job_id, func.sum(Shard.classified), func.sum(Shard.failed))
        .where(Shard.job_id.in_(ids))
        .group_by(Shard.job_id)
    )
    done = {job_id: (int(ok), int(bad)) for job_id, ok, bad in sums}
    answer = {}
    for job in jobs:
        if job.submitted_at is None:
            answer[job.id] = _counts_while_receiving(session, job)
        else:
            classified, failed = done.get(job.id, (0, 0))
            answer[job.id] = Counts(job.received, classified, job.duplicates, job.refused, failed)
    return answer


def _counts_while_receiving(session: Session, job: Job) -> Counts:
    by_state = image_states(session, job.id)
    return Counts(
        received=sum(by_state.values()),
        classified=0,
        duplicates=0,
        refused=by_state.get(ImageState.REFUSED, 0),
        failed=0,
    )


def image_states(session: Session, job_id: int) -> dict[ImageState, int]:
    """Return how many images of a job are in each state."""
    rows = session.execute(
        select(Image.state, func.count()).where(Image.job_id == job_id).group_by(Image.state)
    )
    return {state: count for state, count in rows}


def images_per_second(job: Job, done: Counts, now: dt.datetime) -> float | None:
    """Return the speed of the job's present or last run; None before there is any.

    What an earlier run had settled, which a retry of the failed ones builds on, is no part of it.
    """
    settled = done.classified + done.failed - job.settled_before
    if not job.started_at or settled <= 0:
        return None
    seconds = ((job.finished_at or now) - job.started_at).total_seconds()
    return settled / seconds if seconds > 0 else None


def seconds_left(job: Job, done: Counts, now: dt.datetime) -> float | None:
    """Estimate the time left from the speed so far; None before there is any."""
    speed = images_per_second(job, done, now)
    if job.state is not JobState.RUNNING or speed is None:
        return None
    return done.waiting / speed


def page_of_jobs(
    session: Session, query: Select[Job], size: int, before: tuple[dt.datetime, int] | None
) -> tuple[list[Job], bool]:
    """Return the newest ``size`` jobs of ``query`` older than ``before`` (time, id).

    With them comes whether there are more.
    """
    if before:
        query = query.where(tuple_(Job.created_at, Job.id) < before)
    newest = query.order_by(Job.created_at.desc(), Job.id.desc())
    found = session.scalars(newest.limit(size + 1)).all()
    return list(found[:size]), len(found) > size


@dataclass(frozen=True, slots=True)
class Row:
    """One line of an export: a file, what became of it, and what the model said if classified.

    ``name`` is as given, ``model`` a digest, ``probabilities`` in the order of its
    classes. A duplicate carries the verdict of the file it repeats, whose name is ``first``.
    """

    image_id: int
    name: str
    state: ImageState
    label: str | None
    confidence: float | None
    outcome: str | None
    candidates: Sequence[str] | None
    reason: str | None
    familiarity: float | None
    box: Sequence[float] | None
    model: str | None
    probabilities: Sequence[float] | None
    message: str | None
    first: str | None


def export_rows(session: Session, job_id: int) -> Iterator[Row]:
    """Yield a job's files in the order in which they were announced, a thousand at a time."""
    original = aliased(Image)
    query = (
        select(
            Image.position,
            Image.id,
            Image.name,
            Image.state,
            original.label,
            original.confidence,
            original.outcome,
            Prediction.candidates,
            Prediction.reason,
            Prediction.familiarity,
            Prediction.box,
            original.model_digest,
            Prediction.probabilities,
            Image.message,
            case((Image.duplicate_of_id.is_not(None), original.name)),
        )
        .join(original, original.id == func.coalesce(Image.duplicate_of_id, Image.id))
        .outerjoin(
            Prediction,
            (Prediction.image_id == original.id)
            & (Prediction.model_digest == original.model_digest),
        )
        .where(Image.job_id == job_id)
        .order_by(Image.position)
        .limit(EXPORT_CHUNK)
    )
    after = -1
    while rows := session.execute(query.where(Image.position > after)).all():
        yield from (Row(*values) for _, *values in rows)
        after = rows[-1][0]


def alive() -> ColumnElement[bool]:
    """Whether a worker's row is that of a process that gave a sign of life lately."""
    return Worker.seen_at > clock() - WORKER_SECONDS


def live_workers(session: Session) -> int:
    """Return how many worker processes have given a sign of life lately."""
    return session.scalar(select(func.count()).where(alive())) or 0
