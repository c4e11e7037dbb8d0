"""Ordering a report and waiting for it, for browsers without JavaScript."""

from __future__ import annotations

from flask import Blueprint, redirect, render_template, request, url_for
from werkzeug.wrappers import Response

from core.people import accounts
from web.actions.audit import record_reading
from web.actions.reports import find_report, order
from web.security.caller import person
from web.shown.summaries import summarise_report
from web.wiring import wired

blueprint = Blueprint("reports", __name__)


@blueprint.post("/jobs/<id:job_id>/report")
def order_report(job_id: int) -> Response:
    """Order the PDF on the chosen paper."""
    report = order(job_id, request.form.get("paper", "A4"))
    return redirect(url_for("reports.show_report", report_id=report.id))


@blueprint.get("/reports/<id:report_id>")
def show_report(report_id: int) -> str:
    """Show whether the report is ready, with a link to it."""
    with wired().database.reading() as session:
        report = find_report(session, report_id)
        job = accounts.find_job(session, person(), report.job_id)
    record_reading(job.id)
    return render_template("reports/show.html", report=summarise_report(report), job=job)
