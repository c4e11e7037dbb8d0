"""What pages, exports and reports read of jobs. Nothing here writes."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from sqlalchemy import ColumnElement, Select, case, func, select, tuple_
from sqlalchemy.orm import Session, aliased, selectinload

from core.db import clock
from core.jobs.differential import Differential, differential
from core.models import Image, Job, Prediction, Shard, User, Worker
from core.states import ImageState, JobState

EXPORT_CHUNK = 1000
# A worker whose heartbeat is older than this is taken for dead.
WORKER_SECONDS = 20


@dataclass(frozen=True, slots=True)
class Counts:
    """Where a job's files are. At any time ``received`` is the sum of ``classified``,
    ``duplicates``, ``refused``, ``failed`` and ``waiting``.

    ``expected`` are those among the waiting ones that were announced and have not arrived.
    """

    received: int
    classified: int
    duplicates: int
    refused: int
    failed: int
    expected: int = 0

    @property
    def waiting(self) -> int:
        """Files that still wait for a verdict, or never got one because the job was cancelled."""
        return self.received - self.classified - self.duplicates - self.refused - self.failed

    @property
    def by_state(self) -> dict[ImageState, int]:
        """The same by the states of the images."""
        return {
            ImageState.EXPECTED: self.expected,
            ImageState.RECEIVED: self.waiting - self.expected,
            ImageState.CLASSIFIED: self.classified,
            ImageState.DUPLICATE: self.duplicates,
            ImageState.REFUSED: self.refused,
            ImageState.FAILED: self.failed,
        }

    @property
    def share_done(self) -> float:
        """Part of the files that are settled, 0 to 1."""
        return 1 - self.waiting / self.received if self.received else 0.0


def counts(session: Session, jobs: Sequence[Job]) -> dict[int, Counts]:
    """Return the counts of each job, summed over shard rows: no image row is read.

    A job that was not submitted has no shards and is counted from its images.
    """
    submitted = [job for job in jobs if job.submitted_at is not None]
    others = [job.id for job in jobs if job.submitted_at is None]
    return _counts_of_submitted(session, submitted) | _counts_before(session, others)


def _counts_of_submitted(session: Session, jobs: Sequence[Job]) -> dict[int, Counts]:
    if not jobs:
        return {}
    sums = session.execute(
        select(Shard.job_id, func.sum(Shard.classified), func.sum(Shard.failed))
        .where(Shard.job_id.in_([job.id for job in jobs]))
        .group_by(Shard.job_id)
    )
    done = {job_id: (int(classified), int(failed)) for job_id, classified, failed in sums}
    answer = {}
    for job in jobs:
        classified, failed = done.get(job.id, (0, 0))
        answer[job.id] = Counts(job.received, classified, job.duplicates, job.refused, failed)
    return answer


def _counts_before(session: Session, job_ids: Sequence[int]) -> dict[int, Counts]:
    """Count the files of jobs that were not submitted: none of them is judged or a duplicate."""
    states = _image_states(session, job_ids)
    return {
        job_id: Counts(
            received=sum(by_state.values()),
            classified=0,
            duplicates=0,
            refused=by_state.get(ImageState.REFUSED, 0),
            failed=0,
            expected=by_state.get(ImageState.EXPECTED, 0),
        )
        for job_id, by_state in states.items()
    }


def image_states(session: Session, job_id: int) -> dict[ImageState, int]:
    """Return how many images of a job are in each state."""
    return _image_states(session, [job_id])[job_id]


def _image_states(session: Session, ids: Sequence[int]) -> dict[int, dict[ImageState, int]]:
    states: dict[int, dict[ImageState, int]] = {job_id: {} for job_id in ids}
    if ids:
        rows = session.execute(
            select(Image.job_id, Image.state, func.count())
            .where(Image.job_id.in_(ids))
            .group_by(Image.job_id, Image.state)
        )
        for job_id, state, count in rows:
            states[job_id][state] = count
    return states


@dataclass(frozen=True, slots=True)
class Standing:
    """All that a job's page counts: where its files are, and what its cells are."""

    counts: Counts
    differential: Differential


def standing(session: Session, job: Job) -> Standing:
    """Return where a job stands; read once for a page, however many parts of it show it."""
    return Standing(counts(session, [job])[job.id], differential(session, job.id))


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

    With them comes whether there are more. Their owners and models come along, however many.
    """
    if before:
        query = query.where(tuple_(Job.created_at, Job.id) < before)
    newest = query.order_by(Job.created_at.desc(), Job.id.desc()).options(
        selectinload(Job.owner).lazyload(User.roles), selectinload(Job.model)
    )
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
