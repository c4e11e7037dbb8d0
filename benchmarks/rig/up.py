"""A new `hematovision up` in a process of its own, with a worker and pages as people have them."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path

import psutil


@contextmanager
def up(
    data: Path, port: int, workers: int = 1, env: Mapping[str, str] | None = None
) -> Iterator[tuple[psutil.Process, str]]:
    """Run a new system until the body ends, which may freeze it; then kill it.

    Yield its first process and the path that signs in.
    """
    words = ["up", "--data", str(data), "--port", str(port), "--workers", str(workers)]
    program = subprocess.Popen(
        [sys.executable, "-m", "hematovision", *words],
        stdout=subprocess.PIPE,
        text=True,
        env=os.environ | dict(env or {}),
    )
    top = psutil.Process(program.pid)
    try:
        assert program.stdout is not None
        link = next(line for line in program.stdout if "/sign-in/" in line)
        yield top, link[link.index("/sign-in/") :].strip()
    finally:
        for process in [top, *top.children(recursive=True)]:
            with suppress(psutil.NoSuchProcess):
                process.kill()
        program.communicate()
