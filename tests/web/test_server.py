"""The server in a process of its own: serves, bears with slow connections, ends cleanly."""

from __future__ import annotations

import asyncio
import http.client
import json
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, MutableMapping
from contextlib import ExitStack, closing, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil
import pytest

from core.db import Database
from core.errors import ConfigurationError
from core.installation import adopt_store
from core.people import accounts, tokens
from core.settings import Settings
from core.states import TokenKind
from hematovision.supervisor import STOP_SECONDS
from web.serving.arriving import Body, Patience
from web.serving.bridge import environ_of
from web.serving.server import serve

CODE = """
import json, sys
from core.settings import Settings
from web.serving.arriving import Patience
from web.serving.server import serve
serve(Settings.model_validate_json(sys.argv[1]), Patience(**json.loads(sys.argv[2])))
"""
FORM = b"Host: localhost\r\nContent-Type: application/x-www-form-urlencoded\r\n"
RAW = b"Host: localhost\r\nContent-Type: application/octet-stream\r\n"
STRANGE_SIGN_IN = b"POST /sign-in HTTP/1.1\r\n" + FORM + b"Content-Length: 200000\r\n\r\na"


def free_port() -> int:
    """Return a port that nobody listens on."""
    with closing(socket.create_server(("127.0.0.1", 0))) as probe:
        port: int = probe.getsockname()[1]
        return port


@contextmanager
def running(settings: Settings, **changes: Any) -> Iterator[subprocess.Popen[bytes]]:
    """Run the server until the block ends; ``patience`` among the changes is its patience."""
    database = Database(settings.database)
    adopt_store(database, settings.blobs)
    database.dispose()
    patience = json.dumps(changes.pop("patience", {}))
    settings = settings.model_copy(update={"redis_url": "memory://", "web_workers": 1} | changes)
    command = [sys.executable, "-c", CODE, settings.model_dump_json(), patience]
    with subprocess.Popen(command, stderr=subprocess.DEVNULL) as process:
        try:
            assert ask(settings.port, "GET", "/healthz").status == 200
            yield process
        finally:
            if process.poll() is None:
                process.kill()


@contextmanager
def connections(port: int, count: int, sent: bytes = b"") -> Iterator[list[socket.socket]]:
    """Open connections, each of which has sent so much and no more."""
    with ExitStack() as stack:
        opened = []
        for _ in range(count):
            connection = socket.create_connection(("127.0.0.1", port), timeout=20)
            opened.append(stack.enter_context(closing(connection)))
            connection.sendall(sent)
        yield opened


def answer_on(sender: socket.socket) -> bytes:
    """Return what comes until the server closes the connection."""
    pieces = []
    with suppress(ConnectionError):
        while piece := sender.recv(65536):
            pieces.append(piece)
    return b"".join(pieces)


@dataclass
class Answer:
    """What the server answered."""

    status: int
    headers: Mapping[str, str]
    text: str


def ask(port: int, method: str, path: str, **options: Any) -> Answer:
    """Send one request, patiently while the server starts."""
    for _ in range(150):
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=20)
        try:
            connection.request(method, path, **options)
            answer = connection.getresponse()
            return Answer(answer.status, dict(answer.headers), answer.read().decode())
        except ConnectionError:
            time.sleep(0.1)
        finally:
            connection.close()
    raise AssertionError("The server did not start.")


def test_it_serves_pages_and_ends_on_a_signal(settings: Settings) -> None:
    port = free_port()
    with running(settings, port=port) as process:
        assert ask(port, "GET", "/sign-in").status == 200
        assert ask(port, "GET", "/static/app.css").status == 200
        assert ask(port, "HEAD", "/sign-in").status == 200
        assert ask(port, "PUT", "/api/v1/jobs/1/images/1", body=b"x" * 3_000_000).status == 401
        process.send_signal(signal.SIGTERM)
        assert process.wait(15) == 0


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory, empty_database: Path) -> Iterator[int]:
    """Yield the port of a server that several tests ask."""
    data = tmp_path_factory.mktemp("server")
    (data / "hematovision.db").write_bytes(empty_database.read_bytes())
    port = free_port()
    with running(Settings(data=data, secret_key="s" * 40), port=port):
        yield port


