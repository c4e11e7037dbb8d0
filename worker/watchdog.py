"""A time limit that holds even if Python hangs in foreign code.

The interpreter's fault handler watches from a thread that does not need Python's lock. When the
time is over, it writes the stack of every thread to standard error and ends the process; whatever
supervises the process restarts it.
"""

from __future__ import annotations

import faulthandler
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def guarded(seconds: float) -> Iterator[None]:
    """End this process unless the body ends within ``seconds``. Must not be nested."""
    faulthandler.dump_traceback_later(seconds, exit=True)
    try:
        yield
    finally:
        faulthandler.cancel_dump_traceback_later()
