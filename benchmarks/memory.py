"""How much memory web and workers take while the worst images come in and are looked at.

    python -m benchmarks.memory ../shared/cases/images --again 60 --again 120 --log memory.log

The images of `benchmarks.worst_images` and those of the folders named are sent over HTTP to a
system as `up` runs it. Meanwhile 24 people ask for all their pictures and pages at once, and again
when all copies have been deleted, so that they are made on demand. Memory is the resident size of
each process, now and the most it ever was, and is read again after so many minutes of rest.
"""

from __future__ import annotations

import datetime as dt
import time
from collections import Counter
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import click
import httpx
from sqlalchemy import select

from benchmarks import worst_images
from benchmarks.rig import Rig, let_in, running
from contract.jobs import NewJob, Submission
from core.made import derivatives
from core.states import ImageState
from core.tables import Image
from hematovision import local
from hematovision.client import LEFT_OUT, follow, upload
from hematovision.collecting import LocalFile
from web.shown.images import LARGE, TILE
from worker.main import available_cores

_READERS = 24
_MB = 2**20
_LIMITS = {"web": 150, "worker": 500}
_PAUSE_SECONDS = 1.0
_LONGEST_SECONDS = 900.0

Say = Callable[[str], None]


def send(rig: Rig, files: Sequence[Path], say: Say) -> int:
    """Send files over HTTP and submit them; return the job's id."""
    client = rig.client()
    job_id = client.open_job(NewJob(name="worst images")).id
    named = [LocalFile(path, f"{number} {path.name}") for number, path in enumerate(files)]
    for sent in upload(client, job_id, named, lambda _: None):
        assert sent.state in LEFT_OUT
        say(f"  refused: {sent.file.path.name}: {sent.message}")
    client.submit(job_id, Submission(without_missing=True))
    return job_id


def look(rig: Rig, job_id: int) -> Counter[int]:
    """Let 24 readers ask for every picture and page until each has come, or never will."""
    with rig.database.reading() as session:
        ids = session.scalars(
            select(Image.id).where(Image.job_id == job_id, Image.format.is_not(None))
        ).all()
    paths = [f"/images/{id_}/thumbnail/{side}" for id_ in ids for side in (LARGE, TILE)]
    paths += [f"/images/{id_}" for id_ in ids]
    limits = httpx.Limits(max_connections=_READERS)
    with (
        httpx.Client(base_url=local.address(rig.settings), limits=limits, timeout=120) as browser,
        ThreadPoolExecutor(_READERS) as readers,
    ):
        let_in(browser, rig.database, rig.owner.email)
        return Counter(readers.map(lambda path: _patiently(browser, path), paths))


def _patiently(browser: httpx.Client, path: str) -> int:
    """Ask until the picture is there; return the last status."""
    deadline = time.monotonic() + _LONGEST_SECONDS
    while True:
        status = browser.get(path).status_code
        if status != httpx.codes.ACCEPTED or time.monotonic() > deadline:
            return status
        time.sleep(_PAUSE_SECONDS)


def forget_copies(rig: Rig, job_id: int) -> None:
    """Delete all copies of a job's images."""
    with rig.database.reading() as session:
        for sha256 in session.scalars(select(Image.sha256).where(Image.job_id == job_id)):
            rig.blobs.delete(derivatives.key(sha256 or ""))


def report(rig: Rig, when: str, say: Say) -> None:
    """Say how large every process is now, and the most it ever was, in MB."""
    for kind, sizes in sorted(rig.memory().items()):
        now = ", ".join(f"{resident / _MB:.0f} ({ever / _MB:.0f})" for resident, ever in sizes)
        limit = f"; to be at most {_LIMITS[kind]}" if kind in _LIMITS else ""
        say(f"  {when}, {kind}: {now} MB now (ever){limit}")


def outcomes(rig: Rig, job_id: int, say: Say) -> None:
    """Say what became of the images, and why those that failed did."""
    with rig.database.reading() as session:
        images = session.scalars(select(Image).where(Image.job_id == job_id)).all()
    say(f"  {dict(Counter(image.state.value for image in images))}")
    for image in images:
        if image.state is ImageState.FAILED:
            say(f"  failed: {image.name}: {image.message}")


def measure(rig: Rig, files: Sequence[Path], again: Sequence[float], say: Say) -> None:
    """Send, look, forget, look again, rest and look at the memory in between."""
    rig.wait_for_workers(available_cores())
    rig.wait_for_pages()
    report(rig, "at rest", say)
    job_id = send(rig, files, say)
    say(f"  looked at while they were judged: {dict(look(rig, job_id))}")
    follow(rig.client(), job_id, lambda _: None)
    outcomes(rig, job_id, say)
    report(rig, "judged", say)
    forget_copies(rig, job_id)
    say(f"  looked at without copies: {dict(look(rig, job_id))}")
    report(rig, "looked at", say)
    ended = time.monotonic()
    for minutes in sorted(again):
        time.sleep(max(0.0, ended + 60 * minutes - time.monotonic()))
        report(rig, f"after {minutes:g} min", say)


@click.command()
@click.argument("folders", type=click.Path(exists=True, path_type=Path), nargs=-1)
@click.option("--again", type=float, multiple=True, help="Minutes after which to measure again.")
@click.option("--log", type=click.Path(path_type=Path), help="File to append what is said to.")
@click.option("--port", default=8766, show_default=True)
def main(folders: tuple[Path, ...], again: tuple[float, ...], log: Path | None, port: int) -> None:
    """Print the memory of all processes under the worst images and the files of FOLDERS."""

    def say(line: str) -> None:
        click.echo(line)
        if log:
            with log.open("a", encoding="utf-8") as file:
                file.write(f"{dt.datetime.now():%H:%M:%S} {line}\n")

    with running(port=port) as rig:
        made = worst_images.write_all(rig.settings.data)
        files = [*made, *(file for folder in folders for file in sorted(folder.iterdir()))]
        say(f"{len(files)} files, {available_cores()} cores")
        measure(rig, files, again, say)


if __name__ == "__main__":
    main()
