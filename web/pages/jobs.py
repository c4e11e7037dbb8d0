"""The list of jobs, and one job: its progress, its differential, its cells."""

from __future__ import annotations

from typing import Any

from flask import (
    Blueprint,
    Response,
    flash,
    g,
    make_response,
    redirect,
    render_template,
    request,
    url_for,
)
from sqlalchemy import Select, or_
from sqlalchemy.orm import Session
from werkzeug.wrappers import Response as AnyResponse

from core import jobs
from core.errors import BadInput
from core.jobs import JobOverview
from core.made.reports import PAPERS
from core.people import accounts
from core.people.accounts import RoleName
from core.states import ENDED, JobState
from core.tables import Job
from lexicon import folders
from lexicon.formats import ARCHIVES, SUFFIXES
from lexicon.names import one_line
from web import parts
from web.actions.audit import record_reading
from web.actions.jobs import act, models_for, submit
from web.listing import gallery, job_list
from web.security.caller import person
from web.shown.images import summarise_tiles
from web.shown.pictures import why_no_pictures
from web.shown.summaries import summarise_job, summarise_skip
from web.wiring import wired

blueprint = Blueprint("jobs", __name__, url_prefix="/jobs")
_SKIPS_SHOWN = 100
# Seconds between two polls of a job and of the list; for a job of ten thousand files, two.
_LEAST_PAUSE, _LIST_PAUSE = 1.0, 2.0
_FILES_A_SECOND_OF_PAUSE = 5000
_MANAGER = RoleName.ADMINISTRATOR
_DONE = {
    "cancel": "The job is cancelled. Results so far are kept.",
    "retry": "The failed images are queued again.",
    "run-again": "All images are queued again. Each result is kept until there is a new one.",
}


@blueprint.get("")
def list_jobs() -> Response:
    """Show a page of jobs, newest first, filtered by state and text."""
    state, text = request.args.get("state", ""), one_line(request.args.get("q", ""))[:200]
    before = request.args.get("before", "")
    with wired().database.reading() as session:
        query = _filtered(accounts.visible_jobs(person()), state, text)
        page = job_list.page(session, query, before)
    response = make_response(
        render_template(
            "jobs/list.html",
            rows=page.jobs,
            state_value=state,
            text=text,
            first_page=not before,
            next_=page.next,
            live=any(job.state not in ENDED for job in page.jobs),
        )
    )
    pause = wired().parts.pause((person().id, "list"), _LIST_PAUSE)
    response.headers[parts.PAUSE_HEADER] = f"{pause:.1f}"
    return response


def _filtered(query: Select[Job], state: str, text: str) -> Select[Job]:
    if state:
        try:
            query = query.where(Job.state == JobState(state))
        except ValueError as error:
            raise BadInput(f"A job's state must be one of {', '.join(JobState)}.") from error
    if text:
        columns = (Job.name, Job.reference)
        matches = (column.icontains(text, autoescape=True) for column in columns)
        query = query.where(or_(*matches))
    return query


@blueprint.get("/<id:job_id>")
def show_job(job_id: int) -> str:
    """Show one job with the first page of its gallery."""
    with wired().database.reading() as session:
        job = accounts.find_job(session, person(), job_id)
        overview = jobs.overview(session, job)
        values = _live(session, job, overview)
        skips = [summarise_skip(skip) for _, skip in jobs.skipped(session, job, _SKIPS_SHOWN + 1)]
        values |= {"skips": skips[:_SKIPS_SHOWN], "more_skips": len(skips) > _SKIPS_SHOWN}
        if job.state is not JobState.RECEIVING:
            values |= _gallery(session, job, overview)
    record_reading(job_id)
    return render_template("jobs/show.html", **values)


