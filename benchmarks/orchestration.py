"""What the platform costs an image when looking at it costs nothing.

    python -m benchmarks.orchestration --database postgresql --images 50000 --pairs 5

A system with `benchmarks.null_worker` in place of the worker: the job goes through SQL, Redis,
Celery, leases and records as every job does, only no file is opened and no network runs. Processor
time is that of all processes together, the database server's, the broker's and the web server's
among them, from the job being queued to its end.
"""

from __future__ import annotations

import statistics
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import click
from sqlalchemy import insert

from benchmarks.rig import Rig, running
from benchmarks.table import Row
from core import jobs
from core.states import ImageState
from core.tables import Image, Job
from worker.main import available_cores

_PART = 5000


@dataclass(frozen=True)
class Run:
    """One job: images/s, and the processor's milliseconds an image by kind of program."""

    speed: float
    milliseconds: dict[str, float]

    @property
    def total(self) -> float:
        """Milliseconds of processor time an image, in all programs together."""
        return sum(self.milliseconds.values())


def invent(rig: Rig, images: int) -> int:
    """Open a job of images that exist in SQL alone; return its id."""
    with rig.database.writing() as session:
        job = jobs.create(session, rig.owner.id, "benchmark")
        for start in range(0, images, _PART):
            rows = [
                {
                    "job_id": job.id,
                    "position": place,
                    "name": f"{place:06}.jpg",
                    "state": ImageState.RECEIVED,
                    "sha256": f"{job.id:032x}{place:032x}",
                    "size": 10_000,
                    "format": "JPEG",
                    "width": 320,
                    "height": 240,
                }
                for place in range(start, min(start + _PART, images))
            ]
            session.execute(insert(Image), rows)
        return job.id


def runs(rig: Rig, images: int, count: int) -> Iterator[Run]:
    """Run one job after the other, and measure each."""
    for _ in range(count):
        job = invent(rig, images)
        before = rig.processor_seconds()
        rig.submit(job)
        seconds = rig.wait(job)
        after = rig.processor_seconds()
        with rig.database.reading() as session:
            counts = jobs.counts(session, [session.get_one(Job, job)])[job]
        assert counts.classified == images, counts
        spent = {kind: (after[kind] - before.get(kind, 0)) * 1000 / images for kind in after}
        yield Run(images / seconds, spent)


def measure(database: str, images: int, pairs: int, processes: int) -> list[Run]:
    """Some jobs on one system."""
    command = [sys.executable, "-m", "benchmarks.null_worker"]
    found: list[Run] = []
    with running(database=database, workers=processes, worker=command) as rig:
        rig.wait_for_workers(processes)
        for one in runs(rig, images, pairs):
            found.append(one)
            parts = ", ".join(f"{kind} {ms:.3f}" for kind, ms in sorted(one.milliseconds.items()))
            click.echo(f"{one.speed:8,.0f} images/s  {one.total:.3f} ms an image: {parts}")
    return found


def row(found: Sequence[Run], database: str, looking: float) -> Row:
    """What the platform costs an image against what looking at it costs, in processor time.

    ``looking`` is the milliseconds of one core that reading and the network take.
    """
    speed = statistics.median(one.speed for one in found)
    total = statistics.median(one.total for one in found)
    figure = f"{total:.3f} ms an image; {speed:,.0f} images/s through queue and SQL"
    ratios = tuple(one.total / looking for one in found)
    what = f"the platform's own processor time an image, {database}"
    return Row(what, f"looking at it, {looking:.1f} ms", ratios, figure, "≤ 0.3 ms, ≥ 3,000/s")


@click.command()
@click.option("--database", type=click.Choice(["sqlite", "postgresql"]), default="postgresql")
@click.option("--images", default=50_000, show_default=True, help="Images of each job.")
@click.option("--pairs", default=5, show_default=True, help="How often it is measured.")
@click.option("--workers", default=0, help="Worker processes; 0 is one a core.")
def main(database: str, images: int, pairs: int, workers: int) -> None:
    """Print speed and processor time of the platform alone."""
    processes = workers or available_cores()
    click.echo(f"{images:,} images a job, {processes} null workers, {database}")
    found = measure(database, images, pairs, processes)
    speed = statistics.median(one.speed for one in found)
    total = statistics.median(one.total for one in found)
    click.echo(f"median: {speed:,.0f} images/s, {total:.3f} ms of processor time an image")


if __name__ == "__main__":
    main()
