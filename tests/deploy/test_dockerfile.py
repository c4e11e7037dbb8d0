"""The Dockerfile and what goes into it: locked, small, nobody's root, and whole."""

from __future__ import annotations

import re
import subprocess
import sys
import tomllib
import zipfile
from pathlib import Path

import pytest

IMAGES = ("web", "worker-cpu", "worker-gpu")


def _stage(dockerfile: str, name: str) -> str:
    """Return the lines of one stage."""
    stages = re.split(r"^FROM ", dockerfile, flags=re.MULTILINE)
    [stage] = [stage for stage in stages if re.match(rf"\S+ AS {name}\n", stage)]
    return stage


@pytest.mark.parametrize("image", IMAGES)
def test_an_image_installs_its_own_lock_file_and_nothing_unlocked(
    image: str, dockerfile: str, root: Path
) -> None:
    stage = _stage(dockerfile, f"build-{image}")
    installs = re.findall(r"pip install ([^\n]*)", stage)
    assert len(installs) == 2
    assert installs[0].endswith(f"--require-hashes -r locks/{image}.txt")
    assert "--no-deps" in installs[1]
    assert (root / "locks" / f"{image}.txt").is_file()
    assert f"COPY --from=build-{image} " in _stage(dockerfile, image)


@pytest.mark.parametrize("image", IMAGES)
def test_an_image_runs_as_nobody_in_particular_and_says_how_it_is(
    image: str, dockerfile: str
) -> None:
    stage = _stage(dockerfile, image)
    assert re.search(r"^USER hematovision$", stage, re.MULTILINE)
    assert "HEALTHCHECK " in stage
    assert stage.rstrip().splitlines()[-1].startswith('CMD ["hematovision", ')


@pytest.mark.parametrize(
    ("image", "absent"),
    [
        ("web", ("tensorflow", "onnxruntime", "numpy", "reportlab")),
        ("worker-cpu", ("tensorflow", "flask", "gunicorn")),
        ("worker-gpu", ("flask", "gunicorn")),
    ],
)
def test_an_image_carries_no_other_rooms_packages(
    image: str, absent: tuple[str, ...], root: Path
) -> None:
    locked = (root / "locks" / f"{image}.txt").read_text()
    names = set(re.findall(r"^([a-z0-9-]+)==", locked, re.MULTILINE))
    assert "psycopg" in names
    assert not names & set(absent)


def test_what_is_copied_is_let_through_and_patients_data_is_not(
    dockerfile: str, root: Path
) -> None:
    ignore = (root / ".dockerignore").read_text().splitlines()
    assert ignore[1] == "*"
    allowed = {line[1:] for line in ignore if line.startswith("!")}
    copied: set[str] = set()
    for words in re.findall(r"^COPY (?!--from)(.*) \S+$", dockerfile, re.MULTILINE):
        copied |= set(words.split())
    for path in copied:
        assert (root / path).exists()
        assert any(path == prefix or path.startswith(f"{prefix}/") for prefix in allowed), path
    assert allowed <= copied | {"locks"}


def test_every_room_is_copied(dockerfile: str, root: Path) -> None:
    project = tomllib.loads((root / "pyproject.toml").read_text())
    rooms = project["tool"]["setuptools"]["packages"]["find"]["include"]
    for room in rooms:
        assert f"\nCOPY {room.rstrip('*')} " in dockerfile


def test_the_installed_product_is_whole(root: Path, tmp_path: Path) -> None:
    """Templates, migrations and the bundle are no modules: a wheel leaves them out unless told."""
    rooms = ("contract", "core", "hematovision", "lexicon", "migrations", "ml", "web", "worker")
    source = tmp_path / "source"
    source.mkdir()
    for name in (*rooms, "pyproject.toml", "README.md", "LICENSE"):
        (source / name).symlink_to(root / name)
    build = f"from setuptools import build_meta; build_meta.build_wheel({str(tmp_path)!r})"
    done = subprocess.run(
        [sys.executable, "-c", build], cwd=source, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    [wheel] = tmp_path.glob("*.whl")
    packed = set(zipfile.ZipFile(wheel).namelist())
    for room in rooms:
        for file in (root / room).rglob("*"):
            path = file.relative_to(root)
            if file.is_file() and "__pycache__" not in path.parts:
                assert str(path) in packed
