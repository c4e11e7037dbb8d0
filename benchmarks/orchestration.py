"""What the platform costs per image when looking at it costs nothing.

    python -m benchmarks.orchestration --database postgresql --images 50000 --pairs 5

A system with `benchmarks.null_worker` in place of the worker: the job goes through SQL, Redis,
Celery, leases and records as every job does, only no file is opened and no network runs. Processor
time is that of all processes together, the database server's, the broker's and the web server's
among them, from the job being queued to its end.
"""

from __future__ import annotations

import statistics
from collections.abc import Sequence

import click

from benchmarks.rig import NULL_WORKER, Run, running, runs
from benchmarks.table import Row
from worker.main import available_cores


def measure(database: str, images: int, pairs: int, processes: int) -> list[Run]:
    """Some jobs on one system."""
    measured: list[Run] = []
    with running(database=database, workers=processes, worker=NULL_WORKER) as rig:
        rig.wait_for_workers(processes)
        for run in runs(rig, images, pairs):
            measured.append(run)
            parts = ", ".join(f"{kind} {ms:.3f}" for kind, ms in sorted(run.milliseconds.items()))
            click.echo(f"{run.speed:8,.0f} images/s  {run.total:.3f} ms an image: {parts}")
    return measured


def row(measured: Sequence[Run], database: str, looking: float) -> Row:
    """What the platform costs per image against what looking at it costs, in processor time.

    ``looking`` is the milliseconds of one core that reading and the network take.
    """
    speed = statistics.median(run.speed for run in measured)
    total = statistics.median(run.total for run in measured)
    figure = f"{total:.3f} ms an image; {speed:,.0f} images/s through queue and SQL"
    ratios = tuple(run.total / looking for run in measured)
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
    measured = measure(database, images, pairs, processes)
    speed = statistics.median(run.speed for run in measured)
    total = statistics.median(run.total for run in measured)
    click.echo(f"median: {speed:,.0f} images/s, {total:.3f} ms of processor time an image")


if __name__ == "__main__":
    main()
