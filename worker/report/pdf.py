"""Makes a report, from its claim to its bytes in the store."""

from __future__ import annotations

from collections.abc import Iterator
from typing import BinaryIO

from reportlab.platypus import Flowable
from sqlalchemy.orm import Session

from core.db import utcnow
from core.errors import BlobMissing, Conflict
from core.jobs import Work
from core.made import derivatives, making, reports
from core.made.reports import ReportClaim
from core.tables import Job
from worker.copies import smaller
from worker.deriving import make_copies
from worker.lease import Lease, making_ordered
from worker.process import WorkerProcess
from worker.report import contents, page, typeface
from worker.report.contents import ReportedJob
from worker.report.flowables import Unroll
from worker.report.story import story

THUMBNAIL_SIDE = 96


def make_report(process: WorkerProcess, report_id: int) -> bool:
    """Make one PDF and store it; False if it is done or taken by another worker."""
    with process.database.writing() as session:
        claim = reports.claim(session, report_id, process.name, process.settings.lease_seconds)
    if claim is None:
        return False
    with making_ordered(process, claim) as lease:
        key, job = _make(process, claim, lease)
        _hand_over(process, claim, key, job)
    return True


def _make(process: WorkerProcess, claim: ReportClaim, lease: Lease) -> tuple[str, ReportedJob]:
    """Write the PDF into the store, under a new key for each attempt."""
    key = f"reports/{claim.id}-{claim.fence}.pdf"
    with process.database.reading() as session, process.blobs.stage() as staging:
        job = contents.read(session, session.get_one(Job, claim.job_id))
        if job.finished_at is None:
            raise Conflict("The job is running again. Order the report once it has ended.")
        write(staging.file, session, job, process, claim.paper, lease)
        staging.keep(key)
    return key, job


def write(
    out: BinaryIO,
    session: Session,
    job: ReportedJob,
    process: WorkerProcess,
    paper: str,
    lease: Lease,
) -> None:
    """Write a job's report as a PDF. Raises `LeaseLost` if another worker has it now."""
    typeface.register()
    reference = f", reference {job.reference}" if job.reference else ""
    running = page.Running(
        laboratory=process.settings.laboratory,
        title=job.name,
        subtitle=f"Job {job.id}{reference}",
        model=_models(job),
        made_at=utcnow(),
    )
    parts = story(session, job, lambda sha256: _picture(process, sha256))
    document = page.document(out, paper, running)
    document.build([Unroll(_checked(parts, lease))], canvasmaker=page.NumberedCanvas)


def _checked(parts: Iterator[Flowable], lease: Lease) -> Iterator[Flowable]:
    for part in parts:
        lease.check()
        yield part


def _models(job: ReportedJob) -> str:
    if not job.models:
        return "No model"
    return "; ".join(
        f"Model {model.name} {model.version}, {model.digest[:16]}" for model in job.models
    )


def _picture(process: WorkerProcess, sha256: str) -> bytes | None:
    """Return a small copy, made from the image if missing; None if there can't be one."""
    try:
        if not derivatives.exist(process.blobs, sha256):
            make_copies(process, Work(0, sha256))
        return smaller(derivatives.read(process.blobs, sha256).tile, THUMBNAIL_SIDE)
    except (BlobMissing, Conflict):
        return None


def _hand_over(process: WorkerProcess, claim: ReportClaim, key: str, job: ReportedJob) -> None:
    """Hand the PDF over, unless the job has changed since it was read."""
    with process.database.writing() as session:
        if session.get_one(Job, claim.job_id).finished_at != job.finished_at:
            raise Conflict("The job was run again in the meantime. Order the report again.")
        making.finish(session, claim, key)
