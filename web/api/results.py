"""A job's results for programs: images and problems page by page, and everything as one file."""

from __future__ import annotations

from collections.abc import Iterator

from flask import Blueprint, Response, request
from sqlalchemy import select

from contract.images import TilePage
from contract.jobs import JobDetails
from contract.uploads import ProblemFile, ProblemPage, SkippedPage
from core import jobs
from core.audit import Action
from core.people import accounts
from core.states import ImageState
from core.tables import Image
from web.actions.audit import record, record_reading
from web.answers import json_answer
from web.listing import gallery
from web.listing.cursors import read_position
from web.security.caller import person
from web.shown import exports
from web.shown.images import summarise_tiles
from web.shown.summaries import summarise_job, summarise_skip
from web.wiring import wired

blueprint = Blueprint("results", __name__, url_prefix="/api/v1/jobs/<id:job_id>")


@blueprint.get("/images")
def list_images(job_id: int) -> Response:
    """Return a page of a bin of the job: ``state``, ``class``, ``outcome``, ``order``, ``size``.

    A class without an outcome means its accepted cells, as the differential counts them.
    """
    bin_ = gallery.read_bin(request.args)
    size = _size()
    with wired().database.reading() as session:
        job = accounts.find_job(session, person(), job_id)
        images, next_ = gallery.page(session, job.id, bin_, request.args.get("before", ""), size)
        tiles = summarise_tiles(session, images)
    record_reading(job_id)
    return json_answer(TilePage(images=tiles, next=next_))


@blueprint.get("/problems")
def list_problems(job_id: int) -> Response:
    """Return a page of the files that were refused or failed, and why: ``size``, ``before``."""
    size, before = _size(), request.args.get("before", "")
    passed = read_position(before) if before else -1
    with wired().database.reading() as session:
        job = accounts.find_job(session, person(), job_id)
        rows = session.execute(
            select(Image.position, Image.name, Image.state, Image.reason, Image.message)
            .where(Image.job_id == job.id, Image.position > passed)
            .where(Image.state.in_((ImageState.REFUSED, ImageState.FAILED)))
            .order_by(Image.position)
            .limit(size + 1)
        ).all()
    record_reading(job_id)
    files = [
        ProblemFile(name=name, state=state.value, reason=reason, message=message)
        for _, name, state, reason, message in rows[:size]
    ]
    next_ = str(rows[size - 1][0]) if len(rows) > size else None
    return json_answer(ProblemPage(files=files, next=next_))


@blueprint.get("/skipped")
def list_skipped(job_id: int) -> Response:
    """Return a page of the files that were skipped, and why: ``size``, ``before``."""
    size, before = _size(), request.args.get("before", "")
    with wired().database.reading() as session:
        job = accounts.find_job(session, person(), job_id)
        after = read_position(before) if before else 0
        skips = jobs.skipped(session, job, size + 1, after)
    record_reading(job_id)
    files = [summarise_skip(skip) for _, skip in skips[:size]]
    next_ = str(skips[size - 1][0]) if len(skips) > size else None
    return json_answer(SkippedPage(files=files, next=next_))


@blueprint.get("/results.csv")
def get_csv(job_id: int) -> Response:
    """Stream the results as CSV, UTF-8."""
    job = _details(job_id)
    record(Action.EXPORTED, f"job {job_id}", format="csv")
    return _file(exports.csv_lines(wired().database, job.id), "text/csv", f"job-{job_id}.csv")


@blueprint.get("/results.json")
def get_json(job_id: int) -> Response:
    """Stream the results as JSON."""
    pieces = exports.json_lines(wired().database, _details(job_id))
    record(Action.EXPORTED, f"job {job_id}", format="json")
    return _file(pieces, "application/json", f"job-{job_id}.json")


def _size() -> int:
    return min(max(request.args.get("size", gallery.PAGE, int), 1), gallery.LARGEST_PAGE)


def _details(job_id: int) -> JobDetails:
    with wired().database.reading() as session:
        job = accounts.find_job(session, person(), job_id)
        return summarise_job(job, jobs.overview(session, job))


def _file(pieces: Iterator[str], kind: str, name: str) -> Response:
    # The file is named after the job's number: job names may hold patient data and end up in logs.
    response = Response(pieces, mimetype=kind)
    response.headers["Content-Disposition"] = f'attachment; filename="{name}"'
    return response
