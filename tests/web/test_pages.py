"""Every page answers every role, says what to do when it is empty, and is closed to strangers."""

from __future__ import annotations

import io

import pytest
from flask import Flask
from flask.testing import FlaskClient

from tests.web.conftest import Browser, Classify, Png, SignIn, Submitted, content, on_both

IDS = ("job_id", "image_id", "report_id", "token_id", "user_id", "sign_in_id")
PEOPLE = ["a@laboratory.test", "b@laboratory.test", "doctor@clinic.test", "admin@localhost"]


def addresses(app: Flask) -> list[str]:
    """Return an address for every GET route, ids filled in with 1."""
    paths = []
    for rule in app.url_map.iter_rules():
        values = {"side": 192, "secret": "no-such", "filename": "app.css", "name": "heat"}
        values |= dict.fromkeys((*IDS, "index"), 1)
        if "GET" in (rule.methods or ()):
            with app.test_request_context():
                _, path = rule.build({k: values[k] for k in rule.arguments}) or ("", "")
            paths.append(path)
    assert len(paths) > 20
    return paths


@pytest.mark.parametrize("email", PEOPLE)
def test_no_page_fails_before_there_is_anything(app: Flask, sign_in: SignIn, email: str) -> None:
    browser = sign_in(email)
    for path in addresses(app):
        assert browser.get(path).status_code in {200, 302, 401, 403, 404}, path


@pytest.mark.parametrize("email", PEOPLE)
def test_no_page_fails_over_a_job_with_everything_in_it(
    app: Flask, sign_in: SignIn, submitted: Submitted, classify: Classify, png: Png, email: str
) -> None:
    job = submitted({"1.png": png(1), "2.png": png(2), "3.png": png(2), "4.png": b"no image"})
    classify()
    sign_in("a@laboratory.test").call("POST", f"/jobs/{job}/reports", {"paper": "A4"})
    browser = sign_in(email)
    for path in addresses(app):
        status = browser.get(path).status_code
        # 202: a picture that is still to be made.
        seen = {200, 202, 302, 404} if email != "b@laboratory.test" else {200, 302, 403, 404}
        assert status in seen | {401, 403, 409}, path


def test_strangers_are_sent_to_sign_in_and_back(client: FlaskClient, app: Flask) -> None:
    answer = client.get("/jobs?state=running")
    assert answer.status_code == 302
    assert answer.location == "/sign-in?next=/jobs?state%3Drunning"
    for path in addresses(app):
        status = client.get(path, buffered=True).status_code
        opened = ("/sign-in", "/static/", "/bootstrap/", "/healthz")
        if not path.startswith(opened):
            assert status in {302, 401, 404}, path


def test_a_new_person_is_told_where_to_begin(laboratory: Browser) -> None:
    assert "Nothing has been submitted yet" in laboratory.get("/").text
    assert "There are no jobs yet" in laboratory.get("/jobs").text
    assert "You have no token yet" in laboratory.get("/account").text


def test_every_result_page_carries_the_notice(
    laboratory: Browser, submitted: Submitted, classify: Classify, png: Png
) -> None:
    job = submitted({"1.png": png(1)})
    classify()
    for path in (f"/jobs/{job}", "/images/1"):
        assert "Not for diagnostic use without review" in laboratory.get(path).text


def test_a_job_page_shows_counts_classes_and_problems(
    laboratory: Browser, submitted: Submitted, classify: Classify, png: Png
) -> None:
    job = submitted({f"{i}.png": png(i) for i in range(8)} | {"bad.png": b"nonsense"})
    classify()
    page = laboratory.get(f"/jobs/{job}").text
    for words in ("Finished", "Differential", "Neutrophil", "Refused", "95 % interval"):
        assert words in page
    assert "nonsense" not in page
    refused = laboratory.get(f"/jobs/{job}/gallery?state=refused").text
    assert "bad.png" in refused
    assert "not an image that can be read" in refused


def test_an_image_page_names_class_model_and_neighbours(
    laboratory: Browser, submitted: Submitted, classify: Classify, png: Png
) -> None:
    submitted({f"{i}.png": png(i) for i in range(9)})
    classify()
    page = laboratory.get("/images/5?class=lymphocyte").text
    assert "Lymphocyte" in page
    assert "wbc4 1.0" in page
    assert "/images/1?class=lymphocyte" in page
    assert "/images/9?class=lymphocyte" in page


def test_one_image_is_predicted_from_a_plain_form(
    laboratory: Browser, classify: Classify, png: Png
) -> None:
    answer = laboratory.submit("/predict", {"image": (io.BytesIO(png(3)), "cell.png")})
    assert answer.status_code == 302
    waiting = laboratory.get(answer.location).text
    assert "Waiting for its turn" in waiting
    assert 'http-equiv="refresh"' in waiting
    classify()
    assert "Lymphocyte" in laboratory.get(answer.location).text


def test_a_plain_form_says_what_was_wrong(laboratory: Browser) -> None:
    for form in ({}, {"image": (io.BytesIO(b"text"), "cell.png")}):
        assert laboratory.submit("/predict", form).location == "/"
    page = laboratory.get("/").text
    assert "Choose an image first." in page
    assert "not an image that can be read" in page
    assert content(laboratory.call("GET", "/jobs"))["jobs"] == []


def test_a_plain_form_that_is_too_large_is_refused_with_a_page(laboratory: Browser) -> None:
    answer = laboratory.submit("/predict", {"image": (io.BytesIO(b"x" * 470_000), "scan.png")})
    assert answer.status_code == 413
    assert "too large" in answer.text


def test_the_list_of_jobs_is_filtered_by_state_and_text(
    laboratory: Browser, submitted: Submitted, classify: Classify, png: Png
) -> None:
    submitted({"1.png": png(1)})
    laboratory.call("POST", "/jobs", {"name": "100% <b>bold</b>", "reference": "R-1"})
    assert "&lt;b&gt;" in laboratory.get("/jobs?q=100%25").text
    assert "Slide 7" not in laboratory.get("/jobs?q=r-1").text
    assert "Slide 7" not in laboratory.get("/jobs?state=receiving").text
    assert "Slide 7" in laboratory.get("/jobs?state=queued&q=slide").text
    assert "No matching jobs" in laboratory.get("/jobs?q=%00nothing%25_").text
    assert laboratory.get("/jobs?state=sleeping").status_code == 400


def test_a_half_sent_job_is_offered_again(laboratory: Browser, png: Png) -> None:
    job = content(laboratory.call("POST", "/jobs", {"name": "Half"}))["id"]
    files = [{"name": "1.png", "size": 100, "sha256": None}]
    laboratory.call("POST", f"/jobs/{job}/manifest", {"files": files})
    assert "Half" in laboratory.get("/").text
    page = laboratory.get(f"/jobs/{job}").text
    assert "1 announced file has not arrived" in page
    assert "Submit without the missing files" in page
    answer = laboratory.submit(f"/jobs/{job}/submit")
    assert answer.location == f"/jobs/{job}"
    assert "The file never arrived" in laboratory.get(f"/jobs/{job}?state=refused").text


@on_both
def test_an_id_no_database_holds_is_simply_not_found(laboratory: Browser) -> None:
    for path in (f"/jobs/{2**31 - 1}", f"/jobs/{2**31}", f"/images/{2**63 - 1}"):
        assert laboratory.get(path).status_code == 404
    for path in (f"/jobs/{2**63}", f"/images/{10**30}", "/jobs/-1", "/images/1/thumbnail/100"):
        assert laboratory.get(path).status_code == 404
