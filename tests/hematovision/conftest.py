"""What commands are tested on: an installation's data folder, and a server that answers as told."""

from __future__ import annotations

import shutil
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from core.db import Database
from core.settings import Settings
from hematovision.installing import install

Answer = Callable[[BaseHTTPRequestHandler], tuple[int, bytes]]


@pytest.fixture(scope="session")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A data folder as `db upgrade` leaves it; tests work on copies of it."""
    folder = tmp_path_factory.mktemp("installed") / "data"
    install(Settings(data=folder))
    return folder


@pytest.fixture
def data(installed: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The data folder of the test's own, where the command line looks for it."""
    monkeypatch.setenv("HEMATOVISION_DATA", str(tmp_path / "data"))
    shutil.copytree(installed, tmp_path / "data")
    return tmp_path / "data"


@pytest.fixture
def database(data: Path) -> Iterator[Database]:
    """The database of the test's own data folder."""
    database = Database(f"sqlite:///{data / 'hematovision.db'}")
    yield database
    database.dispose()


@pytest.fixture
def serve() -> Iterator[Callable[[Answer], str]]:
    """Start a small HTTP server that answers as told; return its address."""
    servers = []

    def start(answer: Answer) -> str:
        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                status, body = answer(self)
                self.send_response(status)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            do_POST = do_PUT = do_DELETE = do_GET

            def log_message(self, format: str, *args: object) -> None:
                pass

        server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        threading.Thread(target=server.serve_forever, daemon=True).start()
        servers.append(server)
        return f"http://127.0.0.1:{server.server_port}"

    yield start
    for server in servers:
        server.shutdown()
        server.server_close()
