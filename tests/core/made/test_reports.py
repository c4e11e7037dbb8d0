"""A report's life: ordered, claimed, made or failed, and taken back from the dead."""

from __future__ import annotations

import pytest
from sqlalchemy import update

from core import leases
from core.errors import Conflict, LeaseLost
from core.made import making, reports
from core.made.reports import ReportClaim
from core.queue import REPORT
from core.states import Lane, MakingState
from core.tables import Job, Report
from tests.core.conftest import Life


def _order(life: Life, job_id: int, paper: str = "A4") -> Report:
    with life.database.writing() as session:
        return reports.order(session, session.get_one(Job, job_id), paper)


def _claim(life: Life, report: Report) -> ReportClaim | None:
    with life.database.writing() as session:
        return reports.claim(session, report.id, "w:1", 60.0)


def _claimed(life: Life, report: Report) -> ReportClaim:
    claim = _claim(life, report)
    assert claim is not None
    return claim


def _finish(life: Life, claim: ReportClaim) -> None:
    with life.database.writing() as session:
        making.finish(session, claim, "reports/1.pdf")


def _let_lease_run_out(life: Life, report: Report) -> None:
    with life.database.writing() as session:
        session.execute(update(Report).where(Report.id == report.id).values(lease_until=1.0))


def _read(life: Life, report: Report) -> Report:
    with life.database.reading() as session:
        return session.get_one(Report, report.id)


@pytest.fixture
def job_id(life: Life) -> int:
    """Return a job that has finished."""
    job_id = life.submitted(1)
    life.work_off()
    return job_id


def test_a_report_is_made_once_the_job_has_ended(life: Life) -> None:
    job_id = life.submitted(1)
    with pytest.raises(Conflict, match="once the job has ended"):
        _order(life, job_id)
    life.cancel(job_id)
    assert _order(life, job_id).state is MakingState.WAITING


def test_a_report_comes_on_known_paper_only(life: Life, job_id: int) -> None:
    with pytest.raises(Conflict, match="A4 or Letter"):
        _order(life, job_id, "papyrus")
    assert _order(life, job_id, "A4").id != _order(life, job_id, "Letter").id


def test_a_report_is_made_by_one_and_then_ready_for_all(life: Life, job_id: int) -> None:
    report = _order(life, job_id)
    claim = _claimed(life, report)
    assert (claim.job_id, claim.paper) == (job_id, "A4")
    assert _claim(life, report) is None
    _finish(life, claim)
    ready = _read(life, report)
    assert (ready.state, ready.blob_key) == (MakingState.READY, "reports/1.pdf")
    assert ready.finished_at is not None
    assert _claim(life, report) is None
    assert _order(life, job_id).id == report.id


def test_a_job_that_was_run_again_gets_a_new_report(life: Life, job_id: int) -> None:
    report = _order(life, job_id)
    _finish(life, _claimed(life, report))
    life.run_again(job_id)
    life.work_off()
    assert _order(life, job_id).id != report.id


def test_a_report_that_failed_can_be_wanted_again(life: Life, job_id: int) -> None:
    report = _order(life, job_id)
    with life.database.writing() as session:
        claim = reports.claim(session, report.id, "w:1", 60.0)
        assert claim is not None
        making.fail(session, claim, "x" * 1_000)
    failed = _read(life, report)
    assert (failed.state, failed.message) == (MakingState.FAILED, "x" * 400)
    assert _order(life, job_id).id != report.id


def test_one_who_lost_the_lease_neither_renews_nor_finishes_nor_fails(
    life: Life, job_id: int
) -> None:
    report = _order(life, job_id)
    zombie = _claimed(life, report)
    _let_lease_run_out(life, report)
    holder = _claimed(life, report)
    with life.database.writing() as session:
        assert not leases.renew(session, zombie, 60.0)
        assert leases.renew(session, holder, 60.0)
        making.fail(session, zombie, "No.")
    with pytest.raises(LeaseLost):
        _finish(life, zombie)
    assert _read(life, report).state is MakingState.MAKING
    _finish(life, holder)


def test_a_report_is_rung_for_and_taken_back_from_the_dead(life: Life, job_id: int) -> None:
    report = _order(life, job_id)
    life.sweep()
    assert life.queue.rung == [(REPORT, report.id, Lane.REPORTS)]
    assert life.sweep().rung == 0
    for _ in range(life.settings.max_attempts):
        assert _read(life, report).state is MakingState.WAITING
        _claimed(life, report)
        _let_lease_run_out(life, report)
        assert life.sweep().lost == 1
    failed = _read(life, report)
    assert failed.state is MakingState.FAILED
    assert failed.message is not None
