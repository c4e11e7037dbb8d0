"""How long work takes while the broker is frozen, killed or full, and until all is normal again.

    python -m benchmarks.broker_faults ../shared/data/bccd4 --seconds 60

In each fault one image, then a job of fifty, are handed in over HTTP as a page does it, and the
seconds until the verdict are counted; so is how long the web server took to answer the submission.
Then the fault is lifted, and one more image shows how soon all is as before.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, suppress
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

import click
import httpx
import psutil
from redis import Redis
from redis.exceptions import RedisError

from benchmarks.rig import (
    Rig,
    broker_below,
    frozen,
    has_ended,
    running,
    send_files,
    spread,
    until,
)
from contract.jobs import Submission
from hematovision import local
from hematovision.client import Client
from worker.main import available_cores

_LOOK_SECONDS, _SMALL, _PATIENCE = 0.02, 50, 180.0


@dataclass(frozen=True)
class Timed:
    """Seconds of one submission: until the web server had answered, and until the job's end."""

    answered: float
    done: float

    def __str__(self) -> str:
        return f"answered after {self.answered:.2f} s, done after {self.done:.2f} s"


def timed(client: Client, files: Sequence[Path]) -> Timed:
    """Hand a job in and wait for its end."""
    job_id = send_files(client, files, "faults")
    began = time.monotonic()
    client.submit(job_id, Submission())
    answered = time.monotonic() - began
    while not has_ended(client, job_id):
        if time.monotonic() - began > _PATIENCE:
            return Timed(answered, float("inf"))
        time.sleep(_LOOK_SECONDS)
    return Timed(answered, time.monotonic() - began)


def silent(broker: psutil.Process, _redis: Redis) -> AbstractContextManager[None]:
    """The broker takes connections and answers nothing."""
    return frozen(broker.pid)


@contextmanager
def full(_broker: psutil.Process, redis: Redis) -> Iterator[None]:
    """The broker refuses whatever needs memory."""
    redis.config_set("maxmemory", 1)
    try:
        yield
    finally:
        redis.config_set("maxmemory", 0)


@contextmanager
def gone(broker: psutil.Process, _redis: Redis) -> Iterator[None]:
    """The broker is killed as often as the supervisor starts it."""
    command, ended = broker.cmdline(), threading.Event()

    def kill() -> None:
        while not ended.wait(_LOOK_SECONDS):
            for child in psutil.Process().children():
                with suppress(psutil.NoSuchProcess):
                    if child.cmdline() == command:
                        child.kill()

    killing = threading.Thread(target=kill)
    killing.start()
    try:
        yield
    finally:
        ended.set()
        killing.join()


FAULTS = {"frozen": silent, "full": full, "gone": gone}


def measure(rig: Rig, name: str, files: Iterator[Path], seconds: float) -> None:
    """Print what one fault costs."""
    socket = rig.settings.redis_url.removeprefix("redis+socket://")
    client, redis = rig.client(), Redis(unix_socket_path=socket)
    normal = timed(client, list(islice(files, 1)))
    began = time.monotonic()
    with FAULTS[name](broker_below(psutil.Process()), redis):
        time.sleep(0.5)
        single = timed(client, list(islice(files, 1)))
        fifty = timed(client, list(islice(files, _SMALL)))
        health = httpx.get(f"{local.address(rig.settings)}/healthz", timeout=30)
        again = timed(client, list(islice(files, 1)))
        time.sleep(max(0.0, seconds - (time.monotonic() - began)))
    lifted = time.monotonic()
    after = timed(client, list(islice(files, 1)))
    cleared = until(lambda: _is_clear(redis), _PATIENCE)
    click.echo(f"— broker {name} for {lifted - began:.0f} s —")
    click.echo(f"before: one image {normal}")
    click.echo(f"one image {single}")
    click.echo(f"fifty images {fifty}")
    click.echo(f"one image again {again}")
    click.echo(f"healthz: {health.status_code} {health.text.strip()}")
    click.echo(f"after: one image {after}; no message is left {cleared - lifted:.1f} s later")


def _is_clear(redis: Redis) -> bool:
    """Say whether the broker answers and holds no message."""
    with suppress(RedisError):
        return not any(int(redis.llen(lane)) for lane in ("interactive", "reports", "batch"))
    return False


@click.command()
@click.argument("folder", type=click.Path(exists=True, path_type=Path))
@click.option("--seconds", default=60.0, show_default=True, help="How long each fault lasts.")
@click.option("--only", multiple=True, type=click.Choice(list(FAULTS)), help="Some of them.")
@click.option("--database", type=click.Choice(["sqlite", "postgresql"]), default="sqlite")
def main(folder: Path, seconds: float, only: tuple[str, ...], database: str) -> None:
    """Print what each fault of the broker costs, with images of FOLDER."""
    files = iter(spread(folder, 4 * (_SMALL + 5)))
    for name in only or FAULTS:
        with running(database=database, port=8777, restarting=True) as rig:
            rig.wait_for_workers(available_cores())
            rig.wait_for_pages()
            measure(rig, name, files, seconds)


if __name__ == "__main__":
    main()
