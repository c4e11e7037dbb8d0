"""Processes of a system: `up` itself, what each is, how much memory it took, how it is frozen."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path

import psutil

LOOK_SECONDS = 0.05
_SERVERS = {"postgres": "database", "valkey": "broker", "redis-server": "broker"}


def kind_of(process: psutil.Process) -> str:
    """What a process is, by its command line."""
    command = " ".join(process.cmdline())
    for mark, name in _SERVERS.items():
        if mark in command:
            return name
    return next((part for part in ("sweep", "web", "worker") if part in command), "other")


def broker_below(top: psutil.Process) -> psutil.Process:
    """The broker among the processes that were started from one."""
    children = top.children(recursive=True)
    return next(child for child in children if any("redis.sock" in w for w in child.cmdline()))


def most_resident(pid: int) -> int:
    """The largest resident size that a process ever had, in bytes."""
    status = Path(f"/proc/{pid}/status").read_text(encoding="utf-8")
    line = next(line for line in status.splitlines() if line.startswith("VmHWM:"))
    return int(line.split()[1]) * 1024


@contextmanager
def frozen(*pids: int) -> Iterator[None]:
    """Stop processes while the body runs: connections to them stay, and nothing is answered."""
    for pid in pids:
        os.kill(pid, signal.SIGSTOP)
    try:
        yield
    finally:
        for pid in pids:
            os.kill(pid, signal.SIGCONT)


def until(condition: Callable[[], object], patience: float) -> float:
    """Wait for a condition, so many seconds at most; return when it came to be, or infinity."""
    deadline = time.monotonic() + patience
    while time.monotonic() < deadline:
        if condition():
            return time.monotonic()
        time.sleep(LOOK_SECONDS)
    return float("inf")


@contextmanager
def up(
    data: Path, port: int, workers: int = 1, env: Mapping[str, str] | None = None
) -> Iterator[tuple[psutil.Process, str]]:
    """Run a new `hematovision up` until the body ends, which may freeze it; then kill it.

    Yield its first process and the path that signs in.
    """
    words = ["up", "--data", str(data), "--port", str(port), "--workers", str(workers)]
    program = subprocess.Popen(
        [sys.executable, "-m", "hematovision", *words],
        stdout=subprocess.PIPE,
        text=True,
        env=os.environ | dict(env or {}),
    )
    top = psutil.Process(program.pid)
    try:
        assert program.stdout is not None
        link = next(line for line in program.stdout if "/sign-in/" in line)
        yield top, link[link.index("/sign-in/") :].strip()
    finally:
        for process in [top, *top.children(recursive=True)]:
            with suppress(psutil.NoSuchProcess):
                process.kill()
        program.communicate()
