"""How long one image takes from request to result, alone and beside ten thousand.

    python -m benchmarks.waiting ../shared/data/bccd4/TRAIN --beside 10000 --times 40

One image after the other is sent over HTTP as the page for a single image sends it: a job is
opened, the file announced, sent and submitted, and the result asked for until it is there. First
on a system that does nothing else, then while it works on a big job. Beside that, a job of fifty
images is timed in both.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Sequence
from itertools import islice
from pathlib import Path

import click
from sqlalchemy import delete

from benchmarks.main_job import spread
from benchmarks.rig import Rig, running
from benchmarks.table import Row, show
from core.models import Job, Prediction
from core.states import ENDED
from hematovision.client import Client, LocalFile, upload
from worker.main import available_cores

_ASK_SECONDS, _SMALL = 0.02, 50


def once(client: Client, files: Sequence[Path]) -> float:
    """Seconds from the first request of a job to its end, over HTTP."""
    started = time.perf_counter()
    job_id = client.call("POST", "/jobs", {"name": "waiting"})["id"]
    list(upload(client, job_id, [LocalFile(file, file.name) for file in files], lambda _: None))
    client.call("POST", f"/jobs/{job_id}/submit", {})
    while client.call("GET", f"/jobs/{job_id}")["state"] not in ENDED:
        time.sleep(_ASK_SECONDS)
    return time.perf_counter() - started


def several(client: Client, files: Sequence[Path], going_on: Callable[[], bool]) -> list[float]:
    """Seconds of one image after the other, each a new one, while ``going_on`` holds."""
    seconds = []
    for file in files:
        if not going_on():
            break
        seconds.append(once(client, [file]))
    return seconds


def percentile(values: Sequence[float], percent: int) -> float:
    """The value below which so many per cent lie."""
    return statistics.quantiles(values, n=100, method="inclusive")[percent - 1]


def measure(folder: Path, beside: int, times: int, database: str) -> list[Row]:
    """One image and fifty, alone and beside a big job."""
    sizes = (1, times, _SMALL, times, _SMALL, beside)
    files = iter(spread(folder, sum(sizes)))
    first, singles, fifty, more, other_fifty, big = (list(islice(files, n)) for n in sizes)
    with running(database=database) as rig:
        rig.wait_for_workers(available_cores())
        rig.wait_for_pages()
        client = rig.client()
        once(client, first)
        alone = several(client, singles, lambda: True)
        fifty_alone = once(client, fifty)
        with rig.database.writing() as session:
            session.execute(delete(Prediction))
        job_id = rig.hand_in(big)
        rig.submit(job_id)
        _let_it_begin(rig, job_id)
        fifty_beside = once(client, other_fifty)
        crowded = several(client, more, lambda: not _ended(rig, job_id))
    figures = [
        f"p50 {percentile(one, 50) * 1000:.0f} ms, p95 {percentile(one, 95) * 1000:.0f} ms"
        for one in (alone, crowded)
    ]
    ratio = percentile(crowded, 95) / percentile(alone, 95)
    return [
        Row(
            f"one image beside {beside:,}, p95 of {len(crowded)}, {database}",
            f"one alone, p95 of {len(alone)}",
            (ratio,),
            f"{figures[1]}; alone {figures[0]}",
            "≤ 3, ≤ 1 s",
        ),
        Row(
            f"a job of fifty beside {beside:,}, {database}",
            "the same alone",
            (fifty_beside / fifty_alone,),
            f"{fifty_beside:.2f} s; alone {fifty_alone:.2f} s",
        ),
    ]


def _let_it_begin(rig: Rig, job_id: int) -> None:
    """Wait until every worker is in the midst of the big job."""
    while True:
        with rig.database.reading() as session:
            if session.get_one(Job, job_id).started_at:
                break
        time.sleep(_ASK_SECONDS)
    time.sleep(3)


def _ended(rig: Rig, job_id: int) -> bool:
    with rig.database.reading() as session:
        return session.get_one(Job, job_id).state in ENDED


@click.command()
@click.argument("folder", type=click.Path(exists=True, path_type=Path))
@click.option("--beside", default=10_000, show_default=True, help="Images of the big job.")
@click.option("--times", default=40, show_default=True, help="Single images, alone and beside.")
@click.option("--database", type=click.Choice(["sqlite", "postgresql"]), default="sqlite")
def main(folder: Path, beside: int, times: int, database: str) -> None:
    """Print how long one image waits, alone and beside a big job of images of FOLDER."""
    show(measure(folder, beside, times, database))


if __name__ == "__main__":
    main()
