"""The time limit of a task, as something that no handler of errors takes for an error.

Celery's own soft limit is an ordinary exception: whatever catches all of a decoder's errors, here
or in a library, takes it for one of those, and an innocent image is called damaged.
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
    """Let the soft limit end the body, wherever it is; what was left is tried again by the sweep.

    Celery sets its own handler once a process is up, so this stands round every task.
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
