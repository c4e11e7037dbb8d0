"""The main job against the bare loop over the same files, in turn, in one run.

    python -m benchmarks.main_job ../shared/data/bccd4/TRAIN --images 5000 --pairs 5

The platform is all that `hematovision up` runs, one worker process per core, over SQLite or
PostgreSQL; its time runs from the job being queued to the last result being in SQL. Before every
job what was said before is forgotten, so that nothing is taken over. The bare loop is that of
`benchmarks.peers.bare`, over the same files.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import click

from benchmarks.peers.bare import BareLoop
from benchmarks.rig import job_speed, running, spread
from benchmarks.table import Row, row_of, show
from ml.bundle import Bundle, default_bundle_path
from worker.main import available_cores

# So many images of the job are held decoded in memory, for the roof.
_HELD = 1000


def measure(
    files: Sequence[Path],
    bundle: Path,
    pairs: int,
    database: str = "sqlite",
    say: Callable[[str], None] = lambda _: None,
) -> list[Row]:
    """The platform against the bare loop, and the bare loop against its roof."""
    network = Bundle.load(bundle)
    loop = BareLoop(network)
    held = loop.pixels(files[:_HELD])
    roofs, bares, platform = [], [], []
    with running(database=database, bundle=str(bundle.absolute())) as rig:
        rig.wait_for_workers(available_cores())
        for number in range(1, pairs + 1):
            roofs.append(loop.decoded(held))
            bares.append(loop.files(files))
            platform.append(job_speed(rig, files))
            say(
                f"pair {number}: network alone {roofs[-1]:.1f}, bare loop {bares[-1]:.1f}, "
                f"platform {platform[-1]:.1f} images/s: {platform[-1] / bares[-1]:.3f}"
            )
    title = f"{network.metadata.name} {network.metadata.shape.width} px"
    return [
        row_of(
            f"platform, {title}, {database}",
            "the bare loop with reading",
            platform,
            bares,
            "≥ 0.95",
        ),
        row_of(f"bare loop with reading, {title}", "the network alone", bares, roofs),
    ]


@click.command()
@click.argument("folder", type=click.Path(exists=True, path_type=Path))
@click.option("--images", default=5000, show_default=True, help="Images of the job.")
@click.option("--pairs", default=5, show_default=True, help="How often each is measured.")
@click.option("--database", type=click.Choice(["sqlite", "postgresql"]), default="sqlite")
@click.option("--bundle", type=click.Path(exists=True, path_type=Path), help="Model bundle.")
def main(folder: Path, images: int, pairs: int, database: str, bundle: Path | None) -> None:
    """Print the ratio of the platform's speed to the bare loop's on images of FOLDER."""
    files = spread(folder, images)
    bundle = bundle or default_bundle_path()
    click.echo(f"{len(files):,} files, {Bundle.load(bundle).title}")
    show(measure(files, bundle, pairs, database, click.echo))


if __name__ == "__main__":
    main()
