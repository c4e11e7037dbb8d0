"""Evaluating a bundle on labelled images."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from hematovision.commands.terminal import ANYTHING, FOLDER, bundle_at, progress, sentences
from lexicon.cells import CELL_TYPES

if TYPE_CHECKING:
    from ml.data import Report, Sample
    from ml.evaluation.choosing import Choice
    from ml.evaluation.comparison import Comparison
    from ml.evaluation.evaluate import Evaluation
    from ml.evaluation.judging import Judged
    from ml.evaluation.outcomes import TurnedAway
    from ml.serving import Classifier


@dataclass(frozen=True)
class Question:
    """What to evaluate, on which images."""

    folders: tuple[Path, ...]
    bundle: Path | None
    against: Path | None
    split: str
    subset: str | None
    groups: Path | None
    apart: tuple[str, ...]
    unfamiliar: tuple[Path, ...]


@click.command()
@click.option(
    "--data", "folders", type=FOLDER, multiple=True, required=True, help="Labelled images."
)
@click.option("--bundle", type=FOLDER, help="The bundle to judge; by default the one that ships.")
@click.option("--against", type=FOLDER, help="Another bundle to compare on the same images.")
@click.option(
    "--split",
    type=click.Choice(["shipped", "random", "whole"]),
    default="shipped",
    help="Which images to judge.",
)
@click.option(
    "--subset", metavar="NAME", help="A part made by the set's authors, such as test_simple."
)
@click.option("--groups", type=ANYTHING, help="A table of the photograph of each image.")
@click.option("--apart", metavar="CLASS", multiple=True, help="A class to report separately.")
@click.option("--unfamiliar", type=FOLDER, multiple=True, help="Images that should be turned away.")
@click.option("--out", type=FOLDER, required=True, help="Folder for text, JSON, page and table.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON instead of text.")
def evaluate(out: Path, as_json: bool, **asked: Any) -> None:
    """Score a bundle on labelled images.

    The shipped split is the test part held out by the set's authors. A random split leaks, and the
    report says so. whole takes every image of a set that the bundle was not trained on. --data,
    --apart and --unfamiliar may be given several times. OUT receives evaluation.txt,
    evaluation.json, evaluation.html and predictions.csv.
    """
    with sentences(), progress() as report:
        from ml.evaluation.evaluate import LEAK_WARNING
        from ml.evaluation.report import files
        from ml.evaluation.report.files import write_predictions

        evaluation, judged = _answer(Question(**asked), report)
        colours = {cell.name: cell.colour for cell in CELL_TYPES}
        files.write_report(evaluation, out, colours)
        write_predictions(judged, out)
    if evaluation.leaking:
        click.secho(LEAK_WARNING, fg="red", bold=True, err=True)
    click.echo(files.as_json(evaluation) if as_json else files.as_text(evaluation), nl=False)


def _answer(question: Question, report: Report) -> tuple[Evaluation, Judged]:
    """Return all that was asked for. Whatever can be refused is refused before classifying."""
    from ml.evaluation import choosing
    from ml.evaluation.evaluate import evaluate as evaluated
    from ml.evaluation.judging import judge
    from ml.serving import load_classifier

    classifier = load_classifier(bundle_at(question.bundle))
    other = load_classifier(bundle_at(question.against)) if question.against else None
    samples = _samples(question)
    choice = choosing.choose(samples, classifier.bundle, question.subset or question.split)
    apart = choosing.require_known(question.apart, classifier.bundle)
    strangers = _strangers(question.unfamiliar)
    if other:
        _require_comparable(classifier, other, choice)
    judged = judge(classifier, choice.samples, report)
    evaluation = evaluated(classifier.bundle, choice, judged, apart)
    return replace(
        evaluation,
        comparison=_compared(judged, other, report) if other else None,
        unfamiliar=_turned_away(classifier, strangers, judged, report),
    ), judged


def _samples(question: Question) -> list[Sample]:
    from ml.data import read_folder

    return [
        sample for folder in question.folders for sample in read_folder(folder, question.groups)
    ]


def _require_comparable(this: Classifier, other: Classifier, choice: Choice) -> None:
    """Refuse, before the long work, images on which the bundles can't be compared."""
    from ml.evaluation.choosing import require_unseen
    from ml.evaluation.comparison import shared_classes

    shared_classes(this.bundle.metadata.classes, other.bundle.metadata.classes)
    if choice.split == "whole":
        require_unseen(other.bundle, choice.samples)


def _compared(judged: Judged, other: Classifier, report: Report) -> Comparison:
    """Judge the other bundle on those of the same images whose class it knows."""
    from ml.evaluation.comparison import compare
    from ml.evaluation.judging import judge

    classes = other.bundle.metadata.classes
    common = judged.where([sample.label in classes for sample in judged.samples])
    answers = judge(other, common.samples, report)
    return compare(common, answers, other.bundle)


def _strangers(folders: tuple[Path, ...]) -> dict[str, list[Path]]:
    """Return the images of each folder by name; its subfolders count separately."""
    from ml.data import DataError
    from ml.serving import find_images

    strangers: dict[str, list[Path]] = {}
    for folder in folders:
        for image in find_images([folder]):
            inside = image.name.split("/")[:-1]
            strangers.setdefault("/".join([folder.name, *inside[:1]]), []).append(image.path)
        if not any(name.split("/")[0] == folder.name for name in strangers):
            raise DataError(f"There are no images in {folder}. Give a folder of images.")
    return strangers


def _turned_away(
    classifier: Classifier, strangers: dict[str, list[Path]], judged: Judged, report: Report
) -> tuple[TurnedAway, ...]:
    from ml.evaluation.judging import classify_unlabelled
    from ml.evaluation.outcomes import turned_away

    rows = {
        name: classify_unlabelled(classifier, paths, report) for name, paths in strangers.items()
    }
    return tuple(turned_away(name, answers, judged) for name, answers in rows.items())
