"""The room itself: what belongs to it, what it never loads, and where it agrees with `ml`."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import core

ROOM = Path(core.__file__).parent
HEAVY = (
    *("flask", "tensorflow", "keras", "onnxruntime", "numpy", "reportlab", "web", "worker", "ml"),
    *("tifffile", "imagecodecs", "pi_heif"),
)


def _dotted(file: Path) -> str:
    return ".".join(("core", *file.relative_to(ROOM).with_suffix("").parts)).removesuffix(
        ".__init__"
    )


def test_importing_all_of_it_loads_no_page_and_no_network_and_makes_nothing(
    tmp_path: Path,
) -> None:
    names = ", ".join(sorted(_dotted(file) for file in ROOM.rglob("*.py")))
    script = (
        f"import sys, {names}\nprint([name for name in {HEAVY!r} if name in sys.modules])\n"
        "import threading; print(threading.active_count())"
    )
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", script],
        capture_output=True,
        text=True,
        cwd=tmp_path,
        env={"HOME": str(tmp_path), "HEMATOVISION_PORT": "nonsense"},
        check=False,
    )
    assert (done.stdout.split("\n")[:2], done.stderr) == (["[]", "1"], "")
    assert list(tmp_path.iterdir()) == []
