"""How fast files are taken in over HTTP: as single bodies, as one zip, as one tar.

    python -m benchmarks.intake ../shared/data/bccd4/TRAIN --files 10000 --pairs 5

In turn, in one run: the same files copied by `shutil.copy` to the disk the store lies on, with no
fsync; hashed only; and sent in each of the three ways to a new `hematovision up` on SQLite, each
way to a store that is empty, so that every byte is written. Single bodies go by the command line's
own client, four at a time; the zip is deflated; client and server share this machine's cores. The
jobs are never submitted, so that the one worker stays idle. Meanwhile somebody else looks at the
list of jobs, twenty times a second. Memory is the resident size of the web server's processes, read
from /proc five times a second: how much they hold more than before, at most and added up.
"""

from __future__ import annotations

import hashlib
import json
import shutil
import statistics
import tarfile
import tempfile
import threading
import time
import zipfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path

import click
import httpx

from benchmarks.rig import let_in, up
from benchmarks.table import Row, row_of
from contract.jobs import NewJob
from core.audit import SYSTEM
from core.db import Database
from core.people import accounts, membership
from hematovision.archive import send
from hematovision.client import Client, connection, upload
from hematovision.collecting import LocalFile, collect

VISITOR = "visitor@laboratory.test"
_QUIET_SECONDS = 3.0
WAYS = ("single bodies", "one zip", "one tar")


@dataclass
class Round:
    """One sending: files/s, growth of the web processes in MB, seconds of a page meanwhile."""

    rate: float
    growth_sum: float
    growth_most: float
    quiet: list[float]
    pages: list[float] = field(default_factory=list)


Rounds = dict[str, list[Round]]


def copied(files: list[LocalFile], folder: Path) -> float:
    """Return files/s of copying, no fsync."""
    target = tempfile.mkdtemp(dir=folder)
    began = time.perf_counter()
    for number, file in enumerate(files):
        shutil.copy(file.path, Path(target) / str(number))
    return len(files) / (time.perf_counter() - began)


def hashed(files: list[LocalFile]) -> float:
    """Return files/s of hashing."""
    began = time.perf_counter()
    for file in files:
        hashlib.sha256(file.path.read_bytes()).hexdigest()
    return len(files) / (time.perf_counter() - began)


@contextmanager
def system(port: int, folder: Path) -> Iterator[Path]:
    """Yield the data folder of a new system that runs.

    The folder is left to whoever made the one it is in: ext4 passes over the inodes of files that
    were deleted within the last minutes, one by one, and the next system's files would take several
    times as long to make.
    """
    data = Path(tempfile.mkdtemp(dir=folder))
    with up(data, port):
        yield data


def visitor(data: Path, port: int) -> httpx.Client:
    """Return the browser of somebody else, signed in."""
    database = Database(f"sqlite:///{data / 'hematovision.db'}")
    membership.add_person(
        database, SYSTEM, VISITOR, accounts.RoleName.LABORATORY, "a password of the benchmark"
    )
    browser = httpx.Client(base_url=f"http://127.0.0.1:{port}", timeout=60)
    let_in(browser, database, VISITOR)
    database.dispose()
    return browser


def look(browser: httpx.Client, until: Callable[[], bool]) -> list[float]:
    """Return how many seconds the list of jobs took, each time, until told to stop."""
    seconds = []
    while not until():
        began = time.perf_counter()
        browser.get("/jobs").raise_for_status()
        seconds.append(time.perf_counter() - began)
        time.sleep(max(0.0, 0.05 - seconds[-1]))
    return seconds


def resident(data: Path) -> dict[int, int]:
    """Return the resident bytes of each process of the web server."""
    by_process = {}
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            mine = f"HEMATOVISION_DATA={data}".encode() in (folder / "environ").read_bytes()
            if mine and (folder / "cmdline").read_bytes().endswith(b"\0web\0"):
                pages = int((folder / "statm").read_text().split()[1])
                by_process[int(folder.name)] = pages * 4096
        except OSError:
            continue
    return by_process


class Watch:
    """Watches the web server's memory and a page while something is done."""

    def __init__(self, data: Path, browser: httpx.Client) -> None:
        self._data, self._browser = data, browser
        self._over = threading.Event()
        self._before = resident(data)
        self.growths: list[dict[int, int]] = []
        self.pages: list[float] = []

    def __enter__(self) -> Watch:
        self._threads = [threading.Thread(target=task) for task in (self._look, self._measure)]
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        for thread in self._threads:
            thread.join()

    def _look(self) -> None:
        self.pages = look(self._browser, self._over.is_set)

    def _measure(self) -> None:
        while not self._over.wait(0.2):
            now = resident(self._data)
            self.growths.append({pid: now[pid] - self._before.get(pid, 0) for pid in now})


def sent(way: str, files: list[LocalFile], archives: Path, port: int) -> Round:
    """Send the files in one way to a new system; return what was measured."""
    with system(port, archives.parent) as data:
        client, browser = connection(data, None, None), visitor(data, port)
        job_id = client.open_job(NewJob(name="benchmark")).id
        look(browser, _after(_QUIET_SECONDS / 3))
        quiet = look(browser, _after(_QUIET_SECONDS))
        with Watch(data, browser) as watch:
            began = time.perf_counter()
            _send(way, client, job_id, files, archives)
            seconds = time.perf_counter() - began
        counts = client.job(job_id).counts
        assert (counts.received, counts.refused) == (len(files), 0), counts
        client.close()
        browser.close()
    total = max(sum(growth.values()) for growth in watch.growths) / 2**20
    most = max(max(growth.values()) for growth in watch.growths) / 2**20
    return Round(len(files) / seconds, total, most, quiet, watch.pages)


