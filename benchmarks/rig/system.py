"""A whole system on this machine, to be measured: its own folder, broker, database and programs.

The programs are those that `hematovision up` runs, in the same supervisor; a benchmark may leave
some out or put its own worker in. Files are handed in through the store and SQL and not over HTTP,
whose cost `benchmarks.intake` measures.
"""

from __future__ import annotations

import shutil
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from pathlib import Path

import httpx
import psutil
from redis import Redis
from redis.exceptions import ConnectionError as NotThere

from benchmarks.rig.databases import server
from benchmarks.rig.processes import LOOK_SECONDS, kind_of, most_resident
from core import intake, jobs
from core.installation import Installation, open_installation
from core.people import accounts, tokens
from core.settings import Settings
from core.states import ENDED, TokenKind
from core.tables import Job, User
from hematovision import local
from hematovision.client import Client
from hematovision.installing import install
from hematovision.supervisor import Supervisor

PARTS = ("redis", "worker", "sweep", "web")
_READY_SECONDS = 120.0


@dataclass(frozen=True)
class Rig(Installation):
    """A system that runs, and the means of giving it work and of watching it."""

    owner: User
    roots: Callable[[], list[int]]

    def hand_in(self, files: Sequence[Path], name: str = "benchmark") -> int:
        """Store files and open a job of them that is ready to be submitted; return its id."""
        limits = intake.Limits(self.settings.max_file_bytes, self.settings.max_pixels)
        with self.database.writing() as session:
            job = jobs.create(session, self.owner.id, name)
        contents = []
        for file in files:
            with file.open("rb") as stream:
                contents.append(intake.accept(stream, self.blobs, limits))
        entries = [
            jobs.Entry(file.name, content.size, content.sha256)
            for file, content in zip(files, contents, strict=True)
        ]
        with self.database.writing() as session:
            job = session.get_one(Job, job.id)
            announced = jobs.announce(session, job, entries, self.settings.max_job_files)
            for (image, needed), content in zip(announced, contents, strict=True):
                if needed:
                    jobs.receive(session, job, image, content)
        return job.id

    def submit(self, job_id: int) -> None:
        """Queue a job."""
        with self.database.writing() as session:
            job = session.get_one(Job, job_id)
            jobs.submit(session, job, self.settings, without_missing=False)

    def run(self, job_id: int) -> float:
        """Queue a job; return the seconds from then to its last result."""
        self.submit(job_id)
        while True:
            with self.database.reading() as session:
                job = session.get_one(Job, job_id)
            if job.state in ENDED:
                assert job.submitted_at is not None and job.finished_at is not None
                return (job.finished_at - job.submitted_at).total_seconds()
            time.sleep(LOOK_SECONDS)

    def counts(self, job_id: int) -> jobs.Counts:
        """What has become of a job's images so far."""
        with self.database.reading() as session:
            return jobs.counts(session, [session.get_one(Job, job_id)])[job_id]

    def wait_for_workers(self, count: int) -> None:
        """Wait until so many worker processes are ready.

        Raises:
            TimeoutError: they are not, within two minutes.
        """
        deadline = time.monotonic() + _READY_SECONDS
        while True:
            with self.database.reading() as session:
                if jobs.live_workers(session) >= count:
                    return
            if time.monotonic() > deadline:
                raise TimeoutError(f"{count} workers were not ready; see {self.settings.data}/logs")
            time.sleep(LOOK_SECONDS)

    def client(self) -> Client:
        """A client of the web server, as the owner."""
        with self.database.writing() as session:
            token = tokens.issue(session, self.owner, TokenKind.API, "benchmark")
        return Client(local.address(self.settings), token)

    def wait_for_pages(self) -> None:
        """Wait until the web server answers."""
        client, deadline = httpx.Client(), time.monotonic() + _READY_SECONDS
        while time.monotonic() < deadline:
            with suppress(httpx.HTTPError):
                if client.get(f"{local.address(self.settings)}/healthz").is_success:
                    return
            time.sleep(LOOK_SECONDS)
        raise TimeoutError(f"The web server does not answer; see {self.settings.data}/logs")

    def processor_seconds(self) -> dict[str, float]:
        """Processor time so far of everything that runs for the system, by kind of program."""
        seconds: dict[str, float] = {}
        for process in self.processes():
            with suppress(psutil.NoSuchProcess):
                times = process.cpu_times()
                spent = times.user + times.system + times.children_user + times.children_system
                kind = kind_of(process)
                seconds[kind] = seconds.get(kind, 0.0) + spent
        return seconds

    def memory(self) -> dict[str, list[tuple[int, int]]]:
        """Resident bytes now, and the most there ever were, of every process by kind."""
        by_kind: dict[str, list[tuple[int, int]]] = {}
        for process in self.processes():
            with suppress(psutil.NoSuchProcess, FileNotFoundError):
                # One that has ended and was not waited for yet holds nothing.
                if process.status() != psutil.STATUS_ZOMBIE:
                    sizes = process.memory_info().rss, most_resident(process.pid)
                    by_kind.setdefault(kind_of(process), []).append(sizes)
        return by_kind

    def processes(self) -> list[psutil.Process]:
        """Every process of the system, the database server's among them."""
        processes: list[psutil.Process] = []
        for root in self.roots():
            with suppress(psutil.NoSuchProcess):
                top = psutil.Process(root)
                processes += [top, *top.children(recursive=True)]
        return processes


