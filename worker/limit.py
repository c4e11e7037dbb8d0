"""The time limit of a task, raised in a way that no error handler catches by mistake.

Celery's own soft limit is an ordinary exception. Code that catches all errors of a decoder, here or
in a library, would catch it too, and a sound image would be reported as damaged.
"""

from __future__ import annotations

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
