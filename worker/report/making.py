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
from worker.deriving import smaller
from worker.lease import Lease, making_ordered
from worker.process import WorkerProcess
from worker.report import findings, page, typeface
from worker.report.findings import Findings
from worker.report.flowables import Unroll
from worker.report.story import story
from worker.showing import make_copies

THUMBNAIL_SIDE = 96


def make_report(process: WorkerProcess, report_id: int) -> bool:
    """Make one PDF and store it; False if it is done or taken by another worker."""
    with process.database.writing() as session:
        claim = reports.claim(session, report_id, process.name, process.settings.lease_seconds)
    if claim is None:
        return False
    with making_ordered(process, claim) as lease:
        key, found = _make(process, claim, lease)
        _finish(process, claim, key, found)
    return True


def _make(process: WorkerProcess, claim: ReportClaim, lease: Lease) -> tuple[str, Findings]:
    """Write the PDF into the store, under a new key for each attempt."""
    key = f"reports/{claim.id}-{claim.fence}.pdf"
    with process.database.reading() as session, process.blobs.stage() as staging:
        found = _read(session, claim.job_id)
        write(staging.file, session, found, process, claim.paper, lease)
        staging.keep(key)
    return key, found


def _read(session: Session, job_id: int) -> Findings:
    job = session.get_one(Job, job_id)
    if job.finished_at is None:
        raise Conflict("The job is running again. Order the report once it has ended.")
    return findings.read(session, job)


def write(
    out: BinaryIO,
    session: Session,
    found: Findings,
    process: WorkerProcess,
    paper: str,
    lease: Lease,
) -> None:
    """Write a job's report as a PDF. Raises `LeaseLost` if another worker has it now."""
    typeface.register()
    reference = f", reference {found.reference}" if found.reference else ""
    running = page.Running(
        laboratory=process.settings.laboratory,
        title=found.name,
        subtitle=f"Job {found.job_id}{reference}",
        model=_models(found),
        made_at=utcnow(),
    )
    parts = story(session, found, lambda sha256: _picture(process, sha256))
    document = page.document(out, paper, running)
    document.build([Unroll(_checked(parts, lease))], canvasmaker=page.NumberedCanvas)


def _checked(parts: Iterator[Flowable], lease: Lease) -> Iterator[Flowable]:
    for part in parts:
        lease.check()
        yield part


def _models(found: Findings) -> str:
    if not found.models:
        return "No model"
    return "; ".join(f"Model {m.name} {m.version}, {m.digest[:16]}" for m in found.models)


def _picture(process: WorkerProcess, sha256: str) -> bytes | None:
    """Return a small copy, made from the image if missing; None if there can't be one."""
    try:
        if not derivatives.exist(process.blobs, sha256):
            make_copies(process, Work(0, sha256))
        return smaller(derivatives.read(process.blobs, sha256).tile, THUMBNAIL_SIDE)
    except (BlobMissing, Conflict):
        return None


def _finish(process: WorkerProcess, claim: ReportClaim, key: str, found: Findings) -> None:
    """Hand the PDF over, unless the job has changed since it was read."""
    with process.database.writing() as session:
        if session.get_one(Job, claim.job_id).finished_at != found.finished_at:
            raise Conflict("The job was run again in the meantime. Order the report again.")
        making.finish(session, claim, key)
