"""CSRF, headers, body limits, request ids, and what a web process may load."""

from __future__ import annotations

import logging
import re
import subprocess
import sys
import time

import pytest
from flask import Flask, request
from flask.testing import FlaskClient

from core.blobs import MemoryBlobs
from core.db import Database
from core.errors import ConfigurationError
from core.installation import Installation
from core.people import accounts
from core.queue import MemoryQueue
from core.settings import Settings
from tests.web.conftest import Api, Browser, content, csrf_of, open_job
from web import create_app

IDS = ("job_id", "image_id", "token_id", "user_id", "sign_in_id")
HEAVY = ("tensorflow", "onnxruntime", "numpy", "reportlab", "keras", "ml", "worker")


def test_importing_web_loads_no_network_and_no_pdf_maker() -> None:
    code = (
        "import sys, web, web.serving.server, web.pages, web.api; web.pages.blueprints();"
        f"web.api.blueprints(); print([n for n in {HEAVY!r} if n in sys.modules])"
    )
    ended = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert ended.stdout.strip() == "[]"


def test_every_form_is_refused_without_its_token(app: Flask, laboratory: Browser) -> None:
    checked = 0
    for rule in app.url_map.iter_rules():
        writing = (rule.methods or set()) & {"POST", "PUT", "DELETE", "PATCH"}
        if not writing:
            continue
        action = "cancel" if "cancel" in rule.rule else "activate"
        values = {"action": action, "digest": "0" * 64, "secret": "no-such"} | dict.fromkeys(IDS, 1)
        with app.test_request_context():
            _, path = rule.build({k: values[k] for k in rule.arguments}) or ("", "")
        for method in writing:
            answer = laboratory.client.open(path, method=method)
            assert answer.status_code == 400, path
            assert "open for too long" in answer.text, path
            checked += 1
    assert checked > 15


def test_a_token_of_another_session_is_refused(laboratory: Browser, client: FlaskClient) -> None:
    foreign = csrf_of(client.get("/sign-in").text)
    answer = laboratory.client.post("/account/tokens", data={"name": "x", "csrf_token": foreign})
    assert answer.status_code == 400


@pytest.mark.parametrize(
    "path", ["/sign-in", "/jobs", "/static/app.css", "/api/v1/jobs", "/nowhere", "/healthz"]
)
def test_every_answer_carries_the_security_headers(laboratory: Browser, path: str) -> None:
    headers = laboratory.get(path).headers
    policy = headers["Content-Security-Policy"]
    assert "default-src 'none'" in policy
    assert "frame-ancestors 'none'" in policy
    assert "unsafe" not in policy
    assert headers["X-Content-Type-Options"] == "nosniff"
    assert headers["Referrer-Policy"] == "same-origin"


def test_pages_hold_no_inline_script_or_style(app: Flask, laboratory: Browser) -> None:
    for path in ("/", "/jobs", "/account", "/sign-in"):
        page = laboratory.get(path, follow_redirects=True).text
        assert not re.search(r"<script(?![^>]*\bsrc=)", page), path
        assert not re.search(r"<style|\sstyle=|\son[a-z]+=", page), path
        assert "//" not in re.sub(r"http://localhost/|http://www.w3.org", "", page), path


def test_cookies_are_out_of_reach_of_scripts_and_foreign_pages(client: FlaskClient) -> None:
    cookie = client.get("/sign-in").headers["Set-Cookie"]
    assert "HttpOnly" in cookie
    assert "SameSite=Lax" in cookie
    assert "Secure" not in cookie


def test_cookies_are_secure_where_the_setting_says_so(
    settings: Settings, database: Database
) -> None:
    secure = settings.model_copy(update={"secure_cookies": True})
    app = create_app(Installation(secure, database, MemoryBlobs(), MemoryQueue()))
    assert "Secure" in app.test_client().get("/sign-in").headers["Set-Cookie"]


def test_a_short_secret_key_is_a_clear_error(settings: Settings, database: Database) -> None:
    weak = settings.model_copy(update={"secret_key": "short"})
    with pytest.raises(ConfigurationError, match="SECRET_KEY must be at least 32 random"):
        create_app(Installation(weak, database, MemoryBlobs(), MemoryQueue()))