@pytest.fixture
def token(database: Database) -> str:
    """Return the API token of somebody who submits."""
    with database.writing() as session:
        user = accounts.find_person(session, "a@laboratory.test")
        return tokens.issue(session, user, TokenKind.API, "test")


SLOW = {
    "connections that say nothing": b"",
    "slow headers": b"GET /sign-in HTTP/1.1\r\nHo",
    "slow forms": b"POST /sign-in HTTP/1.1\r\n" + FORM + b"Content-Length: 5000\r\n\r\nemail=",
    "slow forms, too long": STRANGE_SIGN_IN,
    "slow chunks": b"POST /sign-in HTTP/1.1\r\n"
    + FORM
    + b"Transfer-Encoding: chunked\r\n\r\n5\r\nem",
    "slow uploads of strangers": b"PUT /api/v1/jobs/1/archive HTTP/1.1\r\n"
    + RAW
    + b"Content-Length: 9000000\r\n\r\nx",
    "pages nobody takes": b"GET /static/app.css HTTP/1.1\r\nHost: localhost\r\n\r\n" * 8,
}


@pytest.mark.parametrize("sent", SLOW.values(), ids=SLOW)
def test_slow_strangers_hold_no_thread(settings: Settings, sent: bytes) -> None:
    port = free_port()
    with (
        running(settings, port=port, web_threads=1, web_upload_threads=1, secure_cookies=False),
        connections(port, 60, sent),
    ):
        assert ask(port, "GET", "/sign-in").status == 200


def test_stalled_uploads_hold_up_no_page(settings: Settings, token: str) -> None:
    port = free_port()
    upload = b"PUT /api/v1/jobs/%d/archive HTTP/1.1\r\n" + RAW
    upload += b"Authorization: Bearer " + token.encode() + b"\r\n"
    with running(settings, port=port, web_threads=1, web_upload_threads=4):
        call = {"Authorization": f"Bearer {token}", "Content-Type": "application/json"}
        job = json.loads(ask(port, "POST", "/api/v1/jobs", body=b"{}", headers=call).text)["id"]
        large = upload % job + b"Content-Length: 9000000\r\n\r\n" + b"PK"
        small = upload % job + b"Content-Length: 900\r\n\r\n" + b"PK"
        with connections(port, 20, large), connections(port, 20, small):
            assert ask(port, "GET", "/sign-in").status == 200


def test_uploads_beyond_all_measure_are_asked_to_come_again(settings: Settings, token: str) -> None:
    port = free_port()
    upload = b"PUT /api/v1/jobs/1/archive HTTP/1.1\r\n" + RAW
    upload += b"Authorization: Bearer " + token.encode() + b"\r\nContent-Length: 9000000\r\n\r\nPK"
    with running(settings, port=port, web_upload_threads=1, web_connections=20):
        call = {"Authorization": f"Bearer {token}", "Content-Type": "application/json"}
        ask(port, "POST", "/api/v1/jobs", body=b"{}", headers=call)
        with connections(port, 4, upload), connections(port, 20, upload) as others:
            assert answer_on(others[-1]).startswith(b"HTTP/1.1 503 ")
            assert ask(port, "GET", "/sign-in").status == 200


def test_a_sender_who_is_too_slow_is_told_and_let_go(settings: Settings, token: str) -> None:
    port = free_port()
    signed = b"Authorization: Bearer " + token.encode() + b"\r\n"
    large = b"POST /api/v1/jobs HTTP/1.1\r\n" + RAW + signed + b"Content-Length: 99999\r\n\r\n{"
    with (
        running(settings, port=port, patience={"head": 1, "body": 1}),
        connections(port, 1, b"GET /healthz HTTP/1.1\r\nHo") as head,
        connections(port, 1, SLOW["slow forms"]) as small,
        connections(port, 1, large) as big,
        connections(port, 1) as silent,
    ):
        assert answer_on(head[0]).startswith(b"HTTP/1.1 408 ")
        assert answer_on(small[0]).startswith(b"HTTP/1.1 408 ")
        assert b"The connection was lost during the request." in answer_on(big[0])
        assert answer_on(silent[0]).startswith(b"HTTP/1.1 408 ")


