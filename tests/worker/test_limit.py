"""The soft time limit, as the pool of workers gives it."""

from __future__ import annotations

import os
import signal
import time

import pytest
from billiard.pool import Pool

from worker.limit import OutOfTime, time_limited


def _swallow(seconds: float) -> str:
    """Work that takes every error for one of its own, as some libraries do."""
    with time_limited("a shard"):
        ends = time.monotonic() + seconds
        while time.monotonic() < ends:
            try:
                time.sleep(0.01)
            except Exception:
                return "taken for an error"
        return "never stopped"
    return "stopped"


def test_the_pool_s_limit_ends_work_that_catches_every_error() -> None:
    pool = Pool(1, soft_timeout=1, timeout=60)
    try:
        assert pool.apply_async(_swallow, (30,)).get(timeout=50) == "stopped"
        assert pool.apply_async(_swallow, (0.1,)).get(timeout=50) == "never stopped"
    finally:
        pool.terminate()
        pool.join()


def test_the_handler_before_is_back_afterwards() -> None:
    before = signal.getsignal(signal.SIGUSR1)
    with time_limited("a shard"):
        os.kill(os.getpid(), signal.SIGUSR1)
    assert signal.getsignal(signal.SIGUSR1) is before


def test_no_handler_of_errors_catches_it() -> None:
    assert not issubclass(OutOfTime, Exception)
    with pytest.raises(ValueError, match="an error"), time_limited("a shard"):
        raise ValueError("an error of the work goes on upwards")
