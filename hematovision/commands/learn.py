"""Training a network, judging it, and classifying files without a server."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import click

from core.cells import NOTICE
from ml.recipes import recipe_names

if TYPE_CHECKING:
    from ml.bundle import Bundle
    from ml.dataset import Sample
    from ml.loading import Report
    from ml.predict import Row

FOLDER = click.Path(path_type=Path, file_okay=False)
ANYTHING = click.Path(path_type=Path)


@click.command()
@click.option("--recipe", type=click.Choice(recipe_names()), required=True)
@click.option("--data", "folders", type=FOLDER, multiple=True, required=True)
@click.option("--out", type=FOLDER, required=True, help="A new folder for the run.")
@click.option("--weights", type=ANYTHING, help="ImageNet weights; downloaded where not given.")
@click.option("--seed", type=int, default=0, show_default=True)
def train(
    recipe: str, folders: tuple[Path, ...], out: Path, weights: Path | None, seed: int
) -> None:
    """Train a network and write it as a bundle, OUT/bundle.

    --data may be given several times. A data folder holds source_map.csv or manifest.csv beside
    its images; images that these mark as test are left out.
    """
    with _sentences(), _progress() as report:
        from ml.recipes import load_recipe

        samples = _samples(folders)
        with _silent_start():
            from ml.fitting import Run
            from ml.training import train as train_network
        run = Run(load_recipe(recipe), samples, out, weights, seed, report)
        bundle = train_network(run)
    click.echo(f"{bundle.title} is in {bundle.path}.")


@click.command()
@click.option("--bundle", type=FOLDER, help="The bundle; the one that ships where not given.")
@click.option("--data", "folder", type=FOLDER, required=True)
@click.option("--split", type=click.Choice(["shipped", "random", "whole"]), default="shipped")
@click.option("--out", type=FOLDER, required=True, help="Where text, JSON and picture go.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON rather than text.")
def evaluate(bundle: Path | None, folder: Path, split: str, out: Path, as_json: bool) -> None:
    """Score a bundle on labelled images.

    The shipped split is what the set's authors held out as test; a random split leaks, and says
    so; whole takes every image of a set that the bundle was not trained on.
    """
    with _sentences(), _progress() as report:
        from ml import evaluation, reporting
        from ml.inference import load_classifier

        classifier = load_classifier(_bundle(bundle))
        samples = evaluation.choose(_samples((folder,)), classifier.bundle.metadata.classes, split)
        found = evaluation.evaluate(classifier, samples, split, report)
        reporting.write_report(found, out)
    if found.leaking:
        click.secho(evaluation.LEAK_WARNING, fg="red", bold=True, err=True)
    click.echo(reporting.as_json(found) if as_json else reporting.as_text(found), nl=False)


@click.command()
@click.argument("paths", type=ANYTHING, nargs=-1, required=True)
@click.option("--csv", "table", type=ANYTHING, required=True, help="Where the table goes.")
@click.option("--bundle", type=FOLDER, help="The bundle; the one that ships where not given.")
@click.option("--batch", type=click.IntRange(1, 4096), default=32, show_default=True)
def predict(paths: tuple[Path, ...], table: Path, bundle: Path | None, batch: int) -> None:
    """Classify files, and whatever images lie in folders, into a CSV table."""
    with _sentences(), _progress() as report:
        from ml.inference import load_classifier
        from ml.predict import classify_files, find_images, write_csv

        files = find_images(paths)
        if not files:
            raise click.ClickException("There is no image in these folders; nothing was written.")
        classifier = load_classifier(_bundle(bundle))
        rows = list(_counted(classify_files(classifier, files, batch), len(files), report))
        with table.open("w", newline="", encoding="utf-8") as file:
            write_csv(rows, classifier.bundle, file)
    _summary(rows, table)


def _summary(rows: list[Row], table: Path) -> None:
    """Say what was done, and which files failed and why; fail only if nothing was classified."""
    failed = [row for row in rows if row.prediction is None]
    done = len(rows) - len(failed)
    for row in failed:
        click.echo(f"error: {row.file}: {row.reason}", err=True)
    if not done:
        raise click.ClickException(f"None of the {len(rows)} files could be classified.")
    click.echo(f"{done:,} images classified, {len(failed):,} failed: {table}", err=True)
    click.echo(NOTICE, err=True)


def _samples(folders: tuple[Path, ...]) -> list[Sample]:
    from ml.dataset import read_folder

    return [sample for folder in folders for sample in read_folder(folder)]


def _bundle(path: Path | None) -> Bundle:
    from ml.bundle import Bundle, default_bundle_path

    return Bundle.load(path or default_bundle_path())


def _counted(rows: Iterator[Row], count: int, report: Report) -> Iterator[Row]:
    """The same rows, with progress shown."""
    for place, row in enumerate(rows, start=1):
        report("classifying", place / count, f"{place} of {count}")
        yield row


@contextmanager
def _progress() -> Iterator[Report]:
    """A bar a stage on the terminal's standard error; silent where it is not a terminal."""
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TaskID, TextColumn, TimeRemainingColumn

    columns = (TextColumn("{task.description}"), BarColumn(), TimeRemainingColumn())
    note = TextColumn("{task.fields[note]}")
    bars: dict[str, TaskID] = {}
    console = Console(file=sys.stderr)
    with Progress(*columns, note, console=console, disable=not console.is_terminal) as progress:

        def report(stage: str, done: float, words: str) -> None:
            if stage not in bars:
                bars[stage] = progress.add_task(stage, total=1.0, note=words)
            progress.update(bars[stage], completed=done, note=words)

        yield report


@contextmanager
def _sentences() -> Iterator[None]:
    """Turn what can go wrong into a sentence that says what to do."""
    from ml.errors import MlError

    # oneDNN doubles TensorFlow's speed on a CPU; it must be asked for before the import.
    os.environ.setdefault("TF_ENABLE_ONEDNN_OPTS", "1")
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    try:
        yield
    except (MlError, OSError) as error:
        raise click.ClickException(str(error)) from error
    except ImportError as error:
        message = f"{error.name} is not installed. Install it with: pip install hematovision[train]"
        raise click.ClickException(message) from error


@contextmanager
def _silent_start() -> Iterator[None]:
    """Keep TensorFlow's start-up messages, which its C++ part writes itself, off the terminal."""
    sys.stderr.flush()
    kept, nowhere = os.dup(2), os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, 2)
    try:
        yield
    finally:
        os.dup2(kept, 2)
        os.close(kept)
        os.close(nowhere)
