"""The queries of pages, exports and reports about jobs. Nothing here writes."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from sqlalchemy import ColumnElement, Select, and_, bindparam, case, func, select, tuple_
from sqlalchemy.orm import Session, aliased, selectinload

from core.db import clock
from core.jobs.differential import Differential, Judge, differential, judges
from core.states import LIVE_SHARDS, ImageState, JobState, ShardState
from core.tables import VERDICT_FIELDS, Image, Job, Model, Prediction, Shard, User, Worker
from lexicon.verdicts import Verdict

EXPORT_CHUNK = 1000
# A worker whose heartbeat is older than this is taken for dead.
WORKER_SECONDS = 20
# What is said of a job's speed and time left goes by what was recorded within so long.
LATELY_SECONDS = 60


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
        """Files that no run has judged yet, or never did because the job was cancelled."""
        return self.received - self.classified - self.duplicates - self.refused - self.failed

    @property
    def by_state(self) -> dict[ImageState, int]:
        """How many files are in each state of an image."""
        return {
            ImageState.EXPECTED: self.expected,
            ImageState.RECEIVED: self.waiting - self.expected,
            ImageState.CLASSIFIED: self.classified,
            ImageState.DUPLICATE: self.duplicates,
            ImageState.REFUSED: self.refused,
            ImageState.FAILED: self.failed,
        }


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
    by_job = {}
    for job in jobs:
        classified, failed = done.get(job.id, (0, 0))
        by_job[job.id] = Counts(job.received, classified, job.duplicates, job.refused, failed)
    return by_job


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
class Progress:
    """How far the present or last run of a job is, apart from which results stand.

    ``left`` are the images that this run has not judged, or never did because it was cancelled;
    ``kept`` those it could not judge, so that the verdict of an earlier run stands. ``lately`` are
    those recorded within the last `LATELY_SECONDS`; ``still`` is for how many seconds nothing was
    recorded, None before anything was.
    """

    left: int = 0
    kept: int = 0
    lately: int = 0
    still: float | None = None


_NOT_JUDGED = (*LIVE_SHARDS, ShardState.DROPPED)
_LATELY = and_(Shard.state == ShardState.DONE, Shard.done_at > clock() - LATELY_SECONDS)
# Looked at as often as somebody waits for a job: put together once.
_PROGRESS = (
    select(
        Shard.job_id,
        func.sum(case((Shard.state.in_(_NOT_JUDGED), Shard.size), else_=0)),
        func.sum(Shard.kept),
        func.sum(case((_LATELY, Shard.size), else_=0)),
        clock() - func.max(Shard.done_at),
    )
    .where(Shard.job_id.in_(bindparam("jobs", expanding=True)))
    .group_by(Shard.job_id)
)


def progress(session: Session, jobs: Sequence[Job]) -> dict[int, Progress]:
    """Return how far the run of each job is, summed over shard rows: no image row is read."""
    rows = session.execute(_PROGRESS, {"jobs": [job.id for job in jobs]})
    by_job = {
        job_id: Progress(int(left), int(kept), int(lately), still)
        for job_id, left, kept, lately, still in rows
    }
    return {job.id: by_job.get(job.id, Progress()) for job in jobs}


@dataclass(frozen=True, slots=True)
class JobOverview:
    """All that a job's page counts: where its files are, how far its run is, what its cells are,
    and which models say so."""

    counts: Counts
    progress: Progress
    differential: Differential
    judges: tuple[Judge, ...]
    fleet: Fleet

    @property
    def models(self) -> tuple[Model, ...]:
        """The models whose verdicts count."""
        return tuple(judge.model for judge in self.judges)


def overview(session: Session, job: Job) -> JobOverview:
    """Return where a job stands; read once for a page, however many parts of it show it."""
    return JobOverview(
        counts(session, [job])[job.id],
        progress(session, [job])[job.id],
        differential(session, job.id),
        judges(session, job.id),
        fleet(session),
    )


def share_done(job: Job, done: Counts, run: Progress) -> float:
    """Part of the files that need nothing more in this run, 0 to 1."""
    left = done.waiting if job.submitted_at is None else run.left
    return 1 - left / done.received if done.received else 0.0


def images_per_second(job: Job, run: Progress, now: dt.datetime) -> float | None:
    """Return the speed of the job's present or last run; None before there is any.

    What an earlier run had settled, which a retry of the failed ones builds on, is no part of it.
    """
    accepted = job.received - job.duplicates - job.refused
    judged = accepted - job.settled_before - run.left
    if not job.started_at or judged <= 0:
        return None
    seconds = ((job.finished_at or now) - job.started_at).total_seconds()
    return judged / seconds if seconds > 0 else None


def seconds_left(job: Job, run: Progress, now: dt.datetime) -> float | None:
    """Estimate the time left from the speed of the last minute; None if nothing moved in it."""
    if job.state is not JobState.RUNNING or job.started_at is None or not run.lately:
        return None
    seconds = min((now - job.started_at).total_seconds(), LATELY_SECONDS)
    return run.left * seconds / run.lately if seconds > 0 else None


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
    jobs = session.scalars(newest.limit(size + 1)).all()
    return list(jobs[:size]), len(jobs) > size


@dataclass(frozen=True, slots=True)
class Row:
    """One line of an export: a file, its state, and the verdict if it was classified.

    ``name`` is as given, ``model`` a digest. A duplicate carries the verdict of the file it
    repeats, whose name is ``first``.
    """

    image_id: int
    name: str
    state: ImageState
    message: str | None
    model: str | None
    first: str | None
    verdict: Verdict | None


def export_rows(session: Session, job_id: int) -> Iterator[Row]:
    """Yield a job's files in the order in which they were announced, a thousand at a time."""
    original = aliased(Image)
    query = (
        select(
            Image.position,
            Image.id,
            Image.name,
            Image.state,
            Image.message,
            original.model_digest,
            case((Image.duplicate_of_id.is_not(None), original.name)),
            *VERDICT_FIELDS,
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
        for _, id_, name, state, message, model, first, *columns in rows:
            verdict = Verdict.of(*columns) if columns[0] is not None else None
            yield Row(id_, name, state, message, model, first, verdict)
        after = rows[-1][0]


@dataclass(frozen=True, slots=True)
class Fleet:
    """How many worker processes gave a sign of life lately, and how many fell silent."""

    alive: int
    silent: int


def fleet(session: Session) -> Fleet:
    """Return how many worker processes are alive; silent ones were stopped, killed or cut off."""
    registered, living = session.execute(
        select(func.count(), func.count(case((alive(), Worker.name)))).select_from(Worker)
    ).one()
    return Fleet(living, registered - living)


def alive() -> ColumnElement[bool]:
    """Whether a worker's row is that of a process that gave a sign of life lately."""
    return Worker.seen_at > clock() - WORKER_SECONDS


def live_workers(session: Session) -> int:
    """Return how many worker processes have given a sign of life lately."""
    return session.scalar(select(func.count()).where(alive())) or 0
