"""The main job against a bare ONNX Runtime loop over the same files, in turn, in one run.

    python -m benchmarks.main_job ../shared/data/bccd4/TEST --pairs 5

The bare loop is one process: files decoded ahead by as many threads as there are cores, batches of
32, ONNX Runtime on all cores. The platform is a new `hematovision up`, SQLite, one worker process a
core; its time runs from the job being queued to the last result being in SQL, so sending is left
out. Every pair starts from an empty data folder: what was classified before is never taken over.
"""

from __future__ import annotations

import datetime as dt
import os
import platform
import statistics
import subprocess
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import click
import numpy as np

from hematovision.client import LocalFile, collect, connection, follow, upload
from ml.bundle import Bundle, default_bundle_path
from ml.inference import load_classifier
from ml.looking import outputs_of
from ml.reading import read

BATCH = 32


def bare_loop(files: list[LocalFile], bundle: Bundle) -> float:
    """Return images/s of reading, decoding and classifying in one process, nothing recorded."""
    classifier = load_classifier(bundle, device="cpu")
    said = bundle.metadata
    started = time.perf_counter()
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        readings = pool.map(
            lambda file: read(file.path.read_bytes(), said.shape, said.preprocessing), files
        )
        batch = []
        for reading in readings:
            batch.append(reading.pixels)
            if len(batch) == BATCH:
                outputs_of(classifier, np.stack(batch))
                batch = []
        if batch:
            outputs_of(classifier, np.stack(batch))
    return len(files) / (time.perf_counter() - started)


def platform_job(files: list[LocalFile], port: int) -> float:
    """Return images/s from queued to recorded on a system started for this one job."""
    with tempfile.TemporaryDirectory() as folder:
        words = ["up", "--data", folder, "--port", str(port)]
        up = subprocess.Popen(
            [sys.executable, "-m", "hematovision", *words], stdout=subprocess.PIPE, text=True
        )
        try:
            assert up.stdout is not None
            next(line for line in up.stdout if "/sign-in/" in line)
            client = connection(Path(folder), None, None)
            job_id = client.call("POST", "/jobs", {"name": "benchmark"})["id"]
            list(upload(client, job_id, files, lambda _: None))
            client.call("POST", f"/jobs/{job_id}/submit", {})
            job = follow(client, job_id, lambda _: None)
        finally:
            up.terminate()
            up.wait()
    assert job["counts"]["classified"] == len(files), job["counts"]
    queued, ended = (dt.datetime.fromisoformat(job[key]) for key in ("submitted_at", "finished_at"))
    return len(files) / (ended - queued).total_seconds()


@click.command()
@click.argument("folder", type=click.Path(exists=True, path_type=Path))
@click.option("--pairs", default=5, show_default=True, help="How often each is measured.")
@click.option("--port", default=8765, show_default=True, help="Port of the system under test.")
@click.option("--bundle", type=click.Path(exists=True, path_type=Path), help="Model bundle.")
def main(folder: Path, pairs: int, port: int, bundle: Path | None) -> None:
    """Print the ratio of the platform's speed to the bare loop's on FOLDER."""
    files, _ = collect([folder])
    network = Bundle.load(bundle or default_bundle_path())
    if bundle:
        os.environ["HEMATOVISION_BUNDLE"] = str(bundle.absolute())
    name, version = network.metadata.name, network.metadata.version
    click.echo(f"{len(files):,} files, {name} {version}, {os.cpu_count()} cores, {_machine()}")
    ratios = []
    for number in range(1, pairs + 1):
        bare, whole = bare_loop(files, network), platform_job(files, port)
        ratios.append(whole / bare)
        click.echo(f"pair {number}: bare {bare:.1f}/s, platform {whole:.1f}/s, {ratios[-1]:.3f}")
    low, high = min(ratios), max(ratios)
    click.echo(f"ratio: median {statistics.median(ratios):.3f}, from {low:.3f} to {high:.3f}")


def _machine() -> str:
    return f"Python {platform.python_version()} on {platform.machine()}"


if __name__ == "__main__":
    main()
