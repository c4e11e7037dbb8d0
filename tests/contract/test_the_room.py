"""The room itself: what it never loads, and that the command line reads it without Flask."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

import contract

ROOM = Path(contract.__file__).parent
MODULES = sorted(f"contract.{file.stem}" for file in ROOM.glob("*.py") if file.stem != "__init__")
CLIENT = ["hematovision.commands.work", "hematovision.commands.deletion"]


@pytest.mark.parametrize(
    ("modules", "heavy"),
    [(MODULES, ("flask", "sqlalchemy", "core", "httpx")), (CLIENT, ("flask", "werkzeug", "web"))],
)
def test_a_process_that_reads_answers_loads_no_server(
    modules: list[str], heavy: tuple[str, ...]
) -> None:
    script = f"import sys, {', '.join(modules)}\nprint([n for n in {heavy!r} if n in sys.modules])"
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", script],
        capture_output=True,
        text=True,
        cwd=ROOM.parent,
        check=False,
    )
    assert (done.stdout, done.stderr) == ("[]\n", "")
