"""All benchmarks that compare, one after the other, in one table; `make bench` calls this.

    python -m benchmarks ../shared/data/bccd4/TRAIN --out build/benchmarks

It takes about an hour on two cores, which should have nothing else to do. `--only` picks some;
`--bento` names BentoML's program in an environment of its own (see `benchmarks.others`), without
which the peers are left out; each `--bundle` is measured in place of the one that ships.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import click

from benchmarks import intake, limit, main_job, orchestration, others, pages, waiting
from benchmarks.peers.bare import BareLoop
from benchmarks.rig import spread
from benchmarks.table import Row, show, write
from hematovision.collecting import collect
from ml.bundle import Bundle, default_bundle_path
from worker.main import available_cores

_CORES = available_cores()


@dataclass(frozen=True)
class Task:
    """What all of them need to know."""

    folder: Path
    bundles: Sequence[Path]
    pairs: int
    bento: Path | None

    def main_job(self) -> Iterable[Row]:
        """The platform against the bare loop, and that against the network alone."""
        files = spread(self.folder, 5000)
        for bundle in self.bundles:
            yield from main_job.measure(files, bundle, self.pairs, say=click.echo)

    def others(self) -> Iterable[Row]:
        """The platform against a Keras task per image and against a model server."""
        if self.bento is None:
            click.echo("left out: BentoML's program is not named with --bento")
            return
        files = spread(self.folder, 2000)
        for bundle in self.bundles:
            yield from others.measure(files, 200, bundle, self.pairs, self.bento.absolute())

    def limit(self) -> Iterable[Row]:
        """The share of the arithmetic limit."""
        files = spread(self.folder, 2000)
        for bundle in self.bundles:
            yield from limit.measure(files, bundle, self.pairs)

    def orchestration(self) -> Iterable[Row]:
        """The platform without eyes, against what looking costs."""
        loop = BareLoop(Bundle.load(self.bundles[0]))
        looking = 1000 * _CORES / loop.files(spread(self.folder, 1000))
        for database in ("sqlite", "postgresql"):
            measured = orchestration.measure(database, 50_000, self.pairs, _CORES)
            yield orchestration.row(measured, database, looking)

    def intake(self) -> Iterable[Row]:
        """Files taken in over HTTP, against copying and hashing them."""
        files = collect([self.folder])[0][:10_000]
        yield from intake.rows(*intake.measure(files, self.pairs, port=8766))

    def waiting(self) -> Iterable[Row]:
        """One image beside eight thousand, against one alone."""
        yield from waiting.measure(self.folder, 8000, 100, self.pairs, "sqlite")

    def pages(self) -> Iterable[Row]:
        """Pages over a million images, against the same over ten thousand."""
        for database in ("sqlite", "postgresql"):
            yield pages.row(1_000_000, 10_000, database, 200)


BENCHMARKS: dict[str, Callable[[Task], Iterable[Row]]] = {
    "main-job": Task.main_job,
    "others": Task.others,
    "limit": Task.limit,
    "orchestration": Task.orchestration,
    "intake": Task.intake,
    "waiting": Task.waiting,
    "pages": Task.pages,
}


@click.command()
@click.argument("folder", type=click.Path(exists=True, path_type=Path))
@click.option("--out", type=click.Path(path_type=Path), default="build/benchmarks")
@click.option("--only", multiple=True, type=click.Choice(list(BENCHMARKS)), help="Some of them.")
@click.option("--pairs", default=5, show_default=True, help="How often each is measured.")
@click.option("--bundle", "bundles", multiple=True, type=click.Path(exists=True, path_type=Path))
@click.option("--bento", type=click.Path(exists=True, path_type=Path), help="BentoML's program.")
def main(
    folder: Path,
    out: Path,
    only: tuple[str, ...],
    pairs: int,
    bundles: tuple[Path, ...],
    bento: Path | None,
) -> None:
    """Measure on images of FOLDER; print one table, write it as JSON and as a picture."""
    task = Task(folder, bundles or (default_bundle_path(),), pairs, bento)
    rows: list[Row] = []
    for name in only or BENCHMARKS:
        click.echo(f"— {name} —")
        rows += BENCHMARKS[name](task)
        write(rows, out)
    show(rows)
    click.echo(f"Written to {out}/benchmarks.json and .png.")


if __name__ == "__main__":
    main()
