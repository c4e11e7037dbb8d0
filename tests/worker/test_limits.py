"""The soft time limit, as the pool of workers gives it; and a process that hangs ends anywhere."""

from __future__ import annotations

import os
import signal
import sqlite3
import subprocess
import sys
import time
from contextlib import closing
from pathlib import Path

import pytest
from billiard.pool import Pool

import migrations
from core.settings import Settings
from worker.limits import OutOfTime, time_limited


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


def run(code: str, *words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", code, *words],
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )


def test_what_holds_pythons_lock_in_foreign_code_is_ended() -> None:
    ended = run(
        "import ctypes; from worker.limits import guarded\n"
        "with guarded(0.5): ctypes.PyDLL(None).sleep(60)"
    )
    assert ended.returncode == 1
    assert "Timeout" in ended.stderr


def test_what_ends_in_time_is_left_alone() -> None:
    ended = run(
        "import time; from worker.limits import guarded\n"
        "for _ in range(3):\n"
        "    with guarded(0.5): time.sleep(0.2)"
    )
    assert (ended.returncode, ended.stderr) == (0, "")


def test_a_sweep_whose_round_hangs_is_ended_to_be_started_afresh(tmp_path: Path) -> None:
    settings = Settings(data=tmp_path)
    migrations.upgrade(settings.database)
    with closing(sqlite3.connect(tmp_path / "hematovision.db", isolation_level=None)) as writer:
        writer.execute("BEGIN IMMEDIATE")
        ended = run(
            "import sys, threading; from core.db import Database; from core.queue import *\n"
            "from core.blobs import LocalBlobs; from core.installation import Installation\n"
            "from core.settings import Settings; from worker.sweeper import run\n"
            "settings = Settings.from_env(data=sys.argv[1])\n"
            "store = LocalBlobs(settings.blobs); database = Database(settings.database)\n"
            "opened = Installation(settings, database, store, MemoryQueue())\n"
            "run(opened, threading.Event(), 1.0)",
            str(tmp_path),
        )
    assert ended.returncode == 1
    assert "sweep_once" in ended.stderr
