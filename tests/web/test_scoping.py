"""Laboratory A knows nothing of B, a clinician looks, an administrator acts."""

from __future__ import annotations

import pytest
from sqlalchemy import update

from core.db import Database
from core.people.accounts import RoleName
from core.states import MakingState
from core.tables import Report
from tests.web.conftest import Api, Classify, Png, SignIn, Submitted, content

B = "b@laboratory.test"
DOCTOR = "doctor@clinic.test"
ADMIN = "admin@localhost"
READS = (
    "/jobs/{job}",
    "/jobs/{job}/images",
    "/jobs/{job}/problems",
    "/jobs/{job}/skipped",
    "/jobs/{job}/results.csv",
    "/jobs/{job}/results.json",
    "/images/1",
    "/reports/1",
    "/reports/1/pdf",
)
PAGES = (
    "/jobs/{job}",
    "/jobs/{job}/summary",
    "/jobs/{job}/gallery",
    "/images/1",
    "/images/1/thumbnail/192",
    "/reports/1",
)
ACTIONS = ("submit", "cancel", "retry", "run-again", "manifest")


@pytest.fixture
def job(submitted: Submitted, classify: Classify, png: Png, api: Api, database: Database) -> int:
    """A finished job of laboratory A with a report."""
    made = submitted({"a.png": png(1)})
    classify()
    api("POST", f"/jobs/{made}/reports", json={"paper": "A4"})
    with database.writing() as session:
        session.execute(update(Report).values(state=MakingState.READY, blob_key="gone"))
    return made


def test_another_laboratory_finds_nothing(api: Api, job: int, sign_in: SignIn) -> None:
    for path in READS:
        answer = api("GET", path.format(job=job), B)
        assert answer.status_code == 404, path
    browser = sign_in(B)
    for path in PAGES:
        assert browser.get(path.format(job=job)).status_code == 404, path
    assert content(api("GET", "/jobs", B))["jobs"] == []
    assert "Slide 7" not in browser.get("/jobs").text


def test_another_laboratory_changes_nothing(api: Api, job: int, sign_in: SignIn) -> None:
    for action in ACTIONS:
        answer = api("POST", f"/jobs/{job}/{action}", B, json={"files": []})
        assert answer.status_code == 404, action
    assert api("POST", f"/jobs/{job}/reports", B, json={}).status_code == 404
    assert api("PUT", f"/jobs/{job}/images/1", B, data=b"x").status_code == 404
    browser = sign_in(B)
    for action in ("cancel", "submit", "report"):
        assert browser.submit(f"/jobs/{job}/{action}").status_code == 404


def test_a_clinician_sees_every_job_and_handles_none(api: Api, job: int, sign_in: SignIn) -> None:
    for path in READS[:-1]:
        assert api("GET", path.format(job=job), DOCTOR).status_code == 200, path
    for action in ACTIONS:
        answer = api("POST", f"/jobs/{job}/{action}", DOCTOR, json={"files": []})
        assert answer.status_code == 403, action
    page = sign_in(DOCTOR).get(f"/jobs/{job}").text
    assert "Run again" not in page
    assert "PDF report" in page


def test_an_administrator_handles_every_job(api: Api, job: int, sign_in: SignIn) -> None:
    answer = api("POST", f"/jobs/{job}/run-again", ADMIN, json={})
    assert content(answer)["state"] == "queued"
    assert "Cancel the job" in sign_in(ADMIN).get(f"/jobs/{job}").text


def test_only_administrators_manage_people(sign_in: SignIn) -> None:
    assert sign_in(ADMIN).get("/people").status_code == 200
    for email in ("a@laboratory.test", DOCTOR):
        browser = sign_in(email)
        assert browser.get("/people").status_code == 403
        form = {"email": "x@y.z", "role": RoleName.ADMINISTRATOR, "password": "long enough it is"}
        assert browser.submit("/people", form).status_code == 403
        assert browser.submit("/people/1/deactivate").status_code == 403
        assert "People" not in browser.get("/jobs").text


def test_a_missing_pdf_is_not_a_fault(api: Api, job: int) -> None:
    answer = api("GET", "/reports/1/pdf")
    assert (answer.status_code, content(answer)["error"]["code"]) == (404, "blob_missing")
