"""A process that hangs ends, wherever it hangs."""

from __future__ import annotations

import sqlite3
import subprocess
import sys
from contextlib import closing
from pathlib import Path

import migrations
from core.settings import Settings


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
        "import ctypes; from worker.watchdog import guarded\n"
        "with guarded(0.5): ctypes.PyDLL(None).sleep(60)"
    )
    assert ended.returncode == 1
    assert "Timeout" in ended.stderr


def test_what_ends_in_time_is_left_alone() -> None:
    ended = run(
        "import time; from worker.watchdog import guarded\n"
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
