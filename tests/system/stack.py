"""A whole system under test: `hematovision up` in a process of its own, on real crops."""

from __future__ import annotations

import json
import os
import re
import signal
import socket
import subprocess
import sys
import threading
import time
from contextlib import closing
from pathlib import Path

from core.audit import SYSTEM
from core.db import Database
from core.people import accounts, membership
from hematovision import local
from hematovision.client import Client
from tests.waiting import until

PATIENCE = 90.0


class Stack:
    """One `hematovision up`; ``link`` signs in."""

    def __init__(
        self, data: Path, *options: str, port: int = 0, env: dict[str, str] | None = None
    ) -> None:
        self.data = data
        self.port = port or free_port()
        self._lines: list[str] = []
        self._clients: list[Client] = []
        words = ["up", "--data", str(data), "--port", str(self.port), *options]
        self.process = subprocess.Popen(
            [sys.executable, "-m", "hematovision", *words],
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            env={**os.environ, **(env or {})},
        )
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def _read(self) -> None:
        assert self.process.stdout is not None
        for line in self.process.stdout:
            self._lines.append(line)

    @property
    def url(self) -> str:
        """Where its pages are."""
        return f"http://127.0.0.1:{self.port}"

    @property
    def output(self) -> str:
        """All it has printed so far."""
        return "".join(self._lines)

    def link(self) -> str:
        """Wait for the sign-in link and return it."""
        until(lambda: "/sign-in/" in self.output or self.process.poll() is not None)
        link = re.search(r"http://\S+/sign-in/\S+", self.output)
        assert link, self.output
        return link.group()

    def new_link(self) -> str:
        """Return a sign-in link that nobody has used; the one before opens nothing any more."""
        self.link()
        database = Database(f"sqlite:///{self.data / 'hematovision.db'}")
        with database.writing() as session:
            person = accounts.find_person(session, local.ADMINISTRATOR)
            path = membership.make_link(session, SYSTEM, person, local.LINK_LIFETIME)
        database.dispose()
        return self.url + path

    def client(self) -> Client:
        """Return a client that signs in as this machine's own command line does."""
        self.link()
        note = json.loads((self.data / "client.json").read_text())
        self._clients.append(Client(note["server"], note["token"]))
        return self._clients[-1]

    def run(self, *words: str) -> subprocess.CompletedProcess[str]:
        """Run one command against this system."""
        return subprocess.run(
            [sys.executable, "-m", "hematovision", *words],
            capture_output=True,
            text=True,
            check=False,
            timeout=PATIENCE,
            env={
                **os.environ,
                "HEMATOVISION_DATA": str(self.data),
                "HEMATOVISION_PORT": str(self.port),
            },
        )

    def pids(self, name: str = "") -> list[int]:
        """Return this system's processes, or those of one of its programs, oldest first."""
        pids = []
        for folder in Path("/proc").glob("[0-9]*"):
            command, env = _read_proc(folder / "cmdline"), _read_proc(folder / "environ")
            mine = str(self.data) in command or f"HEMATOVISION_DATA={self.data}" in env
            if mine and command and (not name or _program(command) == name):
                pids.append(int(folder.name))
        return sorted(pids)

    def kill(self, name: str) -> None:
        """Kill -9 the first process of a program: the one that the supervisor started."""
        pids = self.pids(name)
        assert pids, f"no process of {name}"
        os.kill(pids[0], signal.SIGKILL)

    def stop(self, number: signal.Signals = signal.SIGTERM) -> float:
        """Ask it to stop, wait for that, and return how many seconds it took."""
        started = time.monotonic()
        self.process.send_signal(number)
        self.wait()
        return time.monotonic() - started

    def wait(self) -> int:
        """Wait until it has ended by itself and return its exit status."""
        for client in self._clients:
            client.close()
        status = self.process.wait(PATIENCE)
        self._reader.join(5)
        if self.process.stdout:
            self.process.stdout.close()
        return status


def _program(command: str) -> str:
    """Return which of `up`'s programs has this command line."""
    return "redis" if "unixsocket" in command else command.split()[-1]


def _read_proc(path: Path) -> str:
    try:
        return path.read_bytes().replace(b"\0", b" ").decode(errors="replace")
    except OSError:
        return ""


def free_port() -> int:
    """Return a port that nobody listens on now."""
    with closing(socket.socket()) as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
    return port
