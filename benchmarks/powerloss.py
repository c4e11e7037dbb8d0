"""What is left after the power fails right after the last answer.

    sudo python -m benchmarks.powerloss ../shared/data/bccd4/TRAIN --files 60 --rounds 3

The data folder lies on an ext4 of its own, on a loop device that writes past this machine's cache
into its file. A new `hematovision up` takes the files in; at the last answer its processes are
frozen and the device's file is copied, which is what a disk holds whose power was cut: only what
was flushed. The copy is mounted, its journal played back, and everything that was answered is
looked for: the job, each file's row, and its bytes by their hash. The ext4 commits by itself only
every five minutes, so that nothing is there by luck; the copy takes some tens of milliseconds.

Needs root, loop devices and mkfs.ext4, and says so where it can't run.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import sys
import tarfile
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

import click
import psutil
from sqlalchemy import select
from sqlalchemy.exc import SQLAlchemyError

from contract.jobs import NewJob, Submission
from core.blobs import LocalBlobs, image_key
from core.db import Database
from core.errors import BlobMissing
from core.states import ImageState, JobState
from core.tables import Image, Job
from hematovision.archive import send
from hematovision.client import Client, connection, upload
from hematovision.collecting import LocalFile, collect

WAYS = ("single bodies", "one tar", "submit")
# More than the reserve that intake leaves free; what holds nothing is not copied.
_MEGABYTES = 4096
_TOOLS = ("losetup", "mkfs.ext4", "mount", "umount")


@dataclass(frozen=True)
class Loss:
    """What was answered, and what of it was gone; ``seconds`` is how long the copy took."""

    answered: int
    gone: int
    seconds: float


def obstacle(*others: str) -> str | None:
    """Return why this, which also needs other programs, can't run here, or None."""
    if os.geteuid() != 0:
        return "it mounts a disk of its own, which needs root"
    missing = [tool for tool in (*_TOOLS, *others) if not shutil.which(tool)]
    if missing:
        return f"{', '.join(missing)} is not installed"
    found = subprocess.run(["losetup", "--find"], capture_output=True, text=True, check=False)
    return None if found.returncode == 0 else f"there is no loop device ({found.stderr.strip()})"


def new_disk(image: Path) -> Path:
    """Make a file that holds an empty ext4."""
    with image.open("wb") as file:
        file.truncate(_MEGABYTES * 2**20)
    run("mkfs.ext4", "-q", "-F", str(image))
    return image


@contextmanager
def mounted(image: Path, place: Path) -> Iterator[Path]:
    """Mount a disk's file; its journal is played back."""
    options = "commit=300,noatime"
    device = run("losetup", "--direct-io=on", "--find", "--show", str(image)).strip()
    try:
        place.mkdir()
        run("mount", "-o", options, device, str(place))
        try:
            yield place
        finally:
            _unmount(place)
    finally:
        run("losetup", "--detach", device)


def _unmount(place: Path) -> None:
    for _ in range(50):
        if subprocess.run(["umount", str(place)], capture_output=True, check=False).returncode == 0:
            return
        time.sleep(0.2)
    run("umount", "--lazy", str(place))


def run(*words: str) -> str:
    """Run a program of the system's; return what it printed."""
    return subprocess.run(words, check=True, capture_output=True, text=True).stdout


@contextmanager
def system(
    data: Path, port: int, workers: int = 1, env: Mapping[str, str] | None = None
) -> Iterator[tuple[psutil.Process, str]]:
    """Run a new system until the body ends, which may freeze it.

    Yield its first process and the path that signs in.
    """
    words = ["up", "--data", str(data), "--port", str(port), "--workers", str(workers)]
    up = subprocess.Popen(
        [sys.executable, "-m", "hematovision", *words],
        stdout=subprocess.PIPE,
        text=True,
        env=os.environ | dict(env or {}),
    )
    top = psutil.Process(up.pid)
    try:
        assert up.stdout is not None
        link = next(line for line in up.stdout if "/sign-in/" in line)
        yield top, link[link.index("/sign-in/") :].strip()
    finally:
        for process in [top, *top.children(recursive=True)]:
            with suppress(psutil.NoSuchProcess):
                process.kill()
        up.communicate()