def test_who_takes_no_answer_is_let_go(settings: Settings) -> None:
    port = free_port()
    style = b"GET /bootstrap/static/css/bootstrap.min.css HTTP/1.1\r\nHost: localhost\r\n\r\n"
    with (
        running(settings, port=port, patience={"answer": 1}),
        closing(socket.socket()) as reader,
    ):
        # The kernel takes up to some megabytes in nobody's place.
        reader.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        reader.connect(("127.0.0.1", port))
        with suppress(ConnectionError):
            for _ in range(10):
                reader.sendall(style * 8)
                time.sleep(0.5)
        reader.settimeout(20)
        assert 0 < answer_on(reader).count(b"HTTP/1.1 200") < 80


def test_requests_sent_ahead_in_great_number_are_refused(server: int) -> None:
    with connections(server, 1, b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n" * 1000) as (
        sender,
    ):
        assert answer_on(sender).count(b"HTTP/1.1 200") < 20


def test_a_full_house_makes_room_for_who_comes(settings: Settings) -> None:
    port = free_port()
    half = b"GET /healthz HTTP/1.1\r\nHo"
    with (
        running(settings, port=port, web_connections=8),
        connections(port, 1) as (first,),
        connections(port, 40, half),
    ):
        assert ask(port, "GET", "/sign-in").status == 200
        assert answer_on(first) == b""


def test_heads_that_never_end_are_refused(settings: Settings) -> None:
    port = free_port()
    with (
        running(settings, port=port),
        connections(port, 1, b"GET / HTTP/1.1\r\nHost: localhost\r\nX: " + b"x" * 60_000) as (
            sender,
        ),
    ):
        assert answer_on(sender).startswith(b"HTTP/1.1 431 ")


MALFORMED = {
    "no host": b"GET /sign-in HTTP/1.1\r\n\r\n",
    "two hosts": b"GET /sign-in HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n",
    "length and chunks": b"POST /sign-in HTTP/1.1\r\nHost: localhost\r\nContent-Length: 5\r\n"
    b"Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    "two lengths": b"POST /sign-in HTTP/1.1\r\nHost: localhost\r\nContent-Length: 5\r\n"
    b"Content-Length: 6\r\n\r\nabcdef",
    "many headers": b"GET /sign-in HTTP/1.1\r\nHost: localhost\r\n" + b"A: b\r\n" * 150 + b"\r\n",
    "no HTTP": b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n",
}


@pytest.mark.parametrize("sent", MALFORMED.values(), ids=MALFORMED)
def test_what_two_servers_may_read_differently_is_refused(server: int, sent: bytes) -> None:
    with connections(server, 1, sent) as (sender,):
        assert answer_on(sender).startswith(b"HTTP/1.1 400 ")


def test_a_refused_body_leaves_the_connection_usable(server: int) -> None:
    connection = http.client.HTTPConnection("127.0.0.1", server, timeout=20)
    with closing(connection):
        for size in (1_100_000, 60_000_000):
            connection.request("PUT", "/api/v1/jobs/1/archive", body=b"x" * size)
            refused = connection.getresponse()
            assert refused.status == 401
            assert "error" in json.loads(refused.read())
            connection.request("GET", "/healthz")
            following = connection.getresponse()
            assert (following.status, following.read() != b"") == (200, True)


def test_a_refused_sender_who_asks_first_sends_nothing(server: int) -> None:
    asks = b"PUT /api/v1/jobs/1/archive HTTP/1.1\r\n" + RAW
    asks += b"Expect: 100-continue\r\nContent-Length: 9000000\r\n\r\n"
    with connections(server, 1, asks) as (sender,):
        assert answer_on(sender).startswith(b"HTTP/1.1 401 ")


