"""Keeps programs running: starts them in order, restarts any that end, and stops them all.

A worker may end by itself when its broker restarts (celery and redis-py do not survive every such
break), so restarting is part of normal work, not only of disasters.
"""

from __future__ import annotations

import ctypes
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

# Longest wait for a program to end after it was asked to; then it is killed.
STOP_SECONDS = 8.0
_LONGEST_PAUSE = 10.0
_STEADY_SECONDS = 20.0
_LARGEST_LOG = 10 * 1024 * 1024
_PR_SET_PDEATHSIG = 1


@dataclass(frozen=True, slots=True)
class Program:
    """One program: its name in messages and logs, and how it is started.

    ``niceness``: how far it yields to programs that want the same core, 0 (not at all) to 19.
    """

    name: str
    argv: Sequence[str]
    env: Mapping[str, str] = field(default_factory=dict)
    niceness: int = 0


class Supervisor:
    """Runs programs until told to stop. ``say`` gets one sentence for each thing that happens."""

    def __init__(self, programs: Sequence[Program], logs: Path, say: Callable[[str], None]) -> None:
        self._children = [_Child(program, logs / f"{program.name}.log") for program in programs]
        self._say = say
        self._stopping = threading.Event()

    def start(self) -> None:
        """Start every program, in the order given."""
        for child in self._children:
            child.start()

    def watch(self) -> None:
        """Restart programs that end until `request_stop`, then stop all in reverse order."""
        try:
            while not self._stopping.wait(0.2):
                for child in self._children:
                    self._look_after(child)
        finally:
            self.stop()

    def request_stop(self, *_: object) -> None:
        """Ask `watch` to end. It can serve as a signal handler."""
        self._stopping.set()

    @property
    def stopping(self) -> bool:
        """Whether a stop was requested."""
        return self._stopping.is_set()

    def stop(self) -> None:
        """End every program: ask, wait up to `STOP_SECONDS`, then kill its whole group."""
        for child in reversed(self._children):
            child.stop()

    def _look_after(self, child: _Child) -> None:
        if child.died():
            self._say(f"{child.program.name} ended ({child.ending()}) and is being restarted.")
        if child.due():
            child.start()


class _Child:
    """One program's process, and how soon it may be started again."""

    def __init__(self, program: Program, log: Path) -> None:
        self.program = program
        self._log = log
        self._process: subprocess.Popen[bytes] | None = None
        self._started = 0.0
        self._pause = 0.0
        self._next_start: float | None = None
        self._code = 0

    def start(self) -> None:
        self._next_start = None
        self._started = time.monotonic()
        _make_room(self._log)
        with self._log.open("ab") as log:
            self._process = subprocess.Popen(
                self.program.argv,
                env={**os.environ, **self.program.env},
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
                preexec_fn=partial(_prepare, self.program.niceness),
            )

    def died(self) -> bool:
        """Whether it has ended since it was last looked at; sets the time of its next start."""
        if self._process is None or self._process.poll() is None:
            return False
        steady = time.monotonic() - self._started > _STEADY_SECONDS
        self._pause = 0.2 if steady else min(_LONGEST_PAUSE, max(0.2, self._pause * 2))
        self._next_start = time.monotonic() + self._pause
        self._forget()
        return True

    def due(self) -> bool:
        return self._next_start is not None and time.monotonic() >= self._next_start

    def ending(self) -> str:
        if self._code < 0:
            return f"by signal {signal.Signals(-self._code).name}"
        return f"exit status {self._code}, see {self._log}"

    def stop(self) -> None:
        if self._process is None:
            return
        if self._process.poll() is None:
            self._process.terminate()
            try:
                self._process.wait(STOP_SECONDS)
            except subprocess.TimeoutExpired:
                self._process.kill()
        self._forget()

    def _forget(self) -> None:
        """End what the program started and left behind, before its process number is used again."""
        if self._process:
            with suppress(ProcessLookupError, PermissionError):
                os.killpg(self._process.pid, signal.SIGKILL)
            self._code = self._process.wait()
            self._process = None


def _prepare(niceness: int) -> None:
    """Prepare the new process before its program begins."""
    os.nice(niceness)
    if sys.platform != "linux":
        return
    # The program ends if the supervisor itself is killed.
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)
    # If the kernel shares cores out by session, niceness counts within one, and this between them.
    with suppress(OSError):
        Path("/proc/self/autogroup").write_text(str(niceness), encoding="ascii")


def _make_room(log: Path) -> None:
    if log.exists() and log.stat().st_size > _LARGEST_LOG:
        log.replace(log.with_suffix(".log.1"))
