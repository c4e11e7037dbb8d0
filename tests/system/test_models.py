"""The same images under two models of one running system, and a shadow beside the active one."""

from __future__ import annotations

import csv
import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image as Picture

from ml.bundle import Bundle, default_bundle_path
from ml.bundle.folder import METADATA
from tests.system.stack import Stack
from tests.waiting import until

IMAGES = 5


@pytest.fixture
def turned(tmp_path: Path) -> Bundle:
    """The shipped network, its classes named one further round: it agrees on no image."""
    folder = tmp_path / "turned"
    shutil.copytree(default_bundle_path(), folder)
    document = json.loads((folder / METADATA).read_text())
    document["version"] = "turned"
    document["classes"] = document["classes"][1:] + document["classes"][:1]
    (folder / METADATA).write_text(json.dumps(document))
    return Bundle.load(folder)


def images(folder: Path) -> Path:
    """Write some pictures, each of its own."""
    folder.mkdir()
    for seed in range(IMAGES):
        colours = np.random.default_rng(seed).integers(0, 255, (40, 40, 3), dtype=np.uint8)
        Picture.fromarray(colours).save(folder / f"{seed}.png")
    return folder


def submitted(stack: Stack, folder: Path, table: Path, *options: str) -> list[dict[str, str]]:
    """Submit a folder, wait, and return the rows of its CSV."""
    done = stack.run("submit", str(folder), "--csv", str(table), *options)
    assert done.returncode == 0, done.stderr
    with table.open(newline="") as file:
        return list(csv.DictReader(file))


def listed(stack: Stack) -> dict[str, dict[str, object]]:
    """Return what is listed of the models, by version."""
    done = stack.run("model", "list", "--json")
    return {model["version"]: model for model in json.loads(done.stdout)}


def test_two_models_side_by_side(stack: Stack, turned: Bundle, tmp_path: Path) -> None:
    folder = images(tmp_path / "images")
    before = submitted(stack, folder, tmp_path / "first.csv")
    assert stack.run("model", "add", str(turned.path)).returncode == 0
    digest = turned.digest[:12]
    other = submitted(stack, folder, tmp_path / "other.csv", "--model", digest)
    assert all(digest in row["model"] for row in other)
    assert all(a["class"] != b["class"] for a, b in zip(before, other, strict=True))
    unknown = stack.run("submit", str(folder), "--model", "0123")
    assert unknown.returncode == 1 and digest in unknown.stderr

    assert stack.run("model", "activate", digest).returncode == 0
    assert submitted(stack, folder, tmp_path / "second.csv") == other
    assert stack.run("model", "rollback").returncode == 0
    assert submitted(stack, folder, tmp_path / "third.csv") == before

    assert stack.run("model", "shadow", digest).returncode == 0
    assert submitted(stack, folder, tmp_path / "fourth.csv") == before
    until(lambda: (listed(stack)["turned"]["agreement"] or {}).get("images"))  # type: ignore[attr-defined]
    agreement = listed(stack)["turned"]["agreement"]
    assert isinstance(agreement, dict) and agreement["equal"] == 0
