"""gunicorn in a process of its own: serves, refuses a taken port with a sentence, ends cleanly."""

from __future__ import annotations

import http.client
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager

import pytest

from core.db import Database
from core.errors import ConfigurationError
from core.installation import adopt_store
from core.settings import Settings
from web.server import serve

CODE = """
import sys
from core.settings import Settings
from web import server
server.RECEIVE_SECONDS = int(sys.argv[2])
server.serve(Settings.model_validate_json(sys.argv[1]))
"""


def free_port() -> int:
    """Return a port that nobody listens on."""
    with closing(socket.create_server(("127.0.0.1", 0))) as probe:
        port: int = probe.getsockname()[1]
        return port


@contextmanager
def running(settings: Settings, receive_seconds: int = 30) -> Iterator[subprocess.Popen[bytes]]:
    """Run the server until the block ends, on an image store that is there."""
    database = Database(settings.database)
    adopt_store(database, settings.blobs)
    database.dispose()
    command = [sys.executable, "-c", CODE, settings.model_dump_json(), str(receive_seconds)]
    with subprocess.Popen(command, stderr=subprocess.DEVNULL) as process:
        try:
            yield process
        finally:
            if process.poll() is None:
                process.kill()


def ask(port: int, method: str, path: str, **options: object) -> http.client.HTTPResponse:
    """Send one request, patiently while the server starts."""
    for _ in range(150):
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
        try:
            connection.request(method, path, **options)  # type: ignore[arg-type]
            answer = connection.getresponse()
            answer.read()
            return answer
        except ConnectionError:
            time.sleep(0.1)
        finally:
            connection.close()
    raise AssertionError("The server did not start.")


def test_it_serves_pages_and_ends_on_a_signal(settings: Settings) -> None:
    port = free_port()
    update = {"port": port, "web_workers": 1, "redis_url": "memory://"}
    with running(settings.model_copy(update=update)) as process:
        assert ask(port, "GET", "/healthz").status == 200
        page = ask(port, "GET", "/sign-in")
        assert page.status == 200
        assert ask(port, "GET", "/static/app.css").status == 200
        assert ask(port, "PUT", "/api/v1/jobs/1/images/1", body=b"x" * 3_000_000).status == 401
        process.send_signal(signal.SIGTERM)
        assert process.wait(15) == 0


@pytest.mark.skipif(sys.platform != "linux", reason="the limit is set on Linux")
def test_half_requests_do_not_hold_the_threads(settings: Settings) -> None:
    port = free_port()
    update = {"port": port, "web_workers": 1, "web_threads": 2, "redis_url": "memory://"}
    form = b"POST /sign-in HTTP/1.1\r\nHost: x\r\nContent-Length: 500\r\n"
    form += b"Content-Type: application/x-www-form-urlencoded\r\n\r\nemail="
    with running(settings.model_copy(update=update), 1), ExitStack() as stack:
        assert ask(port, "GET", "/healthz").status == 200
        for half in (b"GET /healthz HTTP/1.1\r\nHo", form):
            sender = socket.create_connection(("127.0.0.1", port))
            stack.enter_context(closing(sender)).sendall(half)
        began = time.monotonic()
        assert ask(port, "GET", "/healthz").status == 200
        assert time.monotonic() - began > 0.5, "No thread was held, so nothing is proven."
        assert sender.recv(100).startswith(b"HTTP/1.1 400 ")


def test_a_taken_port_is_named(settings: Settings) -> None:
    with closing(socket.create_server(("127.0.0.1", 0))) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(ConfigurationError, match=rf"Port {port} of 127\.0\.0\.1 can't be used"):
            serve(settings.model_copy(update={"port": port}))


def test_it_does_not_start_without_a_secret_key(settings: Settings) -> None:
    with pytest.raises(ConfigurationError, match="SECRET_KEY"):
        serve(settings.model_copy(update={"secret_key": ""}))
