"""Jobs and reports as plain values: the API sends and the pages show the same ones."""

from __future__ import annotations

import datetime as dt
from collections.abc import Sequence
from typing import Any

from flask import url_for
from sqlalchemy.orm import Session

from core import jobs
from core.db import utcnow
from core.jobs import ClassCount, Counts, JobOverview, Progress
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

Summary = dict[str, Any]


def summarise_jobs(session: Session, found: Sequence[Job]) -> list[Summary]:
    """Return jobs for a list: counts come from the shards, classes are left out."""
    counts, runs = jobs.counts(session, found), jobs.progress(session, found)
    waiting, fleet = jobs.to_check(session, [job.id for job in found]), jobs.fleet(session)
    return [
        _job(job, counts[job.id], runs[job.id], fleet) | {"to_check": waiting.get(job.id, 0)}
        for job in found
    ]


def summarise_job(job: Job, overview: JobOverview) -> Summary:
    """Return one job with its differential: the accepted cells by class, all by outcome."""
    found = overview.differential
    few = jobs.few_shot(overview.models)
    return _job(job, overview.counts, overview.progress, overview.fleet) | {
        "to_check": found.to_check,
        "advice": found.advice,
        "classes": [_class(one, one.name in few) for one in found.classes],
        "outcomes": {outcome.value: count for outcome, count in found.outcomes.items()},
        "judged_by": [
            {**model_summary(judge.model), "count": judge.count} for judge in overview.judges
        ],
    }


def _job(job: Job, counts: Counts, run: Progress, fleet: Fleet) -> Summary:
    now, settings = utcnow(), wired().settings
    speed, still = jobs.images_per_second(job, run, now), standstill(job, run, fleet, now)
    left = None if still else jobs.seconds_left(job, run, now)
    return {
        "id": job.id,
        "name": job.name,
        "reference": job.reference,
        "state": job.state.value,
        "lane": job.lane.value,
        "owner": job.owner.email,
        "created_at": time_of(job.created_at),
        "submitted_at": time_of(job.submitted_at),
        "started_at": time_of(job.started_at),
        "finished_at": time_of(job.finished_at),
        "model": model_summary(job.model) if job.model else None,
        "bytes": job.bytes,
        "deleted_on": time_of(jobs.end_of_retention(job, settings.retention_days)),
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


def model_summary(model: Model) -> Summary:
    """Return which model it is. Two models of one name and version have different digests."""
    return {"name": model.name, "version": model.version, "digest": model.digest}


def _pictures(job: Job, settings: Settings) -> Summary:
    """Return when pictures can last be kept, will be deleted by rule, or were deleted."""
    rule = jobs.end_of_retention(job, settings.picture_retention_days)
    return {
        "kept_until": time_of(job.pictures_until),
        "deleted_on": time_of(None if job.pictures_gone_at else rule),
        "gone_at": time_of(job.pictures_gone_at),
    }


def _counts(counts: Counts) -> dict[str, int]:
    return {
        "received": counts.received,
        "classified": counts.classified,
        "duplicates": counts.duplicates,
        "refused": counts.refused,
        "failed": counts.failed,
        "waiting": counts.waiting,
    }


def named(name: str, few: bool) -> Summary:
    """Return how a class is shown, and whether the model learned it from few images."""
    cell = cell_type(name)
    return {
        "class": cell.name,
        "label": cell.label,
        "code": cell.code,
        "colour": cell.colour,
        "few_shot": few,
    }


def _class(one: ClassCount, few: bool) -> Summary:
    return named(one.name, few) | {
        "count": one.count,
        "share": round(one.share, 6),
        "low": round(one.low, 6),
        "high": round(one.high, 6),
    }


def summarise_report(report: Report) -> Summary:
    """Return a report's state and where its PDF is, or will be."""
    return {
        "id": report.id,
        "state": report.state.value,
        "paper": report.paper,
        "message": report.message,
        "url": url_for("report_api.get_pdf", report_id=report.id),
    }


def summarise_skip(one: Skip) -> Summary:
    """Return a file that was skipped, and why, for programs and for people."""
    return {"name": clean_name(one.name), "reason": one.reason, "message": SKIPS[one.reason]}


def time_of(value: dt.datetime | None) -> str | None:
    """Return a time as programs read it."""
    return value.isoformat() if value else None
