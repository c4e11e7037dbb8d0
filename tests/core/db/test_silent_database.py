"""A PostgreSQL that fell silent: connections stay open and nothing comes any more."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Iterator
from contextlib import closing, suppress
from pathlib import Path

import pytest
from sqlalchemy import make_url, text
from sqlalchemy.exc import OperationalError

from core.db import Database


class Proxy:
    """Passes bytes between a TCP port and PostgreSQL's socket until it is told to be silent.

    It then goes on to accept connections and to read what comes, so that neither end nor the
    kernel between them notices anything.
    """

    def __init__(self, target: str) -> None:
        self._target = target
        self._listening = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listening.getsockname()[1]
        self.silent = threading.Event()
        self._open: list[socket.socket] = [self._listening]
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self) -> None:
        with suppress(OSError):
            while True:
                near, _ = self._listening.accept()
                far = socket.socket(socket.AF_UNIX)
                far.connect(self._target)
                self._open += near, far
                for source, target in ((near, far), (far, near)):
                    threading.Thread(target=self._pass, args=(source, target), daemon=True).start()

    def _pass(self, source: socket.socket, target: socket.socket) -> None:
        with suppress(OSError):
            while data := source.recv(65536):
                if not self.silent.is_set():
                    target.sendall(data)

    def close(self) -> None:
        for connection in self._open:
            with suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)
            connection.close()


@pytest.fixture
def proxy(postgresql: str) -> Iterator[Proxy]:
    host = str(make_url(postgresql).query["host"])
    [path] = Path(host).glob(".s.PGSQL.*[0-9]")
    opened = Proxy(str(path))
    with closing(opened):
        yield opened


@pytest.fixture
def url(migrated_postgresql: str, proxy: Proxy) -> str:
    """The address of the database by way of the proxy."""
    through = make_url(migrated_postgresql).set(host="127.0.0.1", port=proxy.port, query={})
    return through.render_as_string(hide_password=False)


def test_a_silent_connection_is_given_up_and_the_next_one_works(url: str, proxy: Proxy) -> None:
    with closing(_Opened(url)) as opened:
        assert opened.answers()
        proxy.silent.set()
        began = time.monotonic()
        with pytest.raises(OperationalError):
            opened.answers()
        assert time.monotonic() - began < 30
        proxy.silent.clear()
        assert opened.answers()


def test_a_statement_that_falls_silent_in_a_transaction_is_given_up(url: str, proxy: Proxy) -> None:
    with closing(_Opened(url)) as opened:
        with (
            pytest.raises(OperationalError, match="did not answer"),
            opened.database.writing() as s,
        ):
            s.execute(text("SELECT 1"))
            proxy.silent.set()
            s.execute(text("SELECT 2"))
        proxy.silent.clear()
        assert opened.answers()


def test_the_server_ends_a_statement_that_takes_too_long(url: str) -> None:
    with closing(_Opened(url)) as opened:
        with pytest.raises(OperationalError, match="statement timeout"):
            opened.answers("SELECT pg_sleep(20)")
        assert opened.answers()


def test_a_migration_has_no_such_limit(url: str) -> None:
    unlimited = Database(url, statement_seconds=None)
    with unlimited.reading() as session:
        assert session.scalar(text("SHOW statement_timeout")) == "0"
        assert session.scalar(text("SHOW idle_in_transaction_session_timeout")) == "5min"
    unlimited.dispose()


class _Opened:
    """A database whose patience is short."""

    def __init__(self, url: str) -> None:
        self.database = Database(url, connections=1, statement_seconds=1)

    def answers(self, statement: str = "SELECT 1") -> bool:
        with self.database.reading() as session:
            session.execute(text(statement))
        return True

    def close(self) -> None:
        self.database.dispose()
