"""Which PDF reports are wanted for which jobs. `core.made.making` handles how they are made."""

from __future__ import annotations

from dataclasses import dataclass

from sqlalchemy import select
from sqlalchemy.orm import Session

from core import leases
from core.errors import Conflict
from core.leases import Claim
from core.made import making
from core.states import ENDED, MakingState
from core.tables import Job, Report

PAPERS = ("A4", "Letter")


@dataclass(frozen=True, slots=True)
class ReportClaim(Claim):
    """A lease on a report."""

    job_id: int
    paper: str


def order(session: Session, job: Job, paper: str) -> Report:
    """Return the report of an ended job on this paper, wanted anew if the job has changed since.

    Raises:
        Conflict: the job has not ended, or the paper is unknown.
    """
    # Two clicks at once make one report.
    session.refresh(job, ("state", "finished_at"), with_for_update={"key_share": True})
    if job.state not in ENDED or job.finished_at is None:
        raise Conflict("The report can be created once the job has ended.")
    if paper not in PAPERS:
        raise Conflict(f"Choose the paper size {' or '.join(PAPERS)}.")
    current = session.scalars(
        select(Report)
        .where(Report.job_id == job.id, Report.paper == paper)
        .where(Report.created_at >= job.finished_at, Report.state != MakingState.FAILED)
        .order_by(Report.id.desc())
    ).first()
    if current is None:
        current = Report(job_id=job.id, paper=paper)
        session.add(current)
        session.flush()
    making.ring_if_waiting(session, current)
    return current


def claim(session: Session, report_id: int, worker: str, seconds: float) -> ReportClaim | None:
    """Take the report for ``seconds``, or return None if it is made or another's."""
    fence = leases.take(session, Report, report_id, worker, seconds)
    if fence is None:
        return None
    report = session.get_one(Report, report_id)
    return ReportClaim(Report, report_id, fence, report.job_id, report.paper)
