"""The PDF of a thousand and of ten thousand images: how long it takes, and how much memory.

    python -m benchmarks.reports ../shared/data/bccd4/TRAIN

Real crops, judged by `benchmarks.null_worker`, whose reports are those of every worker: a picture
of each cell is cut, and findings are written out. Memory is the largest resident size that the
worker's process ever had.
"""

from __future__ import annotations

import time
from pathlib import Path

import click

from benchmarks.rig import NULL_WORKER, Rig, running, spread
from core.made import reports
from core.states import MakingState
from core.tables import Job, Report

_MB = 2**20


def made(rig: Rig, job_id: int) -> tuple[float, int]:
    """Order a report and wait for it; return seconds and bytes."""
    started = time.perf_counter()
    with rig.database.writing() as session:
        report = reports.order(session, session.get_one(Job, job_id), "A4")
    while report.state in (MakingState.WAITING, MakingState.MAKING):
        time.sleep(0.1)
        with rig.database.reading() as session:
            report = session.get_one(Report, report.id)
    assert report.state is MakingState.READY and report.blob_key, report.message
    return time.perf_counter() - started, len(rig.blobs.get(report.blob_key))


@click.command()
@click.argument("folder", type=click.Path(exists=True, path_type=Path))
@click.option("--images", "sizes", type=int, multiple=True, default=(1000, 9900))
def main(folder: Path, sizes: tuple[int, ...]) -> None:
    """Print time and memory of the PDF over jobs of images of FOLDER."""
    for size in sizes:
        with running(worker=NULL_WORKER, workers=1) as rig:
            rig.wait_for_workers(1)
            job_id = rig.hand_in(spread(folder, size))
            rig.run(job_id)
            seconds, length = made(rig, job_id)
            peak = max(most for _, most in rig.memory()["worker"]) / _MB
        click.echo(
            f"{size:,} images: {seconds:.1f} s, {length / _MB:.1f} MB, "
            f"at most {peak:.0f} MB of memory (to be at most 300)"
        )


if __name__ == "__main__":
    main()
