"""`hematovision up`: comes up, signs in, restarts what dies, stops all of it."""

from __future__ import annotations

import re
import shutil
import socket
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import httpx
import pytest

from contract.jobs import NewJob
from tests.system.stack import Stack, free_port, until


@pytest.fixture(scope="module")
def up(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    """A system that runs for all tests of this module."""
    stack = Stack(tmp_path_factory.mktemp("up") / "data", "--workers", "1")
    stack.link()
    yield stack
    stack.stop()


def _healthy(stack: Stack) -> bool:
    try:
        return httpx.get(f"{stack.url}/healthz", timeout=3).status_code == 200
    except httpx.HTTPError:
        return False


def test_the_link_signs_in_once(up: Stack) -> None:
    link = up.link()
    for signs_in in (True, False):
        with httpx.Client(follow_redirects=True) as browser:
            token = re.search(r'name="csrf-token" content="([^"]+)"', browser.get(link).text)
            assert token
            page = browser.post(link, data={"csrf_token": token[1]})
            assert page.status_code == 200
            assert browser.get(f"{up.url}/jobs").url.path == ("/jobs" if signs_in else "/sign-in")


def test_a_second_up_on_the_same_data_says_so(up: Stack) -> None:
    second = Stack(up.data)
    assert second.wait() == 1
    assert "already runs" in second.output
    assert up.url in second.output
    assert "Traceback" not in second.output


def test_a_taken_port_is_named(tmp_path: Path) -> None:
    with closing(socket.socket()) as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        stack = Stack(tmp_path / "data", port=port)
        assert stack.wait() == 1
    assert f"Port {port}" in stack.output and "--port" in stack.output
    assert "Traceback" not in stack.output


@pytest.mark.parametrize("name", ["redis", "worker", "sweep", "web"])
def test_what_dies_is_started_again(up: Stack, name: str) -> None:
    before = set(up.pids(name))
    up.kill(name)
    until(lambda: set(up.pids(name)) - before)
    until(lambda: _healthy(up))
    assert f"{name} ended" in up.output


def test_what_is_private_is_readable_by_its_owner_only(up: Stack) -> None:
    for name in ("secret-key", "client.json"):
        assert (up.data / name).stat().st_mode & 0o077 == 0


def test_stopping_takes_seconds_and_leaves_nothing_running(tmp_path: Path) -> None:
    stack = Stack(tmp_path / "data", "--workers", "2")
    stack.link()
    assert len(stack.pids()) >= 5
    assert stack.stop() < 15
    assert stack.process.returncode == 0, stack.output
    assert stack.pids() == []


def test_the_data_folder_can_be_copied_and_goes_on(tmp_path: Path) -> None:
    first = Stack(tmp_path / "first", "--workers", "1")
    client = first.client()
    job = client.open_job(NewJob(name="kept"))
    first.stop()
    shutil.copytree(tmp_path / "first", tmp_path / "second")
    second = Stack(tmp_path / "second", "--workers", "1", port=free_port())
    assert second.client().job(job.id).name == "kept"
    second.stop()
