"""Waiting in a test for what other processes or threads do."""

from __future__ import annotations

import time
from collections.abc import Callable


def until(condition: Callable[[], object], seconds: float = 90.0, pause: float = 0.05) -> None:
    """Wait for ``condition`` to become true, looking every so many seconds, or fail."""
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "it never happened"
        time.sleep(pause)
