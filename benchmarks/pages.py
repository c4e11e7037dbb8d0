"""How long the server takes for the pages people look at, over a history of any size.

    python -m benchmarks.pages --images 1000000 --jobs 10000 --database sqlite

The application is the real one, asked in this process, so that nothing but its own time is
measured: no network, no browser, no second request at the same time. One request of each kind
warms it up. Half of the requests go to the ten largest jobs. Thumbnails are not fetched.
"""

from __future__ import annotations

import json
import os
import platform
import statistics
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from random import Random
from tempfile import TemporaryDirectory

import click
from flask.testing import FlaskClient
from sqlalchemy import event, select

from benchmarks.history import fill
from benchmarks.rig import KINDS, let_in, opened
from benchmarks.table import Row
from benchmarks.visits import Visit, Visits
from core.blobs import MemoryBlobs
from core.db import Database
from core.installation import Installation
from core.queue import MemoryQueue
from core.settings import Settings
from core.tables import Job
from web import create_app


@dataclass(frozen=True, slots=True)
class Measured:
    """Times of one kind of page in ms, and the most SQL statements that one request made."""

    page: str
    requests: int
    p50: float
    p95: float
    max: float
    statements: int


@contextmanager
def statements_of(database: Database) -> Iterator[list[str]]:
    """Yield a list that grows by every SQL statement."""
    statements: list[str] = []

    def note(*arguments: object) -> None:
        statements.append(str(arguments[2]))

    event.listen(database.engine, "before_cursor_execute", note)
    yield statements
    event.remove(database.engine, "before_cursor_execute", note)


class People:
    """The application, and a browser for each person who visits it."""

    def __init__(self, database: Database, folder: Path) -> None:
        self._database = database
        settings = Settings(data=folder, secret_key="b" * 40, redis_url="memory://")
        self._app = create_app(Installation(settings, database, MemoryBlobs(), MemoryQueue()))
        self._browsers: dict[str, FlaskClient] = {}

    def browser(self, email: str) -> FlaskClient:
        """Return the browser that this person has signed in with."""
        if email not in self._browsers:
            self._browsers[email] = self._app.test_client()
            let_in(self._browsers[email], self._database, email)
        return self._browsers[email]

    def visit(self, visit: Visit) -> float:
        """Return the seconds that a page took."""
        browser = self.browser(visit.person)
        began = time.perf_counter()
        answer = browser.get(visit.path, buffered=True)
        seconds = time.perf_counter() - began
        if answer.status_code != 200:
            raise click.ClickException(f"{visit.path} answers {answer.status_code}.")
        return seconds


def measure(people: People, database: Database, kind: str, visits: Sequence[Visit]) -> Measured:
    """Ask for all pages of a kind, one after the other."""
    people.visit(visits[0])
    times, most = [], 0
    for visit in visits:
        with statements_of(database) as statements:
            times.append(1000 * people.visit(visit))
        most = max(most, len(statements))
    p95 = statistics.quantiles(times, n=20)[-1]
    p50, p95, longest = (round(ms, 1) for ms in (statistics.median(times), p95, max(times)))
    return Measured(kind, len(times), p50, p95, longest, most)


def measured(
    images: int, jobs: int, kind: str, requests: int, folder: Path | None = None
) -> list[Measured]:
    """Fill a database, visit every kind of page, and print a line of each."""
    with opened(kind, folder) as database, TemporaryDirectory() as data:
        _fill_once(database, images, jobs)
        with database.reading() as session:
            visits = Visits(session, Random(1)).draw(requests)
        people = People(database, Path(data))
        click.echo(f"{images:,} images, {jobs:,} jobs, {kind}, {_machine()}")
        click.echo(f"{'page':<26}{'requests':>9}{'p50':>8}{'p95':>8}{'max':>8}{'SQL':>5}")
        rows = []
        for page, wanted in visits.items():
            rows.append(measure(people, database, page, wanted))
            click.echo(_line(rows[-1]))
    return rows


def row(images: int, jobs: int, kind: str, requests: int) -> Row:
    """The pages over so many images against those over a hundredth of them, by p95."""
    many = measured(images, jobs, kind, requests)
    few = {line.page: line.p95 for line in measured(images // 100, jobs // 100, kind, requests)}
    worst = max(many, key=lambda line: line.p95)
    return Row(
        f"p95 of {len(many)} kinds of page over {images:,} images, {kind}",
        f"the same over {images // 100:,}",
        tuple(line.p95 / few[line.page] for line in many),
        f"slowest: {worst.page}, p95 {worst.p95:.0f} ms",
        "≤ 100 ms",
    )


@click.command()
@click.option("--images", default=1_000_000, show_default=True)
@click.option("--jobs", default=10_000, show_default=True)
@click.option("--database", "kind", type=click.Choice(KINDS), default="sqlite", show_default=True)
@click.option("--requests", default=200, show_default=True, help="Of each kind of page.")
@click.option("--folder", type=click.Path(path_type=Path), help="Where the database is kept.")
@click.option("--out", type=click.Path(path_type=Path), help="Write the table as JSON, too.")
def main(
    images: int, jobs: int, kind: str, requests: int, folder: Path | None, out: Path | None
) -> None:
    """Print the server's time for each kind of page."""
    rows = measured(images, jobs, kind, requests, folder)
    if out:
        out.write_text(json.dumps([asdict(row) for row in rows], indent=2))


def _fill_once(database: Database, images: int, jobs: int) -> None:
    """Fill an empty database; one that was kept in a folder is taken as it is."""
    with database.reading() as session:
        if session.scalars(select(Job).limit(1)).first():
            click.echo("The folder's database is used as it is.")
            return
    began = time.perf_counter()
    fill(database, images, jobs)
    click.echo(f"filled in {time.perf_counter() - began:.0f} s")


def _line(row: Measured) -> str:
    times = f"{row.p50:>8.1f}{row.p95:>8.1f}{row.max:>8.1f}"
    return f"{row.page:<26}{row.requests:>9}{times}{row.statements:>5}"


def _machine() -> str:
    python, machine = platform.python_version(), platform.machine()
    return f"{os.cpu_count()} cores, Python {python} on {machine}"


if __name__ == "__main__":
    main()