def _after(seconds: float) -> Callable[[], bool]:
    end = time.monotonic() + seconds
    return lambda: time.monotonic() > end


def _send(way: str, client: Client, job_id: int, files: list[LocalFile], archives: Path) -> None:
    if way == "single bodies":
        list(upload(client, job_id, files, lambda _: None))
    else:
        name = "crops.zip" if way == "one zip" else "crops.tar"
        send(client, job_id, archives / name, lambda _sent, _held: None)


def pack(files: list[LocalFile], folder: Path) -> None:
    """Write the files as a zip and as a tar."""
    folder.mkdir()
    with (
        zipfile.ZipFile(folder / "crops.zip", "w", zipfile.ZIP_DEFLATED) as archive,
        tarfile.open(folder / "crops.tar", "w") as tar,
    ):
        for file in files:
            archive.write(file.path, file.name)
            tar.add(file.path, file.name)


def _rank(seconds: list[float], share: float) -> float:
    ordered = sorted(seconds)
    return 1000 * ordered[min(len(ordered) - 1, int(share * len(ordered)))]


def show(rounds: Rounds, copies: list[float], hashes: list[float]) -> None:
    """Print the medians as one table."""
    median = statistics.median
    click.echo(f"copied {median(copies):,.0f}/s, hashed {median(hashes):,.0f}/s (medians)")
    click.echo(
        f"{'way':14}{'files/s':>9}{'x copy':>8}{'x hash':>8}{'x bodies':>9}"
        f"{'MB, sum':>9}{'MB, one':>9}{'p50 ms':>8}{'p95 ms':>8}{'quiet p50':>10}{'quiet p95':>10}"
    )
    for way, sendings in rounds.items():
        ratios = [
            median(sending.rate / base for sending, base in zip(sendings, bases, strict=True))
            for bases in (copies, hashes, [sending.rate for sending in rounds[WAYS[0]]])
        ]
        pages = [median(_rank(s.pages, share) for s in sendings) for share in (0.5, 0.95)]
        quiet = [median(_rank(s.quiet, share) for s in sendings) for share in (0.5, 0.95)]
        click.echo(
            f"{way:14}{median(s.rate for s in sendings):9,.0f}"
            f"{ratios[0]:8.3f}{ratios[1]:8.3f}{ratios[2]:9.2f}"
            f"{max(s.growth_sum for s in sendings):9.1f}"
            f"{max(s.growth_most for s in sendings):9.1f}"
            f"{pages[0]:8.1f}{pages[1]:8.1f}{quiet[0]:10.1f}{quiet[1]:10.1f}"
        )


def measure(
    files: list[LocalFile], pairs: int, port: int
) -> tuple[Rounds, list[float], list[float]]:
    """The rounds of each way, and files/s of copying and of hashing, one of each per pair."""
    copies: list[float] = []
    hashes: list[float] = []
    rounds: Rounds = {way: [] for way in WAYS}
    with tempfile.TemporaryDirectory() as work:
        archives = Path(work) / "archives"
        pack(files, archives)
        for number in range(1, pairs + 1):
            copies.append(copied(files, Path(work)))
            hashes.append(hashed(files))
            for way in WAYS:
                rounds[way].append(sent(way, files, archives, port))
            rates = ", ".join(f"{way} {rounds[way][-1].rate:,.0f}/s" for way in WAYS)
            click.echo(f"{number}: copied {copies[-1]:,.0f}/s, hashed {hashes[-1]:,.0f}/s, {rates}")
    return rounds, copies, hashes


def rows(rounds: Rounds, copies: list[float], hashes: list[float]) -> Iterator[Row]:
    """Each way against copying and hashing, and archives against single bodies."""
    for way, sendings in rounds.items():
        rates = [sending.rate for sending in sendings]
        grown = f"web processes grew by {max(s.growth_sum for s in sendings):.0f} MB"
        for what, base in (("copying", copies), ("hashing", hashes)):
            row = row_of(f"taken in as {way}", f"{what} the same files", rates, base)
            yield replace(row, figure=f"{statistics.median(rates):,.0f} files/s; {grown}")


@click.command()
@click.argument("folder", type=click.Path(exists=True, path_type=Path))
@click.option("--files", "count", default=10_000, show_default=True, help="How many are sent.")
@click.option("--pairs", default=5, show_default=True, help="How often each is measured.")
@click.option("--port", default=8766, show_default=True, help="Port of the system under test.")
@click.option("--out", type=click.Path(path_type=Path), help="Write every figure here, as JSON.")
def main(folder: Path, count: int, pairs: int, port: int, out: Path | None) -> None:
    """Print how fast FOLDER's images are taken in, in each way, beside copying and hashing them."""
    files = collect([folder])[0][:count]
    click.echo(f"{len(files):,} files, {sum(f.path.stat().st_size for f in files) / 2**20:,.0f} MB")
    rounds, copies, hashes = measure(files, pairs, port)
    show(rounds, copies, hashes)
    if out:
        every = {way: [asdict(s) for s in sendings] for way, sendings in rounds.items()}
        out.write_text(json.dumps({"copied": copies, "hashed": hashes, "sent": every}, indent=1))


if __name__ == "__main__":
    main()
