"""How soon a worker is ready, and how much memory workers and the web server take.

    python -m benchmarks.footprint ../shared/data/bccd4/TRAIN

A worker is ready when its heartbeat stands in SQL: Celery runs and the network is loaded. Memory is
the resident size of each process as the kernel counts it, shared pages counted in every process,
after a job of real crops; and the largest it ever was after a job of photographs of 40 megapixels,
in which the crops stand on an empty slide, as JPEG and as PNG.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from pathlib import Path

import click
from PIL import Image

from benchmarks.rig import Rig, running, spread
from worker.main import available_cores

_LARGE = (7680, 5208)
_MB = 2**20


def photographs(files: Sequence[Path], folder: Path) -> list[Path]:
    """Write a photograph of 40 megapixels round each crop, every other one as PNG."""
    made = []
    for number, file in enumerate(files):
        slide = Image.new("RGB", _LARGE, (236, 232, 236))
        with Image.open(file) as crop:
            scale = _LARGE[1] // 2 // crop.height
            enlarged = crop.resize((crop.width * scale, crop.height * scale))
        left = (_LARGE[0] - enlarged.width) // 2
        slide.paste(enlarged, (left, (_LARGE[1] - enlarged.height) // 2 + number))
        made.append(folder / f"{number}.{'png' if number % 2 else 'jpg'}")
        slide.save(made[-1])
    return made


def largest(rig: Rig, kind: str, *, ever: bool) -> float:
    """The largest resident size of a kind of process, in MB: now, or ever."""
    return max(sizes[ever] for sizes in rig.memory()[kind]) / _MB


@click.command()
@click.argument("folder", type=click.Path(exists=True, path_type=Path))
@click.option("--images", default=1000, show_default=True, help="Crops of the first job.")
@click.option("--large", default=24, show_default=True, help="Photographs of the second job.")
def main(folder: Path, images: int, large: int) -> None:
    """Print the time to get ready and the memory of the processes, on crops of FOLDER."""
    files = spread(folder, images)
    started = time.perf_counter()
    with running() as rig:
        rig.wait_for_workers(available_cores())
        click.echo(
            f"workers ready after {time.perf_counter() - started:.1f} s, from nothing at all"
        )
        rig.wait_for_pages()
        rig.run(rig.hand_in(files))
        for kind, limit in (("worker", 350), ("web", 150), ("sweep", 0), ("broker", 0)):
            of = f" (to be at most {limit})" if limit else ""
            click.echo(f"{kind}: {largest(rig, kind, ever=False):.0f} MB a process{of}")
    with running() as rig:
        rig.wait_for_workers(available_cores())
        rig.run(rig.hand_in(photographs(files[:large], rig.settings.data)))
        peak = largest(rig, "worker", ever=True)
        click.echo(f"a worker over {large} photographs of 40 megapixels: at most {peak:.0f} MB")


if __name__ == "__main__":
    main()