def test_strangers_send_short_forms(server: int) -> None:
    with connections(server, 1, STRANGE_SIGN_IN) as (sender,):
        assert sender.recv(65536).startswith(b"HTTP/1.1 413 ")
    form = b"a=" + b"x" * 9000
    chunked = b"POST /sign-in HTTP/1.1\r\n" + FORM + b"Transfer-Encoding: chunked\r\n\r\n"
    with connections(server, 1, chunked + b"%x\r\n%s\r\n" % (len(form), form)) as (sender,):
        assert sender.recv(65536).startswith(b"HTTP/1.1 4")


def test_a_job_whose_answer_was_lost_is_not_opened_again(settings: Settings, token: str) -> None:
    port = free_port()
    call = {"Authorization": f"Bearer {token}", "Content-Type": "application/json"}
    call["Idempotency-Key"] = "the-one"
    head = "".join(f"{name}: {value}\r\n" for name, value in call.items())
    asked = f"POST /api/v1/jobs HTTP/1.1\r\nHost: localhost\r\n{head}Content-Length: 2\r\n\r\n{{}}"

    def opened() -> list[int]:
        jobs = json.loads(ask(port, "GET", "/api/v1/jobs", headers=call).text)["jobs"]
        return [job["id"] for job in jobs]

    with running(settings, port=port):
        with connections(port, 1, asked.encode()):
            deadline = time.monotonic() + 20
            while not opened() and time.monotonic() < deadline:
                time.sleep(0.1)
        again = ask(port, "POST", "/api/v1/jobs", body=b"{}", headers=call)
        assert again.status == 201
        assert opened() == [json.loads(again.text)["id"]]


async def _nothing() -> MutableMapping[str, Any]:
    return {"type": "http.disconnect"}


def test_underscores_pass_for_no_other_header() -> None:
    headers = [(b"host", b"x"), (b"x_forwarded_for", b"forged"), (b"cookie", b"a=1")]
    scope = {
        "method": "GET",
        "raw_path": b"/a%20b",
        "query_string": b"",
        "http_version": "1.1",
        "scheme": "http",
        "server": ("127.0.0.1", 8000),
        "client": ("127.0.0.1", 9),
        "headers": [*headers, (b"cookie", b"b=2")],
    }

    async def read() -> dict[str, Any]:
        return environ_of(scope, Body(_nothing, Patience()))

    environ = asyncio.run(read())
    assert "HTTP_X_FORWARDED_FOR" not in environ
    assert (environ["HTTP_COOKIE"], environ["PATH_INFO"]) == ("a=1; b=2", "/a b")


def test_a_process_that_dies_is_started_again(settings: Settings) -> None:
    port = free_port()
    with running(settings, port=port) as process:
        (child,) = psutil.Process(process.pid).children()
        child.kill()
        child.wait(10)
        assert ask(port, "GET", "/sign-in").status == 200


def test_it_ends_in_time_whatever_is_under_way(settings: Settings, token: str) -> None:
    port = free_port()
    signed = b"Authorization: Bearer " + token.encode() + b"\r\n"
    large = b"POST /api/v1/jobs HTTP/1.1\r\n" + RAW + signed + b"Content-Length: 99999\r\n\r\n{"
    with (
        running(settings, port=port) as process,
        connections(port, 5, large),
        connections(port, 5, b"GET /"),
        connections(port, 5, SLOW["slow forms"]),
    ):
        assert ask(port, "GET", "/sign-in").status == 200
        process.send_signal(signal.SIGTERM)
        assert process.wait(STOP_SECONDS) == 0


def test_a_taken_port_is_named(settings: Settings) -> None:
    with closing(socket.create_server(("127.0.0.1", 0))) as listener:
        port = listener.getsockname()[1]
        with pytest.raises(ConfigurationError, match=rf"Port {port} on 127\.0\.0\.1 can't be used"):
            serve(settings.model_copy(update={"port": port}))


def test_it_does_not_start_without_a_secret_key(settings: Settings) -> None:
    with pytest.raises(ConfigurationError, match="SECRET_KEY"):
        serve(settings.model_copy(update={"secret_key": ""}))
