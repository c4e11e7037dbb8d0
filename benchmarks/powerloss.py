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
import tarfile
import tempfile
import time
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import click
import psutil
from sqlalchemy import select
from sqlalchemy.exc import SQLAlchemyError

from benchmarks.rig import disks, up
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


@dataclass(frozen=True)
class Loss:
    """What was answered, and what of it was gone; ``seconds`` is how long the copy took."""

    answered: int
    gone: int
    seconds: float


def cut(top: psutil.Process, image: Path, copy: Path) -> float:
    """Freeze the system and copy its disk as it is; return the seconds that took."""
    began = time.perf_counter()
    for process in [top, *top.children(recursive=True)]:
        with suppress(psutil.NoSuchProcess):
            process.suspend()
    disks.run("cp", "--sparse=auto", str(image), str(copy))
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
            recorded = {sha for sha, state in rows if state is not ImageState.EXPECTED}
    except SQLAlchemyError:
        return len(files) + submitted
    finally:
        database.dispose()
    lost = sum(not _is_stored(data, file.entry().sha256 or "", recorded) for file in files)
    return lost + (submitted and (job is None or job.state is JobState.RECEIVING))


def _is_stored(data: Path, sha256: str, recorded: set[str | None]) -> bool:
    try:
        stored = LocalBlobs(data / "blobs").get(image_key(sha256))
    except BlobMissing:
        return False
    return sha256 in recorded and hashlib.sha256(stored).hexdigest() == sha256


def lose_power(way: str, files: list[LocalFile], port: int) -> Loss:
    """Take the files in on a disk whose power then fails; return what that cost."""
    with tempfile.TemporaryDirectory() as work:
        folder = Path(work)
        image, copy = disks.new_disk(folder / "disk"), folder / "cut"
        with disks.mounted(image, folder / "before") as disk, up(disk / "data", port) as (top, _):
            client = connection(disk / "data", None, None)
            job_id = hand_in(way, client, files, folder)
            seconds = cut(top, image, copy)
            client.close()
        with disks.mounted(copy, folder / "after") as disk:
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
    if problem := disks.obstacle():
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
