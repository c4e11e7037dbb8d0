"""Requests that are repeated because their answer got lost."""

from __future__ import annotations

import io
import re

import pytest
from sqlalchemy import func, select

from core.db import Database
from core.tables import Job
from tests.web.conftest import Api, Browser, Classify, Png, Submitted, content, on_both

KEY = {"Idempotency-Key": "8e03978e-40d5-43e8-bc93-6894a57f9324"}


def jobs_of(database: Database) -> int:
    """Return how many jobs there are."""
    with database.reading() as session:
        return session.scalar(select(func.count()).select_from(Job)) or 0


@on_both
def test_a_repeated_request_opens_one_job(laboratory: Browser, database: Database) -> None:
    def ask(body: dict[str, str], **headers: str) -> tuple[int, dict[str, object]]:
        token = {"X-CSRFToken": laboratory.csrf}
        answer = laboratory.client.post("/api/v1/jobs", json=body, headers=token | KEY | headers)
        return answer.status_code, content(answer)

    status, first = ask({"name": "Slide 7"})
    assert status == 201
    assert ask({"name": "Slide 7"}) == (201, first)
    quoted = {"Idempotency-Key": f'"{KEY["Idempotency-Key"]}"'}
    assert ask({"name": "Slide 7"}, **quoted) == (201, first)
    status, refused = ask({"name": "Slide 8"})
    assert status == 422 and "another request" in str(refused)
    assert ask({"name": "Slide 7"}, **{"Idempotency-Key": "another"})[1]["id"] != first["id"]
    assert jobs_of(database) == 2


@pytest.mark.parametrize("key", ["", "x" * 256, "ключ", "a b"])
def test_a_key_that_can_not_be_kept_is_refused(laboratory: Browser, key: str) -> None:
    headers = {"X-CSRFToken": laboratory.csrf, "Idempotency-Key": key.encode().decode("latin-1")}
    answer = laboratory.client.post("/api/v1/jobs", json={}, headers=headers)
    assert answer.status_code == 400 and "Idempotency-Key" in answer.text


def test_a_repeated_run_runs_once(
    laboratory: Browser, submitted: Submitted, classify: Classify, png: Png
) -> None:
    job = submitted({"a.png": png()})
    classify()
    headers = {"X-CSRFToken": laboratory.csrf} | KEY
    path = f"/api/v1/jobs/{job}/run-again"
    assert laboratory.client.post(path, json={}, headers=headers).status_code == 200
    classify()
    ended = laboratory.client.post(path, json={}, headers=headers)
    assert (ended.status_code, content(ended)["state"]) == (200, "finished")
    assert (
        laboratory.client.post(
            path, json={}, headers=headers | {"Idempotency-Key": "2"}
        ).status_code
        == 200
    )
    repeated = laboratory.client.post(f"/api/v1/jobs/{job}/cancel", json={}, headers=headers)
    assert repeated.status_code == 422


def test_a_form_sent_twice_makes_one_job(laboratory: Browser, png: Png, database: Database) -> None:
    key = re.search(r'name="once" value="([^"]+)"', laboratory.get("/").text)
    assert key

    def send(shade: int) -> str:
        image = (io.BytesIO(png(shade)), "cell.png")
        return laboratory.submit("/predict", {"once": key[1], "image": image}).location

    assert send(1) == send(1)
    assert jobs_of(database) == 1
    assert send(2) != send(1)
    assert jobs_of(database) == 2


def test_without_a_key_each_request_is_a_new_one(api: Api, database: Database) -> None:
    for _ in range(2):
        assert api("POST", "/jobs", json={"name": "Slide 7"}).status_code == 201
    assert jobs_of(database) == 2
