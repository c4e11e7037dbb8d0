"""How long one image takes from request to result, alone and beside ten thousand.

    python -m benchmarks.waiting ../shared/data/bccd4 --beside 10000 --times 100 --pairs 5

One image after the other is sent over HTTP as the page for a single image sends it: a job is
opened, the file announced, sent and submitted, and the result asked for until it is there. First
on a system that does nothing else, then while it works on a big job, and so on in pairs. Beside
that, a job of fifty images is timed in both. Every image is a new one.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

import click
from sqlalchemy import delete

from benchmarks.rig import Rig, has_ended, running, send_files, spread
from benchmarks.table import Row, show
from contract.jobs import Submission
from core import jobs
from core.states import ENDED
from core.tables import Job, Prediction
from hematovision.client import Client
from worker.main import available_cores

_ASK_SECONDS, _REST_SECONDS, _SMALL = 0.02, 2.0, 50
_BOTH = ("alone", "crowded")


def once(client: Client, files: Sequence[Path]) -> float:
    """Seconds from the first request of a job to its end, over HTTP."""
    started = time.perf_counter()
    job_id = send_files(client, files, "waiting")
    client.submit(job_id, Submission())
    while not has_ended(client, job_id):
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


@dataclass(frozen=True)
class Pair:
    """Seconds of single images and of a job of fifty, on an idle system and beside a big job."""

    alone: list[float]
    crowded: list[float]
    fifty_alone: float
    fifty_crowded: float


def pair(rig: Rig, client: Client, files: Iterator[Path], times: int, big: Sequence[Path]) -> Pair:
    """Measure alone, then beside a new big job, which is cancelled when all has been measured."""
    alone = several(client, list(islice(files, times)), lambda: True)
    fifty_alone = once(client, list(islice(files, _SMALL)))
    with rig.database.writing() as session:
        # What was judged before would be taken over.
        session.execute(delete(Prediction))
    job_id = rig.hand_in(big)
    rig.submit(job_id)
    _let_it_begin(rig, job_id)
    fifty_crowded = once(client, list(islice(files, _SMALL)))
    crowded = several(client, list(islice(files, times)), lambda: not _ended(rig, job_id))
    with rig.database.writing() as session:
        job = session.get_one(Job, job_id)
        if job.state not in ENDED:
            jobs.cancel(session, job)
    time.sleep(_REST_SECONDS)
    return Pair(alone, crowded, fifty_alone, fifty_crowded)


def measure(folder: Path, beside: int, times: int, pairs: int, database: str) -> list[Row]:
    """One image and fifty, alone and beside a big job, in pairs on one system."""
    files = iter(spread(folder, 1 + beside + pairs * 2 * (times + _SMALL)))
    with running(database=database) as rig:
        rig.wait_for_workers(available_cores())
        rig.wait_for_pages()
        client = rig.client()
        once(client, list(islice(files, 1)))
        big = list(islice(files, beside))
        measured = [pair(rig, client, files, times, big) for _ in range(pairs)]
    alone, crowded = (_percentiles([getattr(p, name) for p in measured]) for name in _BOTH)
    fifty = [statistics.median(getattr(p, f"fifty_{name}") for p in measured) for name in _BOTH]
    fewest = min(len(p.crowded) for p in measured)
    return [
        Row(
            f"one image beside {beside:,}, p95 of {fewest} or more, {database}",
            f"one alone, p95 of {times}",
            tuple(percentile(p.crowded, 95) / percentile(p.alone, 95) for p in measured),
            f"{crowded}; alone {alone}",
            "≤ 3, ≤ 1 s",
        ),
        Row(
            f"a job of fifty beside {beside:,}, {database}",
            "the same alone",
            tuple(p.fifty_crowded / p.fifty_alone for p in measured),
            f"{fifty[1]:.2f} s; alone {fifty[0]:.2f} s",
        ),
    ]


def _percentiles(rounds: Sequence[list[float]]) -> str:
    """The medians, over the pairs, of the median and of the 95th percentile."""
    p50, p95 = (statistics.median(percentile(seconds, at) for seconds in rounds) for at in (50, 95))
    return f"p50 {p50 * 1000:.0f} ms, p95 {p95 * 1000:.0f} ms"


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
@click.option("--times", default=100, show_default=True, help="Single images, alone and beside.")
@click.option("--pairs", default=5, show_default=True, help="How often it is measured.")
@click.option("--database", type=click.Choice(["sqlite", "postgresql"]), default="sqlite")
def main(folder: Path, beside: int, times: int, pairs: int, database: str) -> None:
    """Print how long one image waits, alone and beside a big job of images of FOLDER."""
    show(measure(folder, beside, times, pairs, database))


if __name__ == "__main__":
    main()
