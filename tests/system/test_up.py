"""`hematovision up`: comes up, signs in, restarts what dies, stops all of it."""

from __future__ import annotations

import re
import shutil
import socket
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

import httpx
import pytest

from contract.jobs import NewJob
from tests.system.stack import Stack
from tests.waiting import until


def _healthy(stack: Stack) -> bool:
    try:
        return httpx.get(f"{stack.url}/healthz", timeout=3).status_code == 200
    except httpx.HTTPError:
        return False


def test_the_link_signs_in_once(stack: Stack) -> None:
    link = stack.link()
    for signs_in in (True, False):
        with httpx.Client(follow_redirects=True) as browser:
            token = re.search(r'name="csrf-token" content="([^"]+)"', browser.get(link).text)
            assert token
            page = browser.post(link, data={"csrf_token": token[1]})
            assert page.status_code == 200
            assert browser.get(f"{stack.url}/jobs").url.path == (
                "/jobs" if signs_in else "/sign-in"
            )


def test_a_second_up_on_the_same_data_says_so(stack: Stack) -> None:
    second = Stack(stack.data)
    assert second.wait() == 1
    assert "is already running" in second.output
    assert stack.url in second.output
    assert "Traceback" not in second.output


def test_a_taken_port_is_named(tmp_path: Path) -> None:
    with closing(socket.socket()) as busy:
        busy.bind(("127.0.0.1", 0))
        busy.listen()
        port = busy.getsockname()[1]
        stack = Stack(tmp_path / "data", port=port)
        assert stack.wait() == 1
    assert f"Port {port}" in stack.output and "--port" in stack.output
    assert "Traceback" not in stack.output


@pytest.mark.parametrize("name", ["redis", "worker", "sweep", "web"])
def test_what_dies_is_started_again(stack: Stack, name: str) -> None:
    before = set(stack.pids(name))
    stack.kill(name)
    until(lambda: set(stack.pids(name)) - before)
    until(lambda: _healthy(stack))
    assert f"{name} ended" in stack.output


def test_what_is_private_is_readable_by_its_owner_only(stack: Stack) -> None:
    for name in ("secret-key", "client.json"):
        assert (stack.data / name).stat().st_mode & 0o077 == 0


@dataclass(frozen=True)
class Stopped:
    """A system that ran with two workers and was stopped: what of it ran, how long that took."""

    stack: Stack
    job_id: int
    pids: list[int]
    seconds: float


@pytest.fixture(scope="module")
def stopped(tmp_path_factory: pytest.TempPathFactory) -> Stopped:
    """A system that was given a job and then stopped."""
    stack = Stack(tmp_path_factory.mktemp("stopped") / "data", "--workers", "2")
    job = stack.client().open_job(NewJob(name="kept"))
    pids = stack.pids()
    return Stopped(stack, job.id, pids, stack.stop())


def test_stopping_takes_seconds_and_leaves_nothing_running(stopped: Stopped) -> None:
    assert len(stopped.pids) >= 5
    assert stopped.seconds < 15
    assert stopped.stack.process.returncode == 0, stopped.stack.output
    assert stopped.stack.pids() == []


def test_the_data_folder_can_be_copied_and_goes_on(stopped: Stopped, tmp_path: Path) -> None:
    shutil.copytree(stopped.stack.data, tmp_path / "copy")
    stack = Stack(tmp_path / "copy", "--workers", "1")
    assert stack.client().job(stopped.job_id).name == "kept"
    stack.stop()
