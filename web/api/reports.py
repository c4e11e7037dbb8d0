"""PDF reports for programs: order one, ask for its state, fetch it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import BinaryIO

from flask import Blueprint, Response

from contract.reports import ReportOrder
from core.audit import Action
from core.errors import Conflict
from core.states import MakingState
from web.actions.audit import record, record_reading
from web.actions.reports import find_report, order
from web.answers import json_answer
from web.api.requests import body_as
from web.shown.summaries import summarise_report
from web.wiring import wired

blueprint = Blueprint("report_api", __name__, url_prefix="/api/v1")
_CHUNK = 256 * 1024


@blueprint.post("/jobs/<id:job_id>/reports")
def order_report(job_id: int) -> Response:
    """Order a job's report, or return the one that is already made or being made."""
    return json_answer(order(job_id, body_as(ReportOrder).paper), 202)


@blueprint.get("/reports/<id:report_id>")
def get_report(report_id: int) -> Response:
    """Return a report's state."""
    with wired().database.reading() as session:
        report = find_report(session, report_id)
    record_reading(report.job_id)
    return json_answer(summarise_report(report))


@blueprint.get("/reports/<id:report_id>/pdf")
def get_pdf(report_id: int) -> Response:
    """Stream the PDF."""
    with wired().database.reading() as session:
        report = find_report(session, report_id)
    if report.state is not MakingState.READY or report.blob_key is None:
        raise Conflict(report.message or "The report is still being made. Try again in a moment.")
    response = Response(_pieces(wired().blobs.open(report.blob_key)), mimetype="application/pdf")
    record(Action.REPORT_DOWNLOADED, f"job {report.job_id}", report=report_id)
    name = f"job-{report.job_id}-{report.paper}.pdf"
    response.headers["Content-Disposition"] = f'inline; filename="{name}"'
    # A browser's own viewer is a page with styles; the policy for our pages would leave it blank.
    response.headers["Content-Security-Policy"] = "frame-ancestors 'none'"
    return response


def _pieces(file: BinaryIO) -> Iterator[bytes]:
    with file:
        while chunk := file.read(_CHUNK):
            yield chunk
