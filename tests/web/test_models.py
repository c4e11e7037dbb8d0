"""The models as an administrator handles them, and as a job is given to one."""

from __future__ import annotations

import io
import logging
from collections.abc import Callable
from dataclasses import replace

import pytest
from sqlalchemy.orm import Session

from core import audit, jobs, registry
from core.db import Database, clock
from core.registry import BundleFacts
from core.states import ModelState
from core.tables import Model, Worker
from lexicon.outcomes import Outcome
from lexicon.verdicts import Verdict
from tests.web.conftest import (
    CLASSES,
    DIGEST,
    Api,
    Browser,
    Classify,
    Png,
    SignIn,
    Submitted,
    content,
    on_both,
    open_job,
    send,
)

OTHER = "e" * 64
ADMIN = "admin@localhost"


@pytest.fixture
def admin(sign_in: SignIn) -> Browser:
    """Somebody who manages models."""
    return sign_in(ADMIN)


def facts(digest: str, version: str, classes: list[str]) -> BundleFacts:
    """Return what a bundle says."""
    scores = {"validation": {"accuracy": 0.912, "intervals": {"accuracy": {"low": 0.9, "high": 1}}}}
    few = {"few_shot": [name for name in classes if name == "platelet"], "sources": ["bccd4"]}
    return BundleFacts(digest, "wbc4", version, tuple(classes), scores, few)


@pytest.fixture
def models(database: Database) -> None:
    """An active model and a candidate of the same classes."""
    with database.writing() as session:
        registry.start_with(session, facts(DIGEST, "1.0", CLASSES))
        registry.add(session, facts(OTHER, "2.0", CLASSES))


def change(database: Database, move: Callable[[Session], object]) -> None:
    """Do something to the models."""
    with database.writing() as session:
        move(session)


def state(database: Database, digest: str) -> ModelState:
    """Return a model's state."""
    with database.reading() as session:
        return session.get_one(Model, digest).state


def test_only_administrators_manage_models(sign_in: SignIn, models: None) -> None:
    for email in ("a@laboratory.test", "doctor@clinic.test"):
        browser = sign_in(email)
        assert browser.get("/models").status_code == 403
        assert browser.submit(f"/models/{OTHER}/activate").status_code == 403
        assert browser.submit("/models/roll-back").status_code == 403
        assert 'href="/models"' not in browser.get("/").text


def test_before_any_model_the_page_says_what_to_do(admin: Browser) -> None:
    page = admin.get("/models").text
    assert "hematovision worker" in page and "hematovision model add" in page
    assert 'href="/models"' in admin.get("/").text


@on_both
def test_the_page_shows_states_scores_and_classes(
    admin: Browser, database: Database, models: None
) -> None:
    more = facts("f" * 64, "3.0", [*CLASSES, "platelet"])
    change(database, lambda session: registry.add(session, more))
    page = admin.get("/models").text
    assert "91.2 % [90.0–100.0]" in page  # noqa: RUF001
    assert page.count("in use") == 1
    assert "PL" in page and "few training images" in page
    assert "trained on bccd4" in page
    assert "Roll back" not in page


def test_who_has_a_model_loaded_is_shown(admin: Browser, database: Database, models: None) -> None:
    with database.writing() as session:
        worker = Worker(name="w:1", device="cpu", backend="x", model_digest=DIGEST, seen_at=0)
        worker.models = [DIGEST, OTHER]
        session.add(worker)
        session.flush()
        worker.seen_at = clock()
    assert admin.get("/models").text.count("loaded by 1 worker") == 2
    page = admin.get("/people").text
    assert f"wbc4 1.0 ({DIGEST[:12]}), wbc4 2.0 ({OTHER[:12]})" in page


def test_activating_rolling_back_and_retiring(
    admin: Browser, database: Database, models: None, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, logger="web")
    assert admin.submit(f"/models/{OTHER}/activate").status_code == 302
    page = admin.get("/models").text
    assert "is the active model. Jobs submitted from now on" in page
    assert "Roll back" in page
    admin.submit("/models/roll-back")
    assert state(database, DIGEST) is ModelState.ACTIVE
    admin.submit(f"/models/{OTHER}/retire")
    assert state(database, OTHER) is ModelState.RETIRED
    admin.submit(f"/models/{OTHER}/candidate")
    admin.submit(f"/models/{OTHER}/shadow")
    assert state(database, OTHER) is ModelState.SHADOW
    lines = [r.getMessage() for r in caplog.records if r.getMessage().startswith("Models:")]
    verbs = ["activate", "roll back", "retire", "candidate", "shadow"]
    assert [line.split(" eeeeeeeeeeee")[0] for line in lines if "roll" not in line] == [
        f"Models: {verb}" for verb in verbs if verb != "roll back"
    ]
    assert "Models: roll back dddddddddddd, by person" in lines[1]
    assert ADMIN not in caplog.text


