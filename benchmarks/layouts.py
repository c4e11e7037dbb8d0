"""Which layout of threads makes the most of these cores, and in batches of how many images.

    python -m benchmarks.layouts ../shared/data/bccd4/TRAIN

Every layout reads, decodes, locates and classifies the same files in one process, in turn, several
times. "own" means that each thread reads and runs a batch of its own, the network on one core;
"ahead" that some threads read ahead of one that runs the network on so many cores. A worker is laid
out by what this shows: one process per core, the network on one core, small batches.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import click
import cv2
from rich.console import Console
from rich.table import Table

from benchmarks.peers.bare import pixels_of
from benchmarks.rig import spread
from ml.bundle import Bundle, default_bundle_path
from ml.decoding import Pixels
from ml.serving import load_classifier
from ml.serving.looking import outputs_of
from worker.main import available_cores

_BATCHES = (4, 8, 16, 32)


class Layouts:
    """Ways to work through files with one bundle."""

    def __init__(self, bundle: Bundle, files: Sequence[Path]) -> None:
        cv2.setNumThreads(1)
        self._bundle, self._files = bundle, files

    def own(self, threads: int, batch: int) -> float:
        """Images/s of threads that each read and run a batch of their own."""
        classifier = load_classifier(self._bundle, threads=1, device="cpu")
        parts = [self._files[at : at + batch] for at in range(0, len(self._files), batch)]

        def work() -> None:
            with ThreadPoolExecutor(threads) as pool:
                list(pool.map(lambda part: outputs_of(classifier, self._pixels(part)), parts))

        return self._timed(work)

    def ahead(self, cores: int, readers: int, batch: int) -> float:
        """Images/s of one network on so many cores, with threads that read ahead of it."""
        classifier = load_classifier(self._bundle, threads=cores, device="cpu")
        parts = [self._files[at : at + batch] for at in range(0, len(self._files), batch)]

        def work() -> None:
            with ThreadPoolExecutor(readers) as pool:
                for pixels in pool.map(self._pixels, parts):
                    outputs_of(classifier, pixels)

        return self._timed(work)

    def _pixels(self, part: Sequence[Path]) -> Pixels:
        return pixels_of(part, self._bundle)

    def _timed(self, work: Callable[[], None]) -> float:
        started = time.perf_counter()
        work()
        return len(self._files) / (time.perf_counter() - started)


@click.command()
@click.argument("folder", type=click.Path(exists=True, path_type=Path))
@click.option("--images", default=600, show_default=True)
@click.option("--times", default=3, show_default=True, help="How often each is measured.")
@click.option("--bundle", type=click.Path(exists=True, path_type=Path), help="Model bundle.")
def main(folder: Path, images: int, times: int, bundle: Path | None) -> None:
    """Print images/s of every layout on images of FOLDER, the median of some turns."""
    layouts = Layouts(Bundle.load(bundle or default_bundle_path()), spread(folder, images))
    cores = available_cores()
    rows: dict[str, Callable[[int], float]] = {
        f"own, {cores} threads": lambda batch: layouts.own(cores, batch),
        f"own, {cores + 1} threads": lambda batch: layouts.own(cores + 1, batch),
        f"ahead, network on {cores} cores, {cores} readers": lambda batch: layouts.ahead(
            cores, cores, batch
        ),
        f"ahead, network on 1 core, {cores} readers": lambda batch: layouts.ahead(1, cores, batch),
    }
    speeds: dict[tuple[str, int], list[float]] = {}
    for _ in range(times):
        for name, run in rows.items():
            for batch in _BATCHES:
                speeds.setdefault((name, batch), []).append(run(batch))
    table = Table("layout", *(f"batch {batch}" for batch in _BATCHES), box=None)
    for name in rows:
        medians = (statistics.median(speeds[name, batch]) for batch in _BATCHES)
        table.add_row(name, *(f"{speed:.0f}" for speed in medians))
    Console(width=110).print(table)


if __name__ == "__main__":
    main()
