"""For programs: deleting and restoring jobs and their pictures, and the storage in use."""

from __future__ import annotations

from flask import Blueprint, Response, request

from contract.jobs import JobReference
from web.actions import deletion
from web.answers import json_answer
from web.shown.usage import summarise_usage

blueprint = Blueprint("deletion_api", __name__, url_prefix="/api/v1")


def _at_once() -> bool:
    return request.args.get("at_once") == "1"


@blueprint.delete("/jobs/<id:job_id>")
def delete_job(job_id: int) -> Response:
    """Delete a job; say until when it can be restored. With ``?at_once=1`` it can't be."""
    return json_answer(deletion.delete(job_id, at_once=_at_once()))


@blueprint.get("/jobs/deleted")
def list_deleted() -> Response:
    """Return a page of the deleted jobs that this person may restore."""
    return json_answer(deletion.page(request.args.get("before", "")))


@blueprint.post("/jobs/<id:job_id>/restore")
def restore_job(job_id: int) -> Response:
    """Restore a deleted job."""
    deletion.restore(job_id)
    return json_answer(JobReference(id=job_id))


@blueprint.delete("/jobs/<id:job_id>/pictures")
def delete_pictures(job_id: int) -> Response:
    """Delete a job's pictures and keep its results. With ``?at_once=1`` this can't be undone."""
    deletion.delete_pictures(job_id, at_once=_at_once())
    return json_answer(JobReference(id=job_id))


@blueprint.post("/jobs/<id:job_id>/keep-pictures")
def keep_pictures(job_id: int) -> Response:
    """Keep a job's pictures after all."""
    deletion.keep_pictures(job_id)
    return json_answer(JobReference(id=job_id))


@blueprint.get("/usage")
def get_usage() -> Response:
    """Return how much storage is used, and the limits."""
    return json_answer(summarise_usage())
