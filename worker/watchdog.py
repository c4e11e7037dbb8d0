"""A time limit that holds even where Python itself hangs in somebody else's code.

The interpreter's own fault handler watches from a thread that needs no lock of Python's. When the
time is over it writes where every thread stands to standard error and ends the process; whatever
supervises the process starts it afresh.
"""

from __future__ import annotations

import faulthandler
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def guarded(seconds: float) -> Iterator[None]:
    """End this process unless the body ends within so many ``seconds``. Not to be nested."""
    faulthandler.dump_traceback_later(seconds, exit=True)
    try:
        yield
    finally:
        faulthandler.cancel_dump_traceback_later()
