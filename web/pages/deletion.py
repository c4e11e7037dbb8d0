"""Deleting jobs and their pictures, and the deleted jobs that can still be restored."""

from __future__ import annotations

from flask import Blueprint, flash, redirect, render_template, request, url_for
from werkzeug.wrappers import Response

from web.actions import deletion
from web.wiring import wired

blueprint = Blueprint("deletion", __name__, url_prefix="/jobs")


@blueprint.get("/deleted")
def list_deleted() -> str:
    """Show the deleted jobs of this person, or of everybody for an administrator."""
    page = deletion.page(request.args.get("before", ""))
    return render_template("jobs/deleted.html", rows=page.jobs, next_=page.next)


@blueprint.post("/<id:job_id>/delete")
def delete_job(job_id: int) -> Response:
    """Delete a job and go back to the list."""
    deletion.delete(job_id, at_once=False)
    days = wired().settings.delete_grace_days
    within = "day" if days == 1 else f"{days} days"
    undo = f" You can restore it within the next {within}, from “Deleted jobs”." if days else ""
    flash(f"The job is deleted.{undo}", "success")
    return redirect(url_for("jobs.list_jobs"))


@blueprint.post("/<id:job_id>/delete-for-good")
def delete_for_good(job_id: int) -> Response:
    """Delete a job so that it can't be restored, and go back to the deleted ones."""
    deletion.delete(job_id, at_once=True)
    flash("The job is deleted for good. Its files are removed within a minute or so.", "success")
    return redirect(url_for("deletion.list_deleted"))


@blueprint.post("/<id:job_id>/restore")
def restore_job(job_id: int) -> Response:
    """Restore a deleted job and show it."""
    deletion.restore(job_id)
    flash("The job is restored.", "success")
    return redirect(url_for("jobs.show_job", job_id=job_id))


@blueprint.post("/<id:job_id>/delete-pictures")
def delete_pictures(job_id: int) -> Response:
    """Delete a job's pictures and show the job."""
    deletion.delete_pictures(job_id, at_once=False)
    flash("The pictures of this job will be deleted. Its results are kept.", "success")
    return redirect(url_for("jobs.show_job", job_id=job_id))


@blueprint.post("/<id:job_id>/keep-pictures")
def keep_pictures(job_id: int) -> Response:
    """Keep a job's pictures after all and show the job."""
    deletion.keep_pictures(job_id)
    flash("The pictures of this job are kept.", "success")
    return redirect(url_for("jobs.show_job", job_id=job_id))
