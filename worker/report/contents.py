"""What a report says about a job. It is read once; the rows of its tables are streamed."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator
from dataclasses import dataclass, field

from sqlalchemy import select
from sqlalchemy.orm import Session, aliased

from core import jobs
from core.jobs.queries import EXPORT_CHUNK
from core.states import ImageState, JobState
from core.tables import Image, Job, Model, Prediction, Skipped
from lexicon.cells import display_order
from lexicon.folders import SKIPS
from lexicon.outcomes import BETWEEN_CLASSES, Outcome

THUMBNAILS_A_CLASS = 126


@dataclass(frozen=True, slots=True)
class ReportedJob:
    """A job as its report shows it."""

    id: int
    name: str
    reference: str
    owner: str
    state: JobState
    submitted_at: dt.datetime | None
    finished_at: dt.datetime | None
    counts: jobs.Counts
    skipped: int
    differential: jobs.Differential
    models: tuple[Model, ...]


@dataclass(frozen=True, slots=True)
class Cell:
    """One classified image with what its thumbnail shows. ``number`` is its row in the table."""

    number: int
    sha256: str
    label: str
    confidence: float


@dataclass(slots=True)
class Group:
    """Cells that are not accepted for the same reason.

    ``reason`` is a code of `lexicon.outcomes`; ``names`` are the classes between which they lie, in
    display order, if that is the reason; ``cells`` are at most `THUMBNAILS_A_CLASS` of the
    ``count``.
    """

    outcome: str
    names: tuple[str, ...]
    reason: str
    count: int = 0
    cells: list[Cell] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class Problem:
    """One file without a verdict of its own, and why."""

    number: int
    name: str
    what: str
    why: str


def read(session: Session, job: Job) -> ReportedJob:
    """Return a job as its report shows it."""
    return ReportedJob(
        id=job.id,
        name=job.name,
        reference=job.reference,
        owner=job.owner.email,
        state=job.state,
        submitted_at=job.submitted_at,
        finished_at=job.finished_at,
        counts=jobs.counts(session, [job])[job.id],
        skipped=jobs.count_skipped(session, job.id),
        differential=jobs.differential(session, job.id),
        models=tuple(judge.model for judge in jobs.judges(session, job.id)),
    )


def cells(session: Session, job_id: int, label: str) -> list[Cell]:
    """Return the `THUMBNAILS_A_CLASS` accepted cells of a class with the highest confidence."""
    rows = session.execute(
        select(Image.position, Image.sha256, Image.confidence)
        .where(Image.job_id == job_id, Image.state == ImageState.CLASSIFIED)
        .where(Image.outcome == Outcome.ACCEPTED, Image.label == label)
        .where(Image.confidence.is_not(None))
        .order_by(Image.confidence.desc(), Image.id)
        .limit(THUMBNAILS_A_CLASS)
    )
    return [
        Cell(position + 1, sha256 or "", label, confidence or 0.0)
        for position, sha256, confidence in rows
    ]


def to_check(session: Session, job_id: int, outcome: str) -> list[Group]:
    """Return the cells of an outcome, grouped by reason, the most frequent reason first.

    Cells between classes are grouped by these classes, others by their reason; in each group the
    least certain come first.
    """
    rows = session.execute(
        select(Image.position, Image.sha256, Image.label, Image.confidence)
        .add_columns(Prediction.candidates, Prediction.reason)
        .join(Prediction, Prediction.image_id == Image.id)
        .where(Prediction.model_digest == Image.model_digest)
        .where(Image.job_id == job_id, Image.state == ImageState.CLASSIFIED)
        .where(Image.outcome == outcome, Image.confidence.is_not(None))
        .order_by(Image.confidence, Image.id)
        .execution_options(yield_per=EXPORT_CHUNK)
    )
    groups: dict[tuple[str, tuple[str, ...]], Group] = {}
    for position, sha256, label, confidence, candidates, reason in rows:
        between = reason == BETWEEN_CLASSES
        names = tuple(sorted(candidates, key=display_order)) if between else ()
        group = groups.setdefault((reason, names), Group(outcome, names, reason))
        group.count += 1
        if len(group.cells) < THUMBNAILS_A_CLASS:
            cell = Cell(position + 1, sha256 or "", label or "", confidence or 0.0)
            group.cells.append(cell)
    return sorted(groups.values(), key=lambda group: -group.count)


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
    """Yield the files identical to an earlier file of the job, in order, with that file."""
    first = aliased(Image)
    rows = session.execute(
        select(Image.position, Image.name, first.position, first.name)
        .join(first, first.id == Image.duplicate_of_id)
        .where(Image.job_id == job_id, Image.state == ImageState.DUPLICATE)
        .order_by(Image.position)
        .execution_options(yield_per=EXPORT_CHUNK)
    )
    for position, name, earlier, earlier_name in rows:
        yield Problem(position + 1, name, f"no. {earlier + 1}", earlier_name)


def skips(session: Session, job_id: int) -> Iterator[tuple[str, str]]:
    """Yield the files that were skipped, in their order of arrival, with the reason."""
    rows = session.execute(
        select(Skipped.name, Skipped.reason)
        .where(Skipped.job_id == job_id)
        .order_by(Skipped.id)
        .execution_options(yield_per=EXPORT_CHUNK)
    )
    for name, reason in rows:
        yield name, SKIPS[reason]
