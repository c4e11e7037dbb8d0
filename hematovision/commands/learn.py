"""Training a network, and classifying files without a server."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from hematovision.commands.terminal import (
    ANYTHING,
    FOLDER,
    bundle_at,
    progress,
    sentences,
    silent_start,
)
from lexicon.words import NOTICE, counted
from ml.training.recipes import recipe_names

if TYPE_CHECKING:
    from ml.bundle import Bundle
    from ml.data import Report, Sample
    from ml.serving import Row
    from ml.training.recipes.recipe import Recipe


@dataclass(frozen=True)
class Lesson:
    """What a network is to learn, from which images, and where the run is kept."""

    recipe: str
    folders: tuple[Path, ...]
    out: Path
    weights: Path | None
    seed: int
    changes: tuple[str, ...]
    protocol: str
    groups: Path | None
    log: Path | None
    resume: bool


@click.command()
@click.option("--recipe", type=click.Choice(recipe_names()), required=True, help="How to train.")
@click.option(
    "--data", "folders", type=FOLDER, multiple=True, required=True, help="Labelled images."
)
@click.option("--out", type=FOLDER, required=True, help="The folder to create for the run.")
@click.option("--weights", type=ANYTHING, help="ImageNet weights; downloaded by default.")
@click.option("--seed", type=int, default=0, show_default=True, help="Seed of all random draws.")
@click.option("--set", "changes", metavar="FIELD=VALUE", multiple=True, help="Change the recipe.")
@click.option(
    "--protocol",
    type=click.Choice(["grouped", "random"]),
    default="grouped",
    help="How images are held out.",
)
@click.option("--groups", type=ANYTHING, help="A table of the photograph of each image.")
@click.option("--log", type=ANYTHING, help="The log of all runs; by default beside OUT.")
@click.option("--resume", is_flag=True, help="Continue the interrupted run in OUT.")
def train(**asked: Any) -> None:
    """Train a network and write it as a bundle, OUT/bundle.

    --data may be given several times. A data folder holds source_map.csv or manifest.csv beside
    its images; images marked as test there are left out. --set may be given several times, as in
    --set jitter.zoom=0.3, and makes a variant of the recipe with its own name. The random protocol
    holds out single images whatever their photograph, which leaks. It exists only to repeat
    published figures, and marks its bundle as unfit for use.
    """
    lesson = Lesson(**asked)
    with sentences(), progress() as report:
        recipe = _recipe(lesson)
        samples = _samples(lesson)
        with silent_start():
            from ml.training.fitting import TrainingRun
            from ml.training.train import train as train_network
        run = TrainingRun(recipe, samples, lesson.out, lesson.weights, lesson.seed, _spoken(report))
        bundle = train_network(replace(run, resume=lesson.resume, log=lesson.log))
    click.echo(f"{bundle.title} is in {bundle.path}.")
    _say_leaking(bundle)
    if bundle.metadata.int8 and not bundle.int8:
        click.echo("Its 8-bit answers differ (see its model card), so CPU workers run it in float.")


@click.command()
@click.argument("log", type=ANYTHING, default=Path("runs/log.jsonl"))
@click.option("--by", metavar="FIELD", multiple=True, help="Average the runs with the same value.")
def runs(log: Path, by: tuple[str, ...]) -> None:
    """Print the training runs of a LOG as a table: their differences and their scores.

    The scores are measured on the validation photographs. Recall and NLL are means over every
    class of every data folder, all with equal weight.
    """
    with sentences():
        from ml.training.runs import read_log, table

        click.echo(table(read_log(log), by), nl=False)


def _recipe(lesson: Lesson) -> Recipe:
    from ml.training.recipes import load_recipe
    from ml.training.recipes.recipe import leaking, variant

    recipe = variant(load_recipe(lesson.recipe), lesson.changes)
    return leaking(recipe) if lesson.protocol == "random" else recipe


def _spoken(report: Report) -> Report:
    """Return the report, or one that prints new notes as lines if no bar can be shown."""
    if sys.stderr.isatty():
        return report
    spoken = {""}

    def speak(stage: str, done: float, words: str) -> None:
        if words not in spoken:
            spoken.add(words)
            click.echo(f"{stage}: {words}", err=True)

    return speak


def _say_leaking(bundle: Bundle) -> None:
    if bundle.metadata.data["leaking"]:
        ((name, scores),) = bundle.metadata.scores.items()
        click.echo(f"{name}: accuracy {scores['accuracy']:.4f}")
        message = "THIS SPLIT LEAKS: it was trained on copies of the photographs it is judged on."
        click.secho(f"WARNING: {message} Never publish this accuracy.", fg="red", err=True)


@click.command()
@click.argument("paths", type=ANYTHING, nargs=-1, required=True)
@click.option("--csv", "table", type=ANYTHING, required=True, help="The table to write.")
@click.option("--bundle", type=FOLDER, help="The bundle to use; by default the one that ships.")
@click.option(
    "--batch",
    type=click.IntRange(1, 4096),
    default=32,
    show_default=True,
    help="Images per batch.",
)
def predict(paths: tuple[Path, ...], table: Path, bundle: Path | None, batch: int) -> None:
    """Classify image files, and the images in folders, and write a CSV table."""
    with sentences(), progress() as report:
        from ml.serving import classify_files, find_images, load_classifier, write_csv

        files = find_images(paths)
        if not files:
            raise click.ClickException("There are no images in these folders. Nothing was written.")
        classifier = load_classifier(bundle_at(bundle))
        rows = list(_counted(classify_files(classifier, files, batch), len(files), report))
        with table.open("w", newline="", encoding="utf-8") as file:
            write_csv(rows, classifier.bundle, file)
    _summary(rows, table)


def _summary(rows: list[Row], table: Path) -> None:
    """Report the result, and why files failed. Fail only if nothing was classified."""
    failed = [row for row in rows if row.verdict is None]
    done = len(rows) - len(failed)
    for row in failed:
        click.echo(f"error: {row.file}: {row.reason}", err=True)
    if not done:
        raise click.ClickException(f"None of the {len(rows)} files could be classified.")
    click.echo(
        f"{counted(done, 'image')} classified, {len(failed):,} failed. Table: {table}", err=True
    )
    click.echo(NOTICE, err=True)


def _samples(lesson: Lesson) -> list[Sample]:
    from ml.data import read_folder

    return [sample for folder in lesson.folders for sample in read_folder(folder, lesson.groups)]


def _counted(rows: Iterator[Row], count: int, report: Report) -> Iterator[Row]:
    """Yield the same rows, showing progress."""
    for number, row in enumerate(rows, start=1):
        report("classifying", number / count, f"{number} of {count}")
        yield row
