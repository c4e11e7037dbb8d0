"""A PDF from the wish for it to its bytes: the same lease and fence as a shard."""

from __future__ import annotations

from dataclasses import dataclass

from sqlalchemy import and_, or_, select, update
from sqlalchemy.orm import Session

from core.db import clock, utcnow
from core.errors import Conflict, LeaseLost
from core.models import Job, Report
from core.states import ENDED, ReportState

PAPERS = ("A4", "Letter")


@dataclass(frozen=True, slots=True)
class ReportClaim:
    """A lease on a report."""

    report_id: int
    job_id: int
    paper: str
    fence: int


def order(session: Session, job: Job, paper: str) -> Report:
    """Return the report of an ended job on this paper, wanted anew if the job has changed since.

    Commit, then ring for it if its state is waiting.

    Raises:
        Conflict: the job has not ended, or the paper is unknown.
    """
    # Two clicks at once make one report.
    session.refresh(job, ("state", "finished_at"), with_for_update={"key_share": True})
    if job.state not in ENDED or job.finished_at is None:
        raise Conflict("The report can be made once the job has ended.")
    if paper not in PAPERS:
        raise Conflict(f"The report is made on {' or '.join(PAPERS)}.")
    current = session.scalars(
        select(Report)
        .where(Report.job_id == job.id, Report.paper == paper)
        .where(Report.created_at >= job.finished_at, Report.state != ReportState.FAILED)
        .order_by(Report.id.desc())
    ).first()
    if current is None:
        current = Report(job_id=job.id, paper=paper)
        session.add(current)
        session.flush()
    return current


def claim(session: Session, report_id: int, seconds: float) -> ReportClaim | None:
    """Take the report for ``seconds``, or return None if it is made or another's."""
    row = session.execute(
        update(Report)
        .where(
            Report.id == report_id,
            or_(
                Report.state == ReportState.WAITING,
                and_(Report.state == ReportState.MAKING, Report.lease_until < clock()),
            ),
        )
        .values(
            state=ReportState.MAKING,
            attempt=Report.attempt + 1,
            fence=Report.fence + 1,
            lease_until=clock() + seconds,
        )
        .returning(Report.id, Report.job_id, Report.paper, Report.fence)
        .execution_options(synchronize_session=False)
    ).first()
    return ReportClaim(*row) if row else None


def renew(session: Session, claim: ReportClaim, seconds: float) -> bool:
    """Lengthen the lease; False if it is no longer ours."""
    return _update(session, claim, lease_until=clock() + seconds)


def finish(session: Session, claim: ReportClaim, blob_key: str) -> None:
    """Note where the finished PDF is. Raises `LeaseLost`."""
    done = _update(
        session,
        claim,
        state=ReportState.READY,
        blob_key=blob_key,
        finished_at=utcnow(),
        lease_until=None,
    )
    if not done:
        raise LeaseLost(f"Report {claim.report_id} belongs to another worker now.")


def fail(session: Session, claim: ReportClaim, message: str) -> None:
    """Note that the report can't be made, and why."""
    _update(session, claim, state=ReportState.FAILED, message=message[:400], lease_until=None)


def _update(session: Session, claim: ReportClaim, **values: object) -> bool:
    updated = session.scalar(
        update(Report)
        .where(Report.id == claim.report_id, Report.fence == claim.fence)
        .where(Report.state == ReportState.MAKING)
        .values(**values)
        .returning(Report.id)
        .execution_options(synchronize_session=False)
    )
    return updated is not None


def take_back(session: Session, max_attempts: int) -> int:
    """Put reports whose worker died back into the queue, or fail them for good."""
    gone = session.scalars(
        select(Report)
        .where(Report.state == ReportState.MAKING, Report.lease_until < clock())
        .with_for_update(skip_locked=True)
    ).all()
    for report in gone:
        spent = report.attempt >= max_attempts
        report.state = ReportState.FAILED if spent else ReportState.WAITING
        report.message = "Making the report stopped the worker each time." if spent else None
        report.fence, report.lease_until, report.published_at = report.fence + 1, None, None
    return len(gone)
