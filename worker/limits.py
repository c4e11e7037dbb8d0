"""Two time limits that hold whatever the work does: one ends a task, one ends the process.

Celery's own soft limit is an ordinary exception. Code that catches all errors of a decoder, here or
in a library, would catch it too, and a sound image would be reported as damaged. `time_limited`
raises an exception that no error handler catches by mistake.

`guarded` holds even if Python hangs in foreign code. The interpreter's fault handler watches from a
thread that does not need Python's lock. When the time is over, it writes the stack of every thread
to standard error and ends the process; whatever supervises the process restarts it.
"""

from __future__ import annotations

import faulthandler
import logging
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

# What the pool sends to a process that has reached the soft limit.
_SIGNAL = signal.SIGUSR1

log = logging.getLogger(__name__)


class OutOfTime(BaseException):
    """The task has reached its soft time limit. What it holds is given back; nothing is judged."""


@contextmanager
def time_limited(task: str) -> Iterator[None]:
    """Let the soft limit end the body, wherever it is; the sweep has the rest tried again.

    Celery sets its own handler once a process is up, so every task must be wrapped in this.
    """
    before = signal.signal(_SIGNAL, _end)
    try:
        yield
    except OutOfTime:
        log.warning("A task ran out of time and is tried again: %s.", task)
    finally:
        signal.signal(_SIGNAL, before)


def _end(_signal: int, _frame: FrameType | None) -> None:
    raise OutOfTime


@contextmanager
def guarded(seconds: float) -> Iterator[None]:
    """End this process unless the body ends within ``seconds``. Must not be nested."""
    faulthandler.dump_traceback_later(seconds, exit=True)
    try:
        yield
    finally:
        faulthandler.cancel_dump_traceback_later()