@blueprint.get("/<id:job_id>/summary")
def show_summary(job_id: int) -> Response:
    """Return the part of a job's page that changes while it runs, if it has changed."""
    with wired().database.reading() as session:
        job = accounts.find_job(session, person(), job_id)
        user = person()
        handles, manages = accounts.may_handle(user, job), accounts.has_role(user, _MANAGER)
        html, tag = wired().parts.get(
            ("summary", job_id, handles, manages),
            lambda: _version(session, job),
            lambda: _render("jobs/_live.html", **_live(session, job, jobs.overview(session, job))),
        )
        least = _least_pause(job)
    record_reading(job_id)
    return parts.answer(html, tag, wired().parts.pause((user.id, job_id), least))


@blueprint.get("/<id:job_id>/gallery")
def show_gallery(job_id: int) -> Response:
    """Return the bins and a page of tiles, for scrolling on or opening another bin."""
    with wired().database.reading() as session:
        job = accounts.find_job(session, person(), job_id)
        html, tag = wired().parts.get(
            ("gallery", job_id, request.query_string),
            lambda: _version(session, job),
            lambda: _render(
                "jobs/_gallery.html",
                job=job,
                **_gallery(session, job, jobs.overview(session, job)),
            ),
        )
    record_reading(job_id)
    return parts.answer(html, tag, 0)


def _version(session: Session, job: Job) -> tuple[object, ...]:
    """Return values that change whenever a job's page does, and are quick to read."""
    run = jobs.progress(session, [job])[job.id]
    return (
        job.state,
        job.submitted_at,
        job.finished_at,
        job.model_digest,
        job.pictures_until,
        job.pictures_gone_at,
        jobs.counts(session, [job])[job.id],
        run.left,
        run.kept,
    )


def _render(template: str, **values: Any) -> str:
    """Render a part for everybody who may see it; the page's script adds its token to forms."""
    g.csrf_token = ""
    return render_template(template, **values)


def _least_pause(job: Job) -> float:
    """Return how soon polling again is worthwhile: a large job moves slowly."""
    return max(_LEAST_PAUSE, job.received / _FILES_A_SECOND_OF_PAUSE)


def _live(session: Session, job: Job, overview: JobOverview) -> dict[str, Any]:
    """Return what changes while a job runs, and no more: it is requested every second."""
    ended = job.state in ENDED
    return {
        "job": summarise_job(job, overview),
        "ended": ended,
        "models": models_for(session, person()) if ended else [],
        "expected": overview.counts.expected,
        "papers": PAPERS,
        "limits": wired().limits,
        "rule": folders.RULE,
        "accepts": ",".join((*SUFFIXES, *ARCHIVES)),
        "may_handle": accounts.may_handle(person(), job),
    }


def _gallery(session: Session, job: Job, overview: JobOverview) -> dict[str, Any]:
    choices = gallery.choices(overview)
    chosen = _chosen(choices)
    tiles, next_ = gallery.page(session, job.id, chosen, request.args.get("before", ""))
    return {
        "choices": choices,
        "chosen": chosen,
        "tiles": summarise_tiles(session, tiles),
        "next_": next_,
        "no_pictures": why_no_pictures(),
    }


def _chosen(choices: list[gallery.Choice]) -> gallery.Bin:
    """Return the requested bin; else all cells, or the first bin if there are no cells."""
    requested = gallery.read_bin(request.args)
    named = {"state", "class", "outcome"} & request.args.keys()
    bins = [choice.bin for choice in choices]
    if named or gallery.Bin() in bins or not bins:
        return requested
    return bins[0]


@blueprint.post("/<id:job_id>/<any(cancel, retry, 'run-again'):action>")
def act_on_job(job_id: int, action: str) -> AnyResponse:
    """Cancel, retry or run again."""
    act(person(), job_id, action, request.form.get("model", ""))
    flash(_DONE[action], "success")
    return redirect(url_for("jobs.show_job", job_id=job_id))


@blueprint.post("/<id:job_id>/submit")
def submit_job(job_id: int) -> AnyResponse:
    """Queue what has arrived, without the files that are missing."""
    submit(person(), job_id, without_missing=True)
    flash("The job is queued with the files that have arrived.", "success")
    return redirect(url_for("jobs.show_job", job_id=job_id))
