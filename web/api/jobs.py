"""Jobs for programs: open, look up, submit, cancel, retry."""

from __future__ import annotations

from flask import Blueprint, Response, jsonify, request
from pydantic import BaseModel

from core import jobs
from core.people import accounts
from web.actions.audit import record_reading
from web.actions.jobs import RUN_AGAIN, act, create, submit
from web.api.requests import body_as
from web.listing import job_list
from web.security.caller import person
from web.shown.summaries import summarise_job
from web.wiring import wired

blueprint = Blueprint("job_api", __name__, url_prefix="/api/v1/jobs")


class Choice(BaseModel):
    """The job's model: the start of its digest, or "active"; if empty, the active one."""

    model: str = ""


class NewJob(Choice):
    """What a job is opened with; names that are too long for the table are cut."""

    name: str = ""
    reference: str = ""


class Submission(Choice):
    """Whether to submit the job without announced files that never arrived."""

    without_missing: bool = False


@blueprint.post("")
def create_job() -> tuple[Response, int]:
    """Open a job that receives files."""
    wanted = body_as(NewJob)
    job_id = create(person(), wanted.name, wanted.reference, wanted.model)
    return _job(job_id), 201


@blueprint.get("")
def list_jobs() -> Response:
    """Return a page of the jobs this person may see, newest first; classes are left out."""
    before = request.args.get("before", "")
    with wired().database.reading() as session:
        found, next_ = job_list.page(session, accounts.visible_jobs(person()), before)
        return jsonify(jobs=found, next=next_)


@blueprint.get("/<id:job_id>")
def get_job(job_id: int) -> Response:
    """Return one job."""
    answer = _job(job_id)
    record_reading(job_id)
    return answer


@blueprint.post("/<id:job_id>/submit")
def submit_job(job_id: int) -> Response:
    """Close the intake and queue the work."""
    wanted = body_as(Submission)
    submit(person(), job_id, without_missing=wanted.without_missing, model=wanted.model)
    return _job(job_id)


@blueprint.post("/<id:job_id>/<any(cancel, retry, 'run-again'):action>")
def act_on_job(job_id: int, action: str) -> Response:
    """Cancel a job, retry its failed images, or run all of it again."""
    act(person(), job_id, action, body_as(Choice).model if action == RUN_AGAIN else "")
    return _job(job_id)


def _job(job_id: int) -> Response:
    with wired().database.reading() as session:
        job = accounts.find_job(session, person(), job_id)
        return jsonify(summarise_job(job, jobs.overview(session, job)))