def test_what_can_not_be_done_is_said(admin: Browser, models: None) -> None:
    retired = admin.submit(f"/models/{DIGEST}/retire")
    assert retired.status_code == 409 and "is the active model" in retired.text
    assert admin.submit(f"/models/{'9' * 64}/activate").status_code == 404
    assert admin.submit("/models/roll-back").status_code == 409
    assert admin.submit(f"/models/{DIGEST}/explode").status_code == 404


def test_other_classes_are_activated_only_by_one_who_says_that_they_are_meant(
    admin: Browser, database: Database, models: None
) -> None:
    more = facts("f" * 64, "3.0", [*CLASSES, "platelet"])
    change(database, lambda session: registry.add(session, more))
    assert admin.get("/models").text.count('name="other_classes"') == 1
    refused = admin.submit(f"/models/{more.digest}/activate")
    assert refused.status_code == 409 and "it adds platelet" in refused.text
    admin.submit(f"/models/{more.digest}/activate", {"other_classes": "yes"})
    assert state(database, more.digest) is ModelState.ACTIVE


def test_the_agreement_of_a_shadow_is_shown_and_its_results_are_not(
    admin: Browser,
    database: Database,
    models: None,
    submitted: Submitted,
    classify: Classify,
    png: Png,
    api: Api,
) -> None:
    job = submitted({f"{i}.png": png(i) for i in range(4)})
    classify()
    before = content(api("GET", f"/jobs/{job}"))
    verdict = Verdict("lymphocyte", 0.9, Outcome.ACCEPTED, (0.0, 1.0, 0.0, 0.0))
    change(database, lambda session: registry.shadow(session, OTHER))
    change(
        database,
        lambda session: jobs.record_shadow(session, OTHER, dict.fromkeys(range(1, 5), verdict)),
    )
    page = admin.get("/models").text
    assert "25.0 %</span> of 4 images" in page
    assert "LY 100.0 %" in page and "NE 0.0 %" in page
    assert content(api("GET", f"/jobs/{job}")) == before


def test_a_job_says_which_model_it_was_given_to(
    api: Api, models: None, png: Png, laboratory: Browser
) -> None:
    job = open_job(api)
    send(api, job, {"1.png": png(1)})
    assert content(api("GET", f"/jobs/{job}"))["model"] is None
    answer = api("POST", f"/jobs/{job}/submit", ADMIN, json={"model": "eee"})
    assert content(answer)["model"] == {"name": "wbc4", "version": "2.0", "digest": OTHER}
    assert f'<code title="{OTHER}">' in laboratory.get(f"/jobs/{job}").text


@pytest.mark.parametrize(
    ("wanted", "status"), [("9", 404), ("x%", 404), ("f", 409), ("ACTIVE", 200), ("", 200)]
)
def test_a_model_that_can_not_be_chosen_leaves_the_job_open(
    api: Api, database: Database, models: None, png: Png, wanted: str, status: int
) -> None:
    change(database, lambda session: registry.add(session, facts("f" * 64, "0.9", CLASSES)))
    change(database, lambda session: registry.retire(session, "f"))
    job = open_job(api)
    send(api, job, {"1.png": png(1)})
    answer = api("POST", f"/jobs/{job}/submit", ADMIN, json={"model": wanted})
    assert answer.status_code == status, answer.text
    opened = content(api("GET", f"/jobs/{job}"))["state"] == "receiving"
    assert opened == (status != 200)


def test_running_again_may_name_a_model(
    api: Api, models: None, submitted: Submitted, classify: Classify, png: Png
) -> None:
    job = submitted({"1.png": png(1)})
    classify()
    answer = api("POST", f"/jobs/{job}/run-again", ADMIN, json={"model": OTHER})
    assert content(answer)["model"]["digest"] == OTHER
    api("POST", f"/jobs/{job}/cancel")
    assert content(api("POST", f"/jobs/{job}/run-again"))["model"]["digest"] == DIGEST


def test_a_job_opened_for_a_model_keeps_it_until_it_is_submitted(
    api: Api, models: None, png: Png
) -> None:
    """An upload that broke off is submitted from the job's page, which knows no choice."""
    opened = api("POST", "/jobs", ADMIN, json={"name": "Broken off", "model": OTHER[:8]})
    job = content(opened)["id"]
    send(api, job, {"1.png": png(1)}, ADMIN)
    assert content(api("POST", f"/jobs/{job}/submit", ADMIN, json={}))["model"]["digest"] == OTHER
    assert api("POST", "/jobs", ADMIN, json={"model": "ffff"}).status_code == 404


