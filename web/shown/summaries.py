"""Jobs, reports and skipped files, as the API sends them and the pages show them."""

from __future__ import annotations

import datetime as dt
from collections.abc import Container, Sequence
from typing import Any

from flask import url_for
from sqlalchemy.orm import Session

from contract.cells import CellClass
from contract.jobs import (
    ClassCount,
    JobCounts,
    JobDetails,
    JobSummary,
    JudgingModel,
    OutcomeCounts,
    Pictures,
)
from contract.models import ModelIdentity
from contract.reports import ReportStatus
from contract.uploads import SkippedFile
from core import jobs
from core.db import utcnow
from core.jobs import Counts, JobOverview, Progress
from core.jobs.lock import LIVE
from core.jobs.queries import LATELY_SECONDS, Fleet
from core.settings import Settings
from core.states import JobState
from core.tables import Job, Model, Report
from lexicon.cells import cell_type
from lexicon.folders import SKIPS, Skip
from lexicon.names import clean_name
from lexicon.words import duration
from web.wiring import wired


def summarise_jobs(session: Session, listed: Sequence[Job]) -> list[JobSummary]:
    """Return jobs for a list: counts come from the shards, classes are left out."""
    counts, runs = jobs.counts(session, listed), jobs.progress(session, listed)
    to_check, fleet = jobs.to_check(session, [job.id for job in listed]), jobs.fleet(session)
    settings = wired().settings
    return [
        JobSummary(
            **_common(job, counts[job.id], runs[job.id], fleet, settings),
            to_check=to_check.get(job.id, 0),
        )
        for job in listed
    ]


def summarise_job(job: Job, overview: JobOverview) -> JobDetails:
    """Return one job with its differential: the accepted cells by class, all by outcome."""
    differential = overview.differential
    few = jobs.few_shot(overview.models)
    return JobDetails(
        **_common(job, overview.counts, overview.progress, overview.fleet, wired().settings),
        to_check=differential.to_check,
        advice=differential.advice,
        classes=[_class_count(counted, few) for counted in differential.classes],
        outcomes=OutcomeCounts(
            accepted=differential.accepted,
            uncertain=differential.uncertain,
            unfamiliar=differential.unfamiliar,
        ),
        judged_by=[
            JudgingModel(**vars(identify(judge.model)), count=judge.count)
            for judge in overview.judges
        ],
    )


def _common(
    job: Job, counts: Counts, run: Progress, fleet: Fleet, settings: Settings
) -> dict[str, Any]:
    """Return what a list and a job's page both say of it, by the names in `JobSummary`."""
    now = utcnow()
    speed, still = jobs.images_per_second(job, run, now), standstill(job, run, fleet, now)
    left = None if still else jobs.seconds_left(job, run, now)
    return {
        "id": job.id,
        "name": job.name,
        "reference": job.reference,
        "state": job.state.value,
        "lane": job.lane.value,
        "owner": job.owner.email,
        "created_at": _time_of(job.created_at),
        "submitted_at": _time_of(job.submitted_at),
        "started_at": _time_of(job.started_at),
        "finished_at": _time_of(job.finished_at),
        "model": identify(job.model) if job.model else None,
        "bytes": job.bytes,
        "deleted_on": _time_of(jobs.end_of_retention(job, settings.retention_days)),
        "pictures": _pictures(job, settings),
        "counts": _counts(counts),
        "left": run.left,
        "kept": run.kept,
        "share_done": round(jobs.share_done(job, counts, run), 4),
        "images_per_second": round(speed, 2) if speed is not None else None,
        "seconds_left": round(left, 1) if left is not None else None,
        "standstill": still,
        "url": url_for("jobs.show_job", job_id=job.id),
    }


def standstill(job: Job, run: Progress, fleet: Fleet, now: dt.datetime) -> str | None:
    """Say in a sentence why a job under way makes no progress; None if it does."""
    if job.state not in LIVE:
        return None
    since = run.still
    if since is None and job.started_at:
        since = (now - job.started_at).total_seconds()
    moved = f"There has been no progress for {duration(since)}. " if since and since > 1 else ""
    if not fleet.alive and not fleet.silent:
        return f"{moved}No worker is running; the job waits until one starts."
    if not fleet.alive:
        silent = "The worker is" if fleet.silent == 1 else f"All {fleet.silent} workers are"
        return f"{moved}{silent} silent; the job waits until one is back."
    if job.state is JobState.RUNNING and since and since > LATELY_SECONDS:
        workers = "1 worker is" if fleet.alive == 1 else f"{fleet.alive} workers are"
        return f"{moved}{workers} running."
    return None


def identify(model: Model) -> ModelIdentity:
    """Return which model it is."""
    return ModelIdentity(name=model.name, version=model.version, digest=model.digest)


def _pictures(job: Job, settings: Settings) -> Pictures:
    """Return when pictures can last be kept, will be deleted by rule, or were deleted."""
    rule = jobs.end_of_retention(job, settings.picture_retention_days)
    return Pictures(
        kept_until=_time_of(job.pictures_until),
        deleted_on=_time_of(None if job.pictures_gone_at else rule),
        gone_at=_time_of(job.pictures_gone_at),
    )


def _counts(counts: Counts) -> JobCounts:
    return JobCounts(
        received=counts.received,
        classified=counts.classified,
        duplicates=counts.duplicates,
        refused=counts.refused,
        failed=counts.failed,
        waiting=counts.waiting,
    )


def class_values(name: str, few: Container[str] = ()) -> dict[str, Any]:
    """Return how a class is shown, by the names in `CellClass`.

    ``few`` are the classes that the model learned from few images.
    """
    cell = cell_type(name)
    return {
        "class_name": cell.name,
        "label": cell.label,
        "code": cell.code,
        "colour": cell.colour,
        "few_shot": name in few,
    }


def cell_class(name: str, few: Container[str] = ()) -> CellClass:
    """Return how a class is shown. ``few`` is as for `class_values`."""
    return CellClass(**class_values(name, few))


def _class_count(counted: jobs.ClassCount, few: Container[str]) -> ClassCount:
    return ClassCount(
        **class_values(counted.name, few),
        count=counted.count,
        share=round(counted.share, 6),
        low=round(counted.low, 6),
        high=round(counted.high, 6),
    )


def summarise_report(report: Report) -> ReportStatus:
    """Return a report's state and where its PDF is, or will be."""
    return ReportStatus(
        id=report.id,
        state=report.state.value,
        paper=report.paper,
        message=report.message,
        url=url_for("report_api.get_pdf", report_id=report.id),
    )


def summarise_skip(skip: Skip) -> SkippedFile:
    """Return a file that was skipped, and why, for programs and for people."""
    return SkippedFile(name=clean_name(skip.name), reason=skip.reason, message=SKIPS[skip.reason])


def _time_of(value: dt.datetime | None) -> str | None:
    """Return a time as programs read it."""
    return value.isoformat() if value else None
