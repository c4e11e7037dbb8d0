"""What people do on the pages and by the API stands in the audit trail."""

from __future__ import annotations

import pytest
from flask import Flask
from sqlalchemy import text, update
from sqlalchemy.exc import OperationalError

from core import audit
from core.blobs import MemoryBlobs
from core.db import Database
from core.states import MakingState
from core.tables import Report
from tests.web.conftest import Api, Classify, Png, SignIn, Submitted
from tests.web.test_pages import addresses
from tests.web.test_sign_in import trail_of

A = "a@laboratory.test"
DOCTOR = "doctor@clinic.test"


@pytest.fixture
def job(
    submitted: Submitted,
    classify: Classify,
    png: Png,
    api: Api,
    database: Database,
    blobs: MemoryBlobs,
) -> int:
    """A finished job of laboratory A with a report."""
    blobs.put("report", b"%PDF")
    made = submitted({"a.png": png(1), "b.png": png(2)})
    classify()
    api("POST", f"/jobs/{made}/reports", json={"paper": "A4"})
    with database.writing() as session:
        session.execute(update(Report).values(state=MakingState.READY, blob_key="report"))
    return made


def _read(database: Database) -> list[tuple[str, str]]:
    """Return what was handed over, and to whom."""
    with database.reading() as session:
        kinds = {"result_read", "exported", "report_downloaded"}
        entries = [entry for entry in audit.newest(session, 100) if entry.action in kinds]
    return [(entry.action, entry.actor) for entry in reversed(entries)]


def test_every_way_to_a_result_is_written_down(
    app: Flask, job: int, sign_in: SignIn, database: Database
) -> None:
    """Each by a person who has read nothing before: a page that is added tomorrow included."""
    doctor = sign_in(DOCTOR)
    ways = [path for path in addresses(app) if "/jobs/1" in path or "/images/1" in path]
    ways += [path for path in addresses(app) if "/reports/1" in path]
    assert len(ways) > 12
    for path in ways:
        app.extensions["hematovision"].readings.forget(3, job)
        before = len(_read(database))
        doctor.get(path)
        noted = _read(database)[before:]
        assert noted and all(who == DOCTOR for _, who in noted), path


def test_a_job_that_is_looked_at_all_the_time_is_one_entry_an_hour(
    job: int, sign_in: SignIn, database: Database
) -> None:
    doctor = sign_in(DOCTOR)
    for _ in range(3):
        for path in (f"/jobs/{job}", f"/jobs/{job}/summary", "/images/1", "/images/2"):
            assert doctor.get(path).status_code == 200
    assert _read(database) == [("result_read", DOCTOR)]


def test_what_nobody_may_see_is_no_reading(job: int, sign_in: SignIn, database: Database) -> None:
    sign_in("b@laboratory.test").get(f"/jobs/{job}")
    assert _read(database) == []


def test_every_export_and_download_is_an_entry_of_its_own(
    job: int, api: Api, database: Database
) -> None:
    for path in ("/jobs/1/results.csv", "/jobs/1/results.json", "/reports/1/pdf") * 2:
        assert api("GET", path).status_code == 200
    assert [action for action, _ in _read(database)] == [
        "exported",
        "exported",
        "report_downloaded",
    ] * 2
    with database.reading() as session:
        assert audit.newest(session, 1)[0].session == "token 1"


def test_what_is_done_to_a_job_is_written_down(job: int, api: Api, database: Database) -> None:
    for action in ("run-again", "cancel"):
        assert api("POST", f"/jobs/{job}/{action}", json={}).status_code == 200
    of_job = [action for action, subject in trail_of(database) if subject == f"job {job}"]
    assert [action for action in of_job if action != "result_read"] == [
        "job_submitted",
        "job_retried",
        "job_cancelled",
    ]


def test_a_trail_that_can_not_be_written_keeps_nobody_from_a_result(
    job: int, sign_in: SignIn, database: Database, caplog: pytest.LogCaptureFixture
) -> None:
    doctor = sign_in(DOCTOR)
    with database.writing() as session:
        session.execute(text("ALTER TABLE audit RENAME TO away"))
    with pytest.raises(OperationalError), database.writing() as session:
        audit.note(session, audit.Action.EXPORTED, audit.SYSTEM)
    assert doctor.get(f"/jobs/{job}").status_code == 200
    assert f"read job {job}: this could not be written down" in caplog.text
    with database.writing() as session:
        session.execute(text("ALTER TABLE away RENAME TO audit"))
    assert doctor.get(f"/jobs/{job}").status_code == 200
    assert _read(database) == [("result_read", DOCTOR)]
