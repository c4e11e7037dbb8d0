"""Jobs, images and reports as plain values: what the API sends and the pages show, alike."""

from __future__ import annotations

import datetime as dt
from collections.abc import Sequence
from typing import Any

from flask import url_for
from sqlalchemy.orm import Session

from core import jobs
from core.cells import cell_type
from core.db import utcnow
from core.jobs import ClassCount, Counts
from core.models import Image, Job, Model, Prediction, Report
from core.states import ImageState

Summary = dict[str, Any]


def summarise_jobs(session: Session, found: Sequence[Job]) -> list[Summary]:
    """Return jobs for a list: counts come from the shards alone, classes are left out."""
    counts = jobs.counts(session, found)
    return [_job(job, counts[job.id]) for job in found]


def summarise_job(session: Session, job: Job) -> Summary:
    """Return one job with its differential."""
    (summary,) = summarise_jobs(session, [job])
    summary["classes"] = [_class(one) for one in jobs.differential(session, job.id)]
    return summary


def _job(job: Job, counts: Counts) -> Summary:
    now = utcnow()
    speed, left = jobs.images_per_second(job, counts, now), jobs.seconds_left(job, counts, now)
    return {
        "id": job.id,
        "name": job.name,
        "reference": job.reference,
        "state": job.state.value,
        "lane": job.lane.value,
        "owner": job.owner.email,
        "created_at": _time(job.created_at),
        "submitted_at": _time(job.submitted_at),
        "started_at": _time(job.started_at),
        "finished_at": _time(job.finished_at),
        "counts": _counts(counts),
        "share_done": round(counts.share_done, 4),
        "images_per_second": round(speed, 2) if speed is not None else None,
        "seconds_left": round(left, 1) if left is not None else None,
        "url": url_for("jobs.show_job", job_id=job.id),
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


def _class(one: ClassCount) -> Summary:
    cell = cell_type(one.name)
    return {
        "class": cell.name,
        "label": cell.label,
        "code": cell.code,
        "colour": cell.colour,
        "count": one.count,
        "share": round(one.share, 6),
        "low": round(one.low, 6),
        "high": round(one.high, 6),
    }


def summarise_tile(image: Image) -> Summary:
    """Return an image for the gallery."""
    cell = cell_type(image.label) if image.label else None
    return {
        "id": image.id,
        "name": image.name,
        "state": image.state.value,
        "class": image.label,
        "label": cell.label if cell else None,
        "code": cell.code if cell else None,
        "colour": cell.colour if cell else None,
        "confidence": image.confidence,
        "outcome": image.outcome,
        "reason": image.reason,
        "message": image.message,
        "url": url_for("images.show_image", image_id=image.id),
        "thumbnail": _thumbnail(image, 192),
    }


def summarise_image(session: Session, image: Image) -> Summary:
    """Return one image with all its probabilities; a duplicate carries its original's."""
    first = session.get(Image, image.duplicate_of_id) if image.duplicate_of_id else image
    verdict = first or image
    summary = summarise_tile(verdict) | {
        "id": image.id,
        "name": image.name,
        "state": image.state.value,
        "duplicate_of": image.duplicate_of_id,
        "job": image.job_id,
        "size": image.size,
        "format": image.format,
        "width": image.width,
        "height": image.height,
        "sha256": image.sha256,
        "url": url_for("images.show_image", image_id=image.id),
        "picture": _thumbnail(image, 1024),
    }
    return summary | _verdict(session, verdict)


def _verdict(session: Session, image: Image) -> Summary:
    if image.state is not ImageState.CLASSIFIED or image.model_digest is None:
        return {"classes": [], "model": None}
    model = session.get_one(Model, image.model_digest)
    prediction = session.get_one(Prediction, (image.id, model.digest))
    pairs = zip(model.classes, prediction.probabilities, strict=True)
    return {
        "classes": [_probability(*pair) for pair in sorted(pairs, key=lambda p: -p[1])],
        "model": {"name": model.name, "version": model.version, "digest": model.digest},
    }


def _probability(name: str, probability: float) -> Summary:
    cell = cell_type(name)
    return {
        "class": cell.name,
        "label": cell.label,
        "code": cell.code,
        "colour": cell.colour,
        "probability": round(probability, 6),
    }


def _thumbnail(image: Image, side: int) -> str | None:
    """Return where a small copy is, or None for a file whose bytes were never accepted."""
    if image.format is None:
        return None
    return url_for("images.show_thumbnail", image_id=image.id, side=side)


def summarise_report(report: Report) -> Summary:
    """Return a report's state and where its PDF is, or will be."""
    return {
        "id": report.id,
        "state": report.state.value,
        "paper": report.paper,
        "message": report.message,
        "url": url_for("report_api.get_pdf", report_id=report.id),
    }


def _time(value: dt.datetime | None) -> str | None:
    return value.isoformat() if value else None