@contextmanager
def running(
    *,
    database: str = "sqlite",
    workers: int = 0,
    parts: Sequence[str] = PARTS,
    worker: Sequence[str] = (),
    port: int = 8765,
    restarting: bool = False,
    **changes: object,
) -> Iterator[Rig]:
    """Run a system in a folder of its own until the body ends.

    Args:
        database: sqlite or postgresql.
        workers: worker processes; 0 is one per core.
        parts: which of `PARTS` to run.
        worker: the command that takes the place of the worker, if any.
        port: of the web server.
        restarting: start a program again that ends, as `up` does.
        changes: other settings.
    """
    folder = Path(tempfile.mkdtemp(prefix="hv-bench-"))
    try:
        with _database(database) as (url, servers):
            socket = folder / "redis.sock"
            settings = Settings.from_env(
                data=folder / "data",
                database_url=url,
                redis_url=f"redis+socket://{socket}",
                secret_key="for benchmarks only, thirty-two chars",
                workers=workers,
                port=port,
                **changes,
            )
            with _programs(settings, socket, parts, worker, restarting):
                yield _rig(settings, servers)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _rig(settings: Settings, database_servers: list[int]) -> Rig:
    opened = open_installation(settings)
    with opened.database.writing() as session:
        accounts.ensure_roles(session)
        owner = accounts.first_administrator(session, local.ADMINISTRATOR)
    me = psutil.Process()
    return Rig(
        settings,
        opened.database,
        opened.blobs,
        opened.queue,
        owner,
        lambda: [*(child.pid for child in me.children()), *database_servers],
    )


@contextmanager
def _programs(
    settings: Settings,
    socket: Path,
    parts: Sequence[str],
    worker: Sequence[str],
    restarting: bool,
) -> Iterator[None]:
    """Migrate and run the programs until the body ends."""
    install(settings)
    logs = settings.data / "logs"
    logs.mkdir()
    programs = [program for program in local.programs(settings, socket) if program.name in parts]
    if worker:
        programs = [replace(p, argv=worker) if p.name == "worker" else p for p in programs]
    supervisor = Supervisor(programs, logs, lambda _: None)
    watching = threading.Thread(target=supervisor.watch)
    try:
        supervisor.start()
        if restarting:
            watching.start()
        _wait_for_broker(socket)
        yield
    finally:
        supervisor.request_stop()
        if restarting:
            watching.join()
        supervisor.stop()


def _wait_for_broker(socket: Path) -> None:
    with Redis(unix_socket_path=str(socket)) as client:
        for _ in range(200):
            try:
                client.ping()
                return
            except NotThere:
                time.sleep(LOOK_SECONDS)
    raise TimeoutError("The broker did not start.")


@contextmanager
def _database(kind: str) -> Iterator[tuple[str, list[int]]]:
    """Yield a database's URL, "" for SQLite in the data folder, and its server's processes."""
    if kind == "sqlite":
        yield "", []
        return
    folder = Path(tempfile.mkdtemp(prefix="hv-bench-"))
    try:
        with server(folder) as (url, first):
            yield url, [first]
    finally:
        shutil.rmtree(folder, ignore_errors=True)
