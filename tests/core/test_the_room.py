"""The room itself: what belongs to it, what it never loads, and where it agrees with `ml`."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import core

ROOM = Path(core.__file__).parent
MODULES = {
    "__init__",
    "accounts",
    "agreement",
    "archives",
    "archives.gunzip",
    "archives.letters",
    "archives.member",
    "archives.names",
    "archives.reading",
    "archives.taking",
    "archives.tar",
    "archives.zip",
    "audit",
    "blobs",
    "blobs.keeping",
    "blobs.local",
    "blobs.mark",
    "blobs.memory",
    "blobs.sound",
    "bulk",
    "db",
    "derivatives",
    "durable",
    "erasure",
    "errors",
    "explanations",
    "group",
    "headers",
    "installation",
    "intake",
    "intentions",
    "jobs",
    "jobs.arrival",
    "jobs.cleaning",
    "jobs.deletion",
    "jobs.differential",
    "jobs.dispatch",
    "jobs.holdings",
    "jobs.keeping",
    "jobs.lock",
    "jobs.purging",
    "jobs.queries",
    "jobs.recovery",
    "jobs.shards",
    "jobs.skipping",
    "jobs.submission",
    "jobs.tallies",
    "making",
    "membership",
    "memory",
    "models",
    "outages",
    "passwords",
    "people",
    "postgresql",
    "queue",
    "quotas",
    "registry",
    "reports",
    "scores",
    "settings",
    "sign_ins",
    "space",
    "sqlite_files",
    "states",
    "tables",
    "trail",
}
HEAVY = (
    *("flask", "tensorflow", "keras", "onnxruntime", "numpy", "reportlab", "web", "worker", "ml"),
    *("tifffile", "imagecodecs", "pi_heif"),
)


def _name(file: Path) -> str:
    dotted = ".".join(file.relative_to(ROOM).with_suffix("").parts)
    return dotted if dotted == "__init__" else dotted.removesuffix(".__init__")


def test_the_list_of_modules_is_closed() -> None:
    """A new module here is one that web and worker must both agree on; else it lives with them."""
    assert {_name(file) for file in ROOM.rglob("*.py")} == MODULES


def test_importing_all_of_it_loads_no_page_and_no_network_and_makes_nothing(
    tmp_path: Path,
) -> None:
    names = ", ".join(f"core.{name}" for name in sorted(MODULES - {"__init__"}))
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
