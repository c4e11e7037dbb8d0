"""The room itself: what belongs to it, what it never loads, and where it agrees with `ml`."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import core
from core import intake
from core.cells import CELL_TYPES, cell_type, display_order
from ml import cells as network_cells
from ml import images as network_images

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
    "cells",
    "db",
    "derivatives",
    "durable",
    "durations",
    "erasure",
    "errors",
    "explanations",
    "folders",
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
    "outcomes",
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


def test_pages_and_network_call_the_same_cells_by_the_same_names_and_codes() -> None:
    shown = {cell.name: cell.code for cell in CELL_TYPES}
    assert shown == {cell.name: cell.code for cell in network_cells.CELL_TYPES}


def test_the_door_and_the_decoder_take_the_same_formats() -> None:
    assert list(intake.FORMATS) == list(network_images.FORMATS)
    assert list(intake.SUFFIXES) == list(network_images.SUFFIXES)


def test_each_cell_type_has_a_code_and_a_colour_of_its_own() -> None:
    assert len({cell.code for cell in CELL_TYPES}) == len(CELL_TYPES)
    assert len({cell.colour for cell in CELL_TYPES}) == len(CELL_TYPES)


def test_a_class_that_no_table_knows_is_shown_all_the_same() -> None:
    strange = cell_type("smudge_cell")
    assert (strange.label, strange.code) == ("Smudge cell", "SM")
    assert display_order("smudge_cell") > max(display_order(cell.name) for cell in CELL_TYPES)
