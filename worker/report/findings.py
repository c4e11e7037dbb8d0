"""What a report says of a job, read once; its rows are streamed beside it."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator
from dataclasses import dataclass

from sqlalchemy import func, select
from sqlalchemy.orm import Session, aliased

from core import jobs
from core.jobs.queries import EXPORT_CHUNK
from core.models import Image, Job, Model
from core.states import ImageState, JobState

THUMBNAILS_A_CLASS = 126


@dataclass(frozen=True, slots=True)
class Findings:
    """A job as its report shows it. ``outcomes`` counts the classified images by outcome."""

    job_id: int
    name: str
    reference: str
    owner: str
    state: JobState
    submitted_at: dt.datetime | None
    finished_at: dt.datetime | None
    counts: jobs.Counts
    classes: tuple[jobs.ClassCount, ...]
    outcomes: dict[str, int]
    models: tuple[Model, ...]


@dataclass(frozen=True, slots=True)
class Cell:
    """One classified image as its thumbnail is labelled. ``number`` is its row in the table."""

    number: int
    sha256: str
    confidence: float
    outcome: str


@dataclass(frozen=True, slots=True)
class Problem:
    """One file without a verdict of its own, and why."""

    number: int
    name: str
    what: str
    why: str


def read(session: Session, job: Job) -> Findings:
    """Return the findings of a job."""
    return Findings(
        job_id=job.id,
        name=job.name,
        reference=job.reference,
        owner=job.owner.email,
        state=job.state,
        submitted_at=job.submitted_at,
        finished_at=job.finished_at,
        counts=jobs.counts(session, [job])[job.id],
        classes=tuple(jobs.differential(session, job.id)),
        outcomes=_outcomes(session, job.id),
        models=_models(session, job.id),
    )


def _outcomes(session: Session, job_id: int) -> dict[str, int]:
    rows = session.execute(
        select(Image.outcome, func.count())
        .where(Image.job_id == job_id, Image.state == ImageState.CLASSIFIED)
        .group_by(Image.outcome)
    )
    return {outcome or "": count for outcome, count in rows}


def _models(session: Session, job_id: int) -> tuple[Model, ...]:
    """Return the models that judged this job's images, first used first."""
    used = select(Image.model_digest).where(
        Image.job_id == job_id, Image.state == ImageState.CLASSIFIED
    )
    query = select(Model).where(Model.digest.in_(used)).order_by(Model.first_used_at, Model.digest)
    return tuple(session.scalars(query))


def cells(session: Session, job_id: int, label: str) -> list[Cell]:
    """Return the surest cells of a class, at most `THUMBNAILS_A_CLASS`."""
    rows = session.execute(
        select(Image.position, Image.sha256, Image.confidence, Image.outcome)
        .where(Image.job_id == job_id, Image.state == ImageState.CLASSIFIED, Image.label == label)
        .order_by(Image.confidence.desc(), Image.id)
        .limit(THUMBNAILS_A_CLASS)
    )
    return [
        Cell(position + 1, sha256 or "", confidence or 0.0, outcome or "")
        for position, sha256, confidence, outcome in rows
    ]


def problems(session: Session, job_id: int) -> Iterator[Problem]:
    """Yield the files that failed or were refused, in order, with the reason."""
    rows = session.execute(
        select(Image.position, Image.name, Image.state, Image.message)
        .where(Image.job_id == job_id, Image.state.in_((ImageState.FAILED, ImageState.REFUSED)))
        .order_by(Image.position)
        .execution_options(yield_per=EXPORT_CHUNK)
    )
    for position, name, state, message in rows:
        yield Problem(position + 1, name, state.value, message or "")


def duplicates(session: Session, job_id: int) -> Iterator[Problem]:
    """Yield the files whose bytes came before in the job, in order, with the file they repeat."""
    first = aliased(Image)
    rows = session.execute(
        select(Image.position, Image.name, first.position, first.name)
        .join(first, first.id == Image.duplicate_of_id)
        .where(Image.job_id == job_id, Image.state == ImageState.DUPLICATE)
        .order_by(Image.position)
        .execution_options(yield_per=EXPORT_CHUNK)
    )
    for position, name, earlier, earlier_name in rows:
        yield Problem(position + 1, name, f"repeats no. {earlier + 1}", earlier_name)
