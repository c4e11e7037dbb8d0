"""The worker container's health check."""

from __future__ import annotations

import importlib.util
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import pytest

from core.db import Database, clock
from core.tables import Worker


@pytest.fixture
def heartbeat(root: Path) -> ModuleType:
    """Return the script as a module."""
    spec = importlib.util.spec_from_file_location("heartbeat", root / "deploy" / "heartbeat.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def _beat(database: Database, name: str, age: float) -> None:
    with database.writing() as session:
        seen_at = clock() - age
        session.add(Worker(name=name, device="cpu", backend="x", model_digest="d", seen_at=seen_at))


def test_a_host_lives_while_one_of_its_processes_does(
    database: Database, heartbeat: ModuleType
) -> None:
    assert not heartbeat.lives(database, "a1b2")
    _beat(database, "a1b2:17", age=120.0)
    _beat(database, "a1b2c3:5", age=0.0)
    assert not heartbeat.lives(database, "a1b2")
    _beat(database, "a1b2:18", age=2.0)
    assert heartbeat.lives(database, "a1b2")


def test_the_script_ends_with_an_error_where_no_worker_lives(
    migrated_sqlite: Path, root: Path
) -> None:
    done = subprocess.run(
        [sys.executable, root / "deploy" / "heartbeat.py"],
        env={"HEMATOVISION_DATABASE_URL": f"sqlite:///{migrated_sqlite}", "HOME": str(root)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stderr) == (1, "")