def test_forwarded_addresses_count_only_behind_trusted_proxies(
    settings: Settings, database: Database, client: FlaskClient
) -> None:
    header = {"X-Forwarded-Proto": "https", "X-Forwarded-Host": "evil.test"}
    trusting = settings.model_copy(update={"trusted_proxies": 1, "allowed_hosts": "evil.test"})
    app = create_app(Installation(trusting, database, MemoryBlobs(), MemoryQueue()))
    for application, expected in (
        (client.application, "http://localhost/"),
        (app, "https://evil.test/"),
    ):
        seen: list[str] = []
        application.before_request(lambda seen=seen: seen.append(request.host_url))
        application.test_client().get("/sign-in", headers=header)
        assert seen == [expected]


def test_a_body_beyond_its_kind_is_refused(laboratory: Browser, api: Api) -> None:
    assert laboratory.submit("/account/tokens", {"name": "x" * 300_000}).status_code == 413
    answer = api("POST", "/jobs", json={"name": "x" * 300_000})
    assert answer.status_code == 413
    assert content(answer)["error"]["message"].startswith("The request is too large")


def test_a_file_sent_as_a_form_is_refused_unread(api: Api) -> None:
    job = open_job(api)
    answer = api("PUT", f"/jobs/{job}/images/1", data={"file": (sys.executable, "x.png")})
    assert answer.status_code == 400
    assert "octet-stream" in content(answer)["error"]["message"]


def test_logs_name_routes_and_never_paths_or_files(
    laboratory: Browser, client: FlaskClient, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.INFO):
        client.get("/sign-in/secret-link-secret-link")
        answer = laboratory.get("/jobs?q=patient", headers={"X-Request-ID": "given-by-a-proxy"})
    assert answer.headers["X-Request-ID"] == "given-by-a-proxy"
    assert "given-by-a-proxy" in caplog.text
    assert "/sign-in/<secret>" in caplog.text
    assert "secret-link" not in caplog.text
    assert "patient" not in caplog.text


def test_health_needs_the_database_and_reports_the_queue(
    client: FlaskClient, queue: MemoryQueue
) -> None:
    everything = {"database": True, "queue": True, "store": True, "space": True, "workers": 0}
    assert client.get("/healthz").json == everything | {"problems": []}
    queue.broken = True
    time.sleep(1.1)
    answer = client.get("/healthz")
    assert answer.status_code == 200
    assert answer.json == everything | {"queue": False, "problems": ["queue_unavailable"]}


def test_without_its_database_the_server_says_so_and_stands(
    settings: Settings, database: Database, client: FlaskClient, laboratory: Browser
) -> None:
    with database.engine.connect() as connection:
        connection.exec_driver_sql("ALTER TABLE user RENAME TO gone")
        connection.commit()
    answer = laboratory.get("/jobs")
    assert answer.status_code == 503
    assert "tables do not match this version" in answer.text
    assert client.get("/healthz").status_code == 200


@pytest.mark.parametrize("database", ["postgresql"], indirect=True)
def test_a_value_the_database_can_not_take_is_a_sentence(
    app: Flask, laboratory: Browser, database: Database, caplog: pytest.LogCaptureFixture
) -> None:
    def look_up() -> str:
        with database.reading() as session:
            return str(accounts.person_or_none(session, "patient\0@x.test"))

    app.view_functions["jobs.list_jobs"] = look_up
    answer = laboratory.get("/jobs")
    assert answer.status_code == 400
    assert "contains a character or a number that" in answer.text
    assert "patient" not in caplog.text


def test_an_unexpected_fault_is_a_page_with_a_number(
    app: Flask, laboratory: Browser, caplog: pytest.LogCaptureFixture
) -> None:
    app.view_functions["jobs.list_jobs"] = lambda: str(1 / 0)
    answer = laboratory.get("/jobs")
    assert answer.status_code == 500
    assert answer.headers["X-Request-ID"] in answer.text
    assert "ZeroDivisionError" not in answer.text
    assert "ZeroDivisionError" in caplog.text
