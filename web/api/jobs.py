"""Jobs for programs: open, look up, submit, cancel, retry."""

from __future__ import annotations

from flask import Blueprint, Response, request

from contract.jobs import JobDetails, ModelChoice, NewJob, Submission
from core import jobs
from core.people import accounts
from web.actions.audit import record_reading
from web.actions.jobs import RUN_AGAIN, act, create, submit
from web.answers import json_answer
from web.api.requests import body_as
from web.listing import job_list
from web.security.caller import person
from web.shown.summaries import summarise_job
from web.wiring import wired

blueprint = Blueprint("job_api", __name__, url_prefix="/api/v1/jobs")


@blueprint.post("")
def create_job() -> Response:
    """Open a job that receives files."""
    new = body_as(NewJob)
    job_id = create(person(), new.name, new.reference, new.model)
    return json_answer(_details(job_id), 201)


@blueprint.get("")
def list_jobs() -> Response:
    """Return a page of the jobs this person may see, newest first; classes are left out."""
    before = request.args.get("before", "")
    with wired().database.reading() as session:
        page = job_list.page(session, accounts.visible_jobs(person()), before)
    return json_answer(page)


@blueprint.get("/<id:job_id>")
def get_job(job_id: int) -> Response:
    """Return one job."""
    details = _details(job_id)
    record_reading(job_id)
    return json_answer(details)


@blueprint.post("/<id:job_id>/submit")
def submit_job(job_id: int) -> Response:
    """Close the intake and queue the work."""
    how = body_as(Submission)
    submit(person(), job_id, without_missing=how.without_missing, model=how.model)
    return json_answer(_details(job_id))


@blueprint.post("/<id:job_id>/<any(cancel, retry, 'run-again'):action>")
def act_on_job(job_id: int, action: str) -> Response:
    """Cancel a job, retry its failed images, or run all of it again."""
    act(person(), job_id, action, body_as(ModelChoice).model if action == RUN_AGAIN else "")
    return json_answer(_details(job_id))


def _details(job_id: int) -> JobDetails:
    with wired().database.reading() as session:
        job = accounts.find_job(session, person(), job_id)
        return summarise_job(job, jobs.overview(session, job))
