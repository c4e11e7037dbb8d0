"""What it costs that what is answered is on the disk: files taken in by one process.

    python -m benchmarks.durability ../shared/data/bccd4/TRAIN --files 2000 --pairs 5

The application over SQLite and a store on this disk, called without a network: the manifest and
single bodies by some threads, or all in one tar. In pairs: as it is, and with the last flushes left
out, after which a power cut would lose what was answered: SQLite with synchronous=NORMAL, a commit
per file, and folders that are never flushed. The bytes of each file are flushed in both.
"""

from __future__ import annotations

import hashlib
import io
import json
import statistics
import tarfile
import tempfile
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import click
from flask import Flask
from sqlalchemy import Engine, event
from sqlalchemy.orm import Session

import migrations
from core.blobs import LocalBlobs, durable
from core.db import Database
from core.installation import Installation
from core.people import accounts, tokens
from core.queue import MemoryQueue
from core.settings import Settings
from core.states import TokenKind
from hematovision.client import MANIFEST_PAGE
from web import create_app

_THREADS = 4


@dataclass(frozen=True)
class Speed:
    """Files/s, and milliseconds of processor time a file."""

    rate: float
    milliseconds: float


@dataclass(frozen=True)
class File:
    """A file to send."""

    name: str
    data: bytes

    def entry(self) -> dict[str, Any]:
        """Its line of the manifest."""
        digest = hashlib.sha256(self.data).hexdigest()
        return {"name": self.name, "size": len(self.data), "sha256": digest}


class Door:
    """An application of its own, and somebody who sends to it."""

    def __init__(self, folder: Path) -> None:
        settings = Settings(data=folder, secret_key="for benchmarks only, thirty-two chars")
        migrations.upgrade(settings.database)
        self.database = Database(settings.database)
        with self.database.writing() as session:
            accounts.ensure_roles(session)
            owner = accounts.first_administrator(session, "benchmark@localhost")
            token = tokens.issue(session, owner, TokenKind.API, "benchmark")
        self._headers = {"Authorization": f"Bearer {token}"}
        blobs = LocalBlobs(folder / "blobs")
        self._app: Flask = create_app(Installation(settings, self.database, blobs, MemoryQueue()))

    def call(self, method: str, path: str, body: bytes) -> Any:
        """Send a request; return its JSON."""
        kind = "application/json" if method == "POST" else "application/octet-stream"
        answer = self._app.test_client().open(
            f"/api/v1{path}", method=method, data=body, headers=self._headers, content_type=kind
        )
        assert answer.status_code < 300, answer.text
        return answer.json

    def open_job(self) -> int:
        """Open a job; return its id."""
        return int(self.call("POST", "/jobs", b'{"name": "benchmark"}')["id"])


def send_bodies(door: Door, job_id: int, files: list[File]) -> None:
    """Send each file by itself, some at a time."""
    with ThreadPoolExecutor(_THREADS) as pool:
        for start in range(0, len(files), MANIFEST_PAGE):
            page = files[start : start + MANIFEST_PAGE]
            entries = json.dumps({"files": [file.entry() for file in page]}).encode()
            lines = door.call("POST", f"/jobs/{job_id}/manifest", entries)["files"]
            pairs = [(f, line["id"]) for f, line in zip(page, lines, strict=True) if line["needed"]]
            list(pool.map(lambda pair: _send_body(door, job_id, *pair), pairs))


def _send_body(door: Door, job_id: int, file: File, image_id: int) -> None:
    door.call("PUT", f"/jobs/{job_id}/images/{image_id}", file.data)


def send_tar(door: Door, job_id: int, files: list[File]) -> None:
    """Send all files as one tar."""
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w") as archive:
        for file in files:
            member = tarfile.TarInfo(file.name)
            member.size = len(file.data)
            archive.addfile(member, io.BytesIO(file.data))
    door.call("PUT", f"/jobs/{job_id}/archive", out.getvalue())


WAYS: dict[str, Callable[[Door, int, list[File]], None]] = {
    "single bodies": send_bodies,
    "one tar": send_tar,
}


@contextmanager
def forgetful() -> Iterator[None]:
    """Leave out, within the body, what only a power cut would miss."""
    flush, together = durable.flush_path, Database.together

    def relax(connection: Any, _record: object) -> None:
        connection.execute("PRAGMA synchronous=NORMAL")

    def alone(self: Database, work: Callable[[Session], Any]) -> Any:
        with self.writing() as session:
            return work(session)

    durable.flush_path = lambda path: None
    Database.together = alone  # type: ignore[method-assign]
    event.listen(Engine, "connect", relax)
    try:
        yield
    finally:
        event.remove(Engine, "connect", relax)
        durable.flush_path, Database.together = flush, together  # type: ignore[method-assign]


def measure(way: str, files: list[File], folder: Path | None) -> Speed:
    """Send the files to a new application whose data lies below ``folder``."""
    with tempfile.TemporaryDirectory(dir=folder) as data:
        door = Door(Path(data))
        job_id = door.open_job()
        began, before = time.perf_counter(), time.process_time()
        WAYS[way](door, job_id, files)
        seconds, spent = time.perf_counter() - began, time.process_time() - before
        door.database.dispose()
        return Speed(len(files) / seconds, 1000 * spent / len(files))


def pair(way: str, files: list[File], folder: Path | None) -> tuple[Speed, Speed]:
    """Measure as it is and forgetful, one right after the other."""
    safe = measure(way, files, folder)
    with forgetful():
        return safe, measure(way, files, folder)


@click.command()
@click.argument("folder", type=click.Path(exists=True, path_type=Path))
@click.option("--files", "count", default=2000, show_default=True, help="How many are sent.")
@click.option("--pairs", default=5, show_default=True, help="How often it is measured.")
@click.option(
    "--place", "disk", type=click.Path(path_type=Path), help="Folder on the disk to measure."
)
def main(folder: Path, count: int, pairs: int, disk: Path | None) -> None:
    """Print how fast FOLDER's images are taken in, in each way."""
    paths = sorted(folder.rglob("*.jp*g"))[:count]
    files = [File(path.name, path.read_bytes()) for path in paths]
    for way in WAYS:
        ratios = []
        for number in range(1, pairs + 1):
            safe, unsafe = pair(way, files, disk)
            ratios.append(safe.rate / unsafe.rate)
            click.echo(
                f"{way:14}{number:3}: {safe.rate:7,.0f} files/s, {safe.milliseconds:.2f} ms of a "
                f"core each; forgetful {unsafe.rate:7,.0f}, {unsafe.milliseconds:.2f}"
            )
        click.echo(f"{way:14} median {statistics.median(ratios):.2f} of the forgetful speed")


if __name__ == "__main__":
    main()