def test_the_page_runs_a_job_again_under_the_model_that_is_chosen_there(
    admin: Browser, api: Api, models: None, submitted: Submitted, classify: Classify, png: Png
) -> None:
    job = submitted({"1.png": png(1)})
    classify()
    assert f'<option value="{OTHER}">' in admin.get(f"/jobs/{job}").text
    assert admin.submit(f"/jobs/{job}/run-again", {"model": OTHER}).status_code == 302
    assert content(api("GET", f"/jobs/{job}"))["model"]["digest"] == OTHER


def test_the_choice_is_shown_only_where_there_is_one(
    admin: Browser, database: Database, api: Api
) -> None:
    change(database, lambda session: registry.start_with(session, facts(DIGEST, "1.0", CLASSES)))
    assert 'name="model"' not in admin.get("/").text
    change(database, lambda session: registry.add(session, facts(OTHER, "2.0", CLASSES)))
    page = admin.get("/").text
    assert '<option value="">wbc4 1.0' in page and f'<option value="{OTHER}">wbc4 2.0' in page
    listed = content(api("GET", "/models", ADMIN))["models"]
    assert [model["digest"] for model in listed] == [DIGEST, OTHER]
    assert [line["class"] for line in listed[0]["classes"]] == CLASSES


def test_the_plain_form_sends_the_choice(
    admin: Browser, database: Database, models: None, png: Png, api: Api
) -> None:
    form = {"image": (io.BytesIO(png(3)), "3.png"), "model": OTHER}
    assert admin.submit("/predict", form).status_code == 302
    assert content(api("GET", "/jobs", ADMIN))["jobs"][0]["model"]["digest"] == OTHER


@pytest.mark.parametrize("email", ["a@laboratory.test", "doctor@clinic.test"])
def test_a_model_that_is_not_active_is_for_administrators_alone(
    api: Api, models: None, sign_in: SignIn, png: Png, submitted: Submitted, email: str
) -> None:
    """By every way in: opening a job, submitting it, running it again, the plain form."""
    browser, job = sign_in(email), open_job(api, email)
    send(api, job, {"1.png": png(1)}, email)
    for path in ("/jobs", f"/jobs/{job}/submit"):
        answer = api("POST", path, email, json={"model": OTHER[:6]})
        assert answer.status_code == 403
        assert "Only an administrator" in content(answer)["error"]["message"]
    answer = api("POST", f"/jobs/{job}/submit", email, json={"model": DIGEST[:6]})
    assert content(answer)["model"]["digest"] == DIGEST
    api("POST", f"/jobs/{job}/cancel", email)
    assert api("POST", f"/jobs/{job}/run-again", email, json={"model": OTHER}).status_code == 403
    form = {"image": (io.BytesIO(png(3)), "3.png"), "model": OTHER}
    assert browser.submit("/predict", form).status_code == 403
    assert 'name="model"' not in browser.get("/").text + browser.get(f"/jobs/{job}").text
    listed = content(api("GET", "/models", email))["models"]
    assert [model["digest"] for model in listed] == [DIGEST]


def test_every_move_of_a_model_is_noted(admin: Browser, database: Database, models: None) -> None:
    for action in ("shadow", "candidate", "retire", "candidate", "activate"):
        admin.submit(f"/models/{OTHER}/{action}", {"other_classes": "yes"})
    admin.submit("/models/roll-back")
    with database.reading() as session:
        entries = [
            entry for entry in audit.newest(session, 50) if entry.action.startswith("model_")
        ]
    assert [entry.action for entry in reversed(entries)] == [
        "model_state_changed",
        "model_state_changed",
        "model_retired",
        "model_state_changed",
        "model_activated",
        "model_rolled_back",
    ]
    assert {entry.actor for entry in entries} == {ADMIN}
    assert entries[0].subject == f"model {DIGEST}"


def test_the_page_says_who_vouches_for_a_model(admin: Browser, database: Database) -> None:
    signed = replace(facts(DIGEST, "1.0", CLASSES), signed_by="ab" * 32)
    change(database, lambda session: registry.start_with(session, signed))
    change(database, lambda session: registry.add(session, facts(OTHER, "2.0", CLASSES)))
    page = admin.get("/models").text
    assert page.count("signed by <code") == 1
    assert page.count("not signed") == 1
