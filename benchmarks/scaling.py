"""How speed grows with workers: on these cores, and past them by workers that only sleep.

    python -m benchmarks.scaling ../shared/data/bccd4/TRAIN

First real workers, one process after the other up to one per core, over the same files. Then
`benchmarks.null_worker` with so many milliseconds per image as a real process takes, 1 to 64
processes on one queue and one database, all on this machine's cores: they cost what the platform
costs and no more, so what bends the curve is SQL, Redis, Celery or the sweep. Beside each speed
stand the processor seconds a second of each kind of program: a machine of its own for the database
bends when that of the database comes to its cores.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import click
from rich.console import Console
from rich.table import Table

from benchmarks.rig import NULL_WORKER, job_speed, running, runs, spread
from worker.main import available_cores

_FLEETS = (1, 2, 4, 8, 16, 32, 64)
# A job lasts some ten seconds, whatever the number of workers.
_SECONDS = 12


@dataclass(frozen=True)
class Point:
    """One number of workers: images/s, and the processor seconds a second by kind of program."""

    workers: int
    speed: float
    load: dict[str, float]


def real(files: Sequence[Path], times: int) -> Iterator[Point]:
    """Speeds of real workers, one to as many as there are cores; the best of some jobs each."""
    for workers in range(1, available_cores() + 1):
        with running(workers=workers, threads=1) as rig:
            rig.wait_for_workers(workers)
            yield Point(workers, max(job_speed(rig, files) for _ in range(times)), {})


def simulated(milliseconds: float, database: str, fleets: Sequence[int]) -> Iterator[Point]:
    """Speeds of workers that sleep so long for every image."""
    command = [*NULL_WORKER, "--milliseconds", str(milliseconds)]
    for workers in fleets:
        images = int(workers * _SECONDS * 1000 / milliseconds)
        with running(database=database, workers=workers, worker=command) as rig:
            rig.wait_for_workers(workers)
            (run,) = runs(rig, images, 1)
        load = {kind: ms * run.speed / 1000 for kind, ms in run.milliseconds.items()}
        yield Point(workers, run.speed, load)


def show(points: Sequence[Point], alone: float) -> None:
    """Print the curve; ``alone`` is the speed of one worker that nothing holds up."""
    table = Table("workers", "images/s", "of the ideal", "processor s a second", box=None)
    for point in points:
        ideal = point.speed / (alone * point.workers)
        load = ", ".join(f"{kind} {part:.2f}" for kind, part in sorted(point.load.items()))
        table.add_row(str(point.workers), f"{point.speed:,.0f}", f"{ideal:.2f}", load)
    Console(width=120).print(table)


@click.command()
@click.argument("folder", type=click.Path(exists=True, path_type=Path))
@click.option("--images", default=1500, show_default=True, help="Images of a real job.")
@click.option("--times", default=3, show_default=True, help="Real jobs; the best one counts.")
@click.option("--milliseconds", default=13.0, show_default=True, help="Of a simulated image.")
@click.option("--database", type=click.Choice(["sqlite", "postgresql"]), default="postgresql")
@click.option("--fleet", "fleets", type=int, multiple=True, default=_FLEETS)
def main(
    folder: Path,
    images: int,
    times: int,
    milliseconds: float,
    database: str,
    fleets: tuple[int, ...],
) -> None:
    """Print how speed grows with workers, on images of FOLDER and simulated."""
    points = list(real(spread(folder, images), times))
    click.echo("real workers, one core each:")
    show(points, points[0].speed)
    click.echo(f"simulated, {milliseconds:g} ms an image, {database}:")
    show(list(simulated(milliseconds, database, fleets)), 1000 / milliseconds)


if __name__ == "__main__":
    main()
