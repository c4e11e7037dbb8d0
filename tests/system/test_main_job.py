"""The main job on real crops, every part real: submit, classify, download, survive kills."""

from __future__ import annotations

import csv
import shutil
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from pypdf import PdfReader
from sqlalchemy import func, select

from contract.jobs import JobDetails, JobPage
from core.db import Database
from core.tables import Image, Prediction
from hematovision.client import Client
from tests.system.conftest import CLASSES, CopyCrops
from tests.system.stack import PATIENCE, Stack
from tests.waiting import until

NOTICE = "Not for diagnostic use"


@pytest.fixture(scope="module")
def crops(copy_crops: CopyCrops, tmp_path_factory: pytest.TempPathFactory) -> CopyCrops:
    """Return what makes a folder of so many real crops, in a folder per class."""
    return lambda count: copy_crops(tmp_path_factory.mktemp("crops"), count // len(CLASSES))


@pytest.fixture(scope="module", params=["sqlite", "postgresql"])
def database_env(request: pytest.FixtureRequest) -> dict[str, str]:
    """Return the environment that chooses the database: none, or a new one on PostgreSQL."""
    if request.param == "sqlite":
        return {}
    make = request.getfixturevalue("new_postgresql_database")
    return {"HEMATOVISION_DATABASE_URL": make("main_job")}


@pytest.fixture(scope="module")
def stack(
    database_env: dict[str, str], tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Stack]:
    """A system with two workers on the chosen database."""
    up = Stack(tmp_path_factory.mktemp("stack") / "data", "--workers", "2", env=database_env)
    up.link()
    yield up
    up.stop()


def _rows(file: Path) -> dict[str, dict[str, str]]:
    with file.open(newline="", encoding="utf-8") as lines:
        return {row["file"]: row for row in csv.DictReader(lines)}


def test_a_folder_is_classified_and_agrees_with_predict(
    stack: Stack, crops: CopyCrops, tmp_path: Path
) -> None:
    folder = crops(80)
    words = ["--wait", "--csv", str(tmp_path / "r.csv"), "--pdf", str(tmp_path / "r.pdf")]
    done = stack.run("submit", str(folder), *words)
    assert done.returncode == 0, done.stderr
    assert "80 received = 80 classified" in done.stdout
    assert NOTICE in done.stdout

    alone = stack.run("predict", str(folder), "--csv", str(tmp_path / "p.csv"))
    assert alone.returncode == 0, alone.stderr
    served, local = _rows(tmp_path / "r.csv"), _rows(tmp_path / "p.csv")
    assert list(served) == list(local) and len(served) == 80
    for name, row in served.items():
        assert row.keys() == local[name].keys()
        assert (row["class"], row["model"]) == (local[name]["class"], local[name]["model"])
        assert float(row["confidence"]) == pytest.approx(float(local[name]["confidence"]), abs=1e-4)

    pages = PdfReader(tmp_path / "r.pdf").pages
    assert len(pages) >= 3
    assert all(NOTICE in page.extract_text() for page in pages)


@pytest.mark.parametrize("kind", ["zip", "gztar"])
def test_an_archive_is_a_job_as_its_folder_would_be(
    stack: Stack, crops: CopyCrops, tmp_path: Path, kind: str
) -> None:
    folder = crops(16)
    (folder / "notes.txt").write_text("taken on Monday")
    packed = shutil.make_archive(str(tmp_path / "slide"), kind, folder)
    done = stack.run("submit", packed, "--wait", "--csv", str(tmp_path / "r.csv"))
    assert done.returncode == 0, done.stderr
    assert "Skipped, not an image file (by its extension): notes.txt." in done.stderr
    names = {f"{file.parent.name}/{file.name}" for file in folder.glob("*/*.jpeg")}
    assert set(_rows(tmp_path / "r.csv")) == names
    assert len(names) == 16


def test_killed_workers_and_a_killed_broker_lose_and_double_nothing(
    stack: Stack, crops: CopyCrops, database_env: dict[str, str]
) -> None:
    client, folder = stack.client(), crops(600)
    assert stack.run("submit", str(folder), "--name", "kills").returncode == 0
    job = client.get("/jobs", JobPage).jobs[0]
    _until_some_are_done(client, job.id)
    stack.kill("worker")
    until(lambda: stack.pids("worker"))
    stack.kill("redis")
    ended = _until_ended(client, job.id)

    assert ended.state == "finished"
    counts = ended.counts
    assert counts.received == 600 and counts.failed == 0 and counts.waiting == 0
    assert counts.classified + counts.duplicates == 600
    assert _predictions(stack, database_env, job.id) == counts.classified


def _until_some_are_done(client: Client, job_id: int) -> None:
    until(lambda: client.job(job_id).counts.classified > 0)


def _until_ended(client: Client, job_id: int) -> JobDetails:
    deadline = time.monotonic() + PATIENCE
    while time.monotonic() < deadline:
        job = client.job(job_id)
        if job.state in {"finished", "failed"}:
            return job
        time.sleep(0.3)
    raise AssertionError(f"the job did not end: {job}")


def _predictions(stack: Stack, env: dict[str, str], job_id: int) -> int:
    url = env.get("HEMATOVISION_DATABASE_URL", f"sqlite:///{stack.data / 'hematovision.db'}")
    database = Database(url)
    with database.reading() as session:
        query = select(func.count()).select_from(Prediction).join(Image)
        count = session.scalar(query.where(Image.job_id == job_id))
    database.dispose()
    return count or 0
