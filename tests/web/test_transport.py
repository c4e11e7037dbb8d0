"""Under which names the pages are answered, and what is different on an encrypted connection."""

from __future__ import annotations

import socket

import pytest
from flask.testing import FlaskClient
from werkzeug.test import TestResponse

from core.blobs import MemoryBlobs
from core.db import Database
from core.installation import Installation
from core.queue import MemoryQueue
from core.settings import Settings
from tests.web.conftest import Browser, SignIn
from web import create_app
from web.security import transport

ADMIN = "admin@localhost"


def client_of(settings: Settings, database: Database, **changes: object) -> FlaskClient:
    """Return a client of an application with other settings."""
    changed = settings.model_copy(update=changes)
    return create_app(Installation(changed, database, MemoryBlobs(), MemoryQueue())).test_client()


@pytest.mark.parametrize(
    "host",
    [
        "localhost:8000",
        "127.0.0.1",
        "10.1.2.3:8000",
        "[::1]:8000",
        socket.gethostname(),
        "LocalHost",
    ],
)
def test_addresses_and_the_machines_own_names_are_answered(client: FlaskClient, host: str) -> None:
    assert client.get("/sign-in", headers={"Host": host}).status_code == 200


@pytest.mark.parametrize(
    "host", ["evil.example", "localhost.evil.example", "127.0.0.1.nip.io", "2130706433"]
)
@pytest.mark.parametrize("path", ["/sign-in", "/api/v1/jobs", "/healthz", "/nowhere"])
def test_a_foreign_name_learns_nothing_but_what_to_do(
    client: FlaskClient, host: str, path: str
) -> None:
    answer = client.get(path, headers={"Host": host})
    assert answer.status_code == 400
    assert "HEMATOVISION_ALLOWED_HOSTS" in answer.text
    assert host not in answer.text


def test_a_listed_name_is_answered_in_any_case(settings: Settings, database: Database) -> None:
    client = client_of(settings, database, allowed_hosts="slides.example.org, other.example")
    for host in ("Slides.Example.org:443", "other.example", "other.example."):
        assert client.get("/sign-in", headers={"Host": host}).status_code == 200
    assert client.get("/sign-in", headers={"Host": "example.org"}).status_code == 400


def test_no_answer_leads_to_the_name_that_was_asked(settings: Settings, database: Database) -> None:
    client = client_of(settings, database, allowed_hosts="slides.example.org")
    answer = client.get("/jobs", headers={"Host": "slides.example.org"})
    assert answer.status_code == 302
    assert answer.headers["Location"].startswith("/sign-in")


def over_tls(client: FlaskClient) -> TestResponse:
    """Ask as a proxy that speaks TLS passes it on."""
    return client.get("/sign-in", headers={"X-Forwarded-Proto": "https"})


def test_behind_tls_cookies_are_secure_and_the_browser_is_told_to_stay(
    settings: Settings, database: Database
) -> None:
    answer = over_tls(client_of(settings, database, trusted_proxies=1))
    assert answer.headers["Strict-Transport-Security"] == "max-age=31536000"
    assert "Secure" in answer.headers["Set-Cookie"]


def test_a_proxy_that_is_not_trusted_changes_nothing(client: FlaskClient) -> None:
    answer = over_tls(client)
    assert "Strict-Transport-Security" not in answer.headers
    assert "Secure" not in answer.headers["Set-Cookie"]


@pytest.mark.parametrize(
    ("changes", "exposed"),
    [
        ({"host": "127.0.0.1"}, False),
        ({"host": "::1"}, False),
        ({"host": "localhost"}, False),
        ({"host": "0.0.0.0"}, True),
        ({"host": "::"}, True),
        ({"host": "192.168.1.4"}, True),
        ({"host": "0.0.0.0", "secure_cookies": True}, False),
        ({"host": "0.0.0.0", "trusted_proxies": 1}, False),
    ],
)
def test_settings_that_open_the_pages_to_the_network_are_noticed(
    settings: Settings, changes: dict[str, object], exposed: bool
) -> None:
    assert transport.exposes(settings.model_copy(update=changes)) is exposed


def test_an_administrator_is_warned_on_a_page_that_anybody_could_read(
    sign_in: SignIn, laboratory: Browser
) -> None:
    admin, network = sign_in(ADMIN), "http://10.1.2.3"
    assert transport.EXPOSED not in admin.get("/jobs").text
    # Cookies are a host's own: the session is carried over to the address by hand.
    for browser, warned in ((admin, True), (laboratory, False)):
        cookie = browser.client.get_cookie("hematovision")
        assert cookie is not None
        browser.client.set_cookie("hematovision", cookie.value, domain="10.1.2.3")
        page = browser.client.get("/jobs", base_url=network).text
        assert (transport.EXPOSED in page) is warned
