"""Ordering a job's report, and finding one: for pages and API alike."""

from __future__ import annotations

from sqlalchemy.orm import Session

from contract.reports import ReportStatus
from core.errors import NotFound
from core.made import reports
from core.people import accounts
from core.tables import Report
from web.security.caller import person
from web.shown.summaries import summarise_report
from web.wiring import wired


def order(job_id: int, paper: str) -> ReportStatus:
    """Order the report of a job this person may see, or return the one there is."""
    wiring = wired()
    with wiring.database.writing() as session:
        job = accounts.find_job(session, person(), job_id)
        report = reports.order(session, job, paper)
    return summarise_report(report)


def find_report(session: Session, report_id: int) -> Report:
    """Return a report of a job this person may see. Raises `NotFound`."""
    report = session.get(Report, report_id)
    if report is None:
        raise NotFound("There is no such report, or it is not yours to see.")
    accounts.find_job(session, person(), report.job_id)
    return report
