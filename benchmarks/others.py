"""The platform beside two other ways to the same answers, on the same cores, in one run.

    python -m benchmarks.others ../shared/data/bccd4/TRAIN --bento BENTO/bin/bentoml

What is written first for this task (`benchmarks.peers.keras_tasks`): a Celery task per image, Keras
`predict`, a process per core, results by Redis. And a model server (`benchmarks.peers.bento`):
BentoML with adaptive batching, a worker per core, the same reading and the same ONNX network, files
by HTTP from as many connections as it likes best. Each of the three does the same files in turn;
the Keras way, being slow, only a part of them. BentoML needs an environment of its own:

    python -m venv BENTO
    BENTO/bin/pip install bentoml onnxruntime opencv-python-headless pillow simplejpeg numpy
"""

from __future__ import annotations

import http.client
import os
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from pathlib import Path

import click
from celery import Celery

from benchmarks.rig import Rig, job_speed, running, spread
from benchmarks.table import Row, row_of, show
from ml.bundle import Bundle, default_bundle_path
from worker.main import available_cores

_PORT, _CONNECTIONS = 8799, 48
_READY_SECONDS = 180.0
_BOUNDARY = "a-line-between-parts"


class KerasTasks:
    """The Keras way, on the rig's own broker."""

    def __init__(self, rig: Rig) -> None:
        url = rig.settings.redis_url
        self._app = Celery("asking", broker=url, backend=url, set_as_current=False)

    def speed(self, files: Sequence[Path]) -> float:
        """Images/s from the first task sent to the last result read."""
        started = time.perf_counter()
        results = [
            self._app.send_task("other.classify", args=[str(file)], queue="other") for file in files
        ]
        for result in results:
            result.get()
            result.forget()
        return len(files) / (time.perf_counter() - started)


class Bento:
    """The model server, asked over connections that stay open."""

    def __init__(self) -> None:
        self._local = threading.local()

    def speed(self, files: Sequence[Path]) -> float:
        """Images/s from the first request to the last answer."""
        started = time.perf_counter()
        with ThreadPoolExecutor(_CONNECTIONS) as pool:
            for _ in pool.map(self.ask, files):
                pass
        return len(files) / (time.perf_counter() - started)

    def ask(self, file: Path) -> bytes:
        """Return the server's answer for one file."""
        connection = getattr(self._local, "connection", None)
        if connection is None:
            connection = http.client.HTTPConnection("127.0.0.1", _PORT, timeout=300)
            self._local.connection = connection
        head = (
            f"--{_BOUNDARY}\r\nContent-Disposition: form-data; name=images; "
            f'filename="cell.jpg"\r\nContent-Type: image/jpeg\r\n\r\n'
        )
        body = head.encode() + file.read_bytes() + f"\r\n--{_BOUNDARY}--\r\n".encode()
        kind = {"Content-Type": f"multipart/form-data; boundary={_BOUNDARY}"}
        connection.request("POST", "/classify", body, kind)
        answer = connection.getresponse()
        text = answer.read()
        assert answer.status == 200, text[:200]
        return bytes(text)


@contextmanager
def _started(command: Sequence[str], **variables: str) -> Iterator[None]:
    """Run a program until the body ends."""
    process = subprocess.Popen(
        command,
        env={**os.environ, **variables},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    try:
        yield
    finally:
        process.terminate()
        process.wait(30)


def _celery_command() -> list[str]:
    worker = ["worker", "--queues", "other", "--loglevel", "error"]
    return [sys.executable, "-m", "celery", "-A", "benchmarks.peers.keras_tasks", *worker]


def _bento_command(program: Path) -> list[str]:
    service = ["benchmarks.peers.bento:Cells", "--port", str(_PORT)]
    return [str(program), "serve", *service, "--working-dir", str(Path.cwd())]


def _wait_for(bento: Bento, file: Path) -> None:
    deadline = time.monotonic() + _READY_SECONDS
    while time.monotonic() < deadline:
        with suppress(OSError, http.client.HTTPException, AssertionError):
            bento.ask(file)
            return
        time.sleep(0.5)
    raise TimeoutError("The model server does not answer.")


def measure(files: Sequence[Path], part: int, bundle: Path, pairs: int, program: Path) -> list[Row]:
    """The platform against both, which wait while the others are at work."""
    name = {"BENCH_BUNDLE": str(bundle.absolute())}
    quiet = {"PYTHONPATH": str(Path.cwd()), "OPENBLAS_NUM_THREADS": "1"}
    ours, keras, served = [], [], []
    with running(bundle=str(bundle.absolute())) as rig:
        broker = {"BENCH_REDIS": rig.settings.redis_url}
        with (
            _started(_celery_command(), **name, **broker),
            _started(_bento_command(program), **name, **quiet),
        ):
            tasks, bento = KerasTasks(rig), Bento()
            tasks.speed(files[:16])
            _wait_for(bento, files[0])
            bento.speed(files[:200])
            rig.wait_for_workers(available_cores())
            for number in range(1, pairs + 1):
                ours.append(job_speed(rig, files))
                keras.append(tasks.speed(files[:part]))
                served.append(bento.speed(files))
                click.echo(
                    f"round {number}: platform {ours[-1]:.1f}, Celery and Keras {keras[-1]:.1f}, "
                    f"BentoML {served[-1]:.1f} images/s"
                )
    metadata = Bundle.load(bundle).metadata
    title = f"platform, {metadata.name} {metadata.shape.width} px, sqlite"
    return [
        row_of(title, "a Celery task an image, Keras predict", ours, keras, "≥ 7"),
        row_of(title, "BentoML, the same network", ours, served, "≥ 1.4"),
    ]


@click.command()
@click.argument("folder", type=click.Path(exists=True, path_type=Path))
@click.option("--bento", required=True, type=click.Path(exists=True, path_type=Path))
@click.option("--images", default=2000, show_default=True, help="Images of each round.")
@click.option("--part", default=200, show_default=True, help="Images for the Keras way.")
@click.option("--pairs", default=5, show_default=True, help="How many rounds.")
@click.option("--bundle", type=click.Path(exists=True, path_type=Path), help="Model bundle.")
def main(
    folder: Path, bento: Path, images: int, part: int, pairs: int, bundle: Path | None
) -> None:
    """Print the platform's speed against both on images of FOLDER."""
    files = spread(folder, images)
    show(measure(files, part, bundle or default_bundle_path(), pairs, bento.absolute()))


if __name__ == "__main__":
    main()