def cut(top: psutil.Process, image: Path, copy: Path) -> float:
    """Freeze the system and copy its disk as it is; return the seconds that took."""
    began = time.perf_counter()
    for process in [top, *top.children(recursive=True)]:
        with suppress(psutil.NoSuchProcess):
            process.suspend()
    run("cp", "--sparse=auto", str(image), str(copy))
    return time.perf_counter() - began


def hand_in(way: str, client: Client, files: list[LocalFile], folder: Path) -> int:
    """Send the files in one way; return the job's id once everything is answered."""
    job_id = client.open_job(NewJob(name="power loss")).id
    if way == "one tar":
        with tarfile.open(folder / "crops.tar", "w") as archive:
            for file in files:
                archive.add(file.path, file.name)
        send(client, job_id, folder / "crops.tar", lambda _sent, _held: None)
    else:
        list(upload(client, job_id, files, lambda _: None))
    if way == "submit":
        client.submit(job_id, Submission())
    return job_id


def gone(data: Path, job_id: int, files: list[LocalFile], submitted: bool) -> int:
    """Return how much of what was answered is not there: files, and the submission."""
    database = Database(f"sqlite:///{data / 'hematovision.db'}")
    try:
        with database.reading() as session:
            job = session.get(Job, job_id)
            rows = session.execute(select(Image.sha256, Image.state).where(Image.job_id == job_id))
            kept = {sha for sha, state in rows if state is not ImageState.EXPECTED}
    except SQLAlchemyError:
        return len(files) + submitted
    finally:
        database.dispose()
    lost = sum(not _is_kept(data, file.entry().sha256 or "", kept) for file in files)
    return lost + (submitted and (job is None or job.state is JobState.RECEIVING))


def _is_kept(data: Path, sha256: str, rows: set[str | None]) -> bool:
    try:
        stored = LocalBlobs(data / "blobs").get(image_key(sha256))
    except BlobMissing:
        return False
    return sha256 in rows and hashlib.sha256(stored).hexdigest() == sha256


def lose_power(way: str, files: list[LocalFile], port: int) -> Loss:
    """Take the files in on a disk whose power then fails; return what that cost."""
    with tempfile.TemporaryDirectory() as work:
        folder = Path(work)
        image, copy = new_disk(folder / "disk"), folder / "cut"
        with mounted(image, folder / "before") as disk, system(disk / "data", port) as (top, _):
            client = connection(disk / "data", None, None)
            job_id = hand_in(way, client, files, folder)
            seconds = cut(top, image, copy)
            client.close()
        with mounted(copy, folder / "after") as disk:
            submitted = way == "submit"
            lost = gone(disk / "data", job_id, files, submitted)
        return Loss(len(files) + submitted, lost, seconds)


@click.command()
@click.argument("folder", type=click.Path(exists=True, path_type=Path))
@click.option("--files", "count", default=60, show_default=True, help="How many are sent.")
@click.option("--rounds", default=3, show_default=True, help="How often in each way.")
@click.option("--port", default=8767, show_default=True, help="Port of the system under test.")
def main(folder: Path, count: int, rounds: int, port: int) -> None:
    """Print how much of what was answered is gone after a power failure."""
    if problem := obstacle():
        raise click.ClickException(f"This can't run here: {problem}.")
    files = collect([folder])[0][:count]
    for way in WAYS:
        for number in range(1, rounds + 1):
            loss = lose_power(way, files, port)
            click.echo(
                f"{way:14} round {number}: {loss.answered} answered, {loss.gone} gone "
                f"(copied in {1000 * loss.seconds:.0f} ms)"
            )


if __name__ == "__main__":
    main()
