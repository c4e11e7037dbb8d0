"""Adapting a bundle to a laboratory by the laboratory's own labelled crops."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
from click.core import ParameterSource

from hematovision.commands.terminal import (
    ANYTHING,
    FOLDER,
    bundle_at,
    progress,
    sentences,
    silent_start,
)

if TYPE_CHECKING:
    from ml.adaptation.laboratory import Crops
    from ml.bundle import Bundle
    from ml.data import Sample

WAYS = ["auto", "recalibrate", "head", "network"]
OF_LABELLED = ("groups", "leave_out", "held_out", "most")


@dataclass(frozen=True)
class Wish:
    """What is to be adapted by what, and where the new bundle goes."""

    folder: Path | None
    unlabelled: Path | None
    groups: Path | None
    bundle: Path | None
    out: Path
    name: str | None
    how: Any
    rehearse: tuple[Path, ...]
    leave_out: tuple[str, ...]
    held_out: float
    most: int
    seed: int


@click.command()
@click.option("--data", "folder", type=FOLDER, help="The laboratory's own labelled crops.")
@click.option("--unlabelled", type=FOLDER, help="Crops of the same laboratory without labels.")
@click.option("--groups", type=ANYTHING, help="Which photograph each image is of, as a table.")
@click.option("--bundle", type=FOLDER, help="The bundle; the one that ships where not given.")
@click.option("--out", type=FOLDER, required=True, help="A new folder for the new bundle.")
@click.option("--name", help="The new bundle's name; the old one's with -adapted if not given.")
@click.option("--how", type=click.Choice(WAYS), default="auto", show_default=True)
@click.option(
    "--rehearse", type=FOLDER, multiple=True, help="A folder that the bundle was trained on."
)
@click.option("--leave-out", metavar="CLASS", multiple=True, help="A class to leave out.")
@click.option(
    "--held-out",
    type=click.FloatRange(0.1, 0.9),
    default=0.3,
    show_default=True,
    help="The share of photographs that is held out at least.",
)
@click.option(
    "--most",
    type=click.IntRange(8, 10_000),
    default=100,
    show_default=True,
    help="How many crops are learned from at most.",
)
@click.option("--seed", type=int, default=0, show_default=True)
def adapt(**asked: Any) -> None:
    """Adapt a bundle to a laboratory by its own crops: some labelled ones, others without labels.

    The data folder holds a folder for each class, or manifest.csv beside its images. At most
    --most of its crops are learned from, all classes alike; the others are held out by
    photographs, and the scores on them are printed before and after. recalibrate scales and
    shifts the scores of the classes, head fits the last layer anew, network teaches everything
    on, which takes minutes and the bundle's own reference cells or, where it carries none, the
    folders named by --rehearse; auto takes the best of them by cross-validation. Of the crops in
    --unlabelled, network learns those of which it is sure by itself. Without --data they are all
    that it learns from, and nothing says how good it became: judge it with evaluate, by crops that
    are not among them. OUT gets bundle, adaptation.json and, of labelled crops, held_out.csv; the
    old bundle stays as it is.
    """
    wish = Wish(**asked)
    with sentences():
        from ml.adaptation.laboratory import rehearsal, without_labels
        from ml.data import read_folder

        bundle = bundle_at(wish.bundle)
        crops = _crops(wish, bundle)
        unlabelled = without_labels(wish.unlabelled, bundle, crops) if wish.unlabelled else ()
        known = [sample for folder in wish.rehearse for sample in read_folder(folder)]
        rehearsed = rehearsal(known, bundle, wish.seed) if known else ()
        _adapt(wish, bundle, crops, rehearsed, unlabelled)


def _crops(wish: Wish, bundle: Bundle) -> Crops:
    """The labelled crops; none of them where there are only crops without labels."""
    from ml.adaptation.laboratory import Crops, Terms, share_out
    from ml.data import read_folder

    if wish.folder is not None:
        terms = Terms(wish.leave_out, wish.held_out, wish.most, wish.seed)
        return share_out(read_folder(wish.folder, wish.groups), bundle, terms)
    if wish.unlabelled is None:
        raise click.UsageError("Give crops to learn from: --data, --unlabelled, or both.")
    _refuse_terms()
    return Crops.none(wish.unlabelled.resolve().name)


def _refuse_terms() -> None:
    """What only labelled crops can be asked for is refused where there are none."""
    asked = click.get_current_context().get_parameter_source
    stray = [name for name in OF_LABELLED if asked(name) is ParameterSource.COMMANDLINE]
    if stray:
        option = f"--{stray[0].replace('_', '-')}"
        raise click.UsageError(f"{option} is about labelled crops; name them with --data.")


def _adapt(
    wish: Wish,
    bundle: Bundle,
    crops: Crops,
    rehearsed: tuple[Sample, ...],
    unlabelled: tuple[Sample, ...],
) -> None:
    with silent_start():
        from ml.adaptation.adapt import Order, adapted
        from ml.adaptation.bundle import require_place, write
        from ml.adaptation.report import as_text

    require_place(wish.out)
    name = wish.name or _name(bundle)
    with progress() as report:
        order = Order(bundle, crops, wish.how, name, wish.seed, report, rehearsed, unlabelled)
        account = write(adapted(order), wish.out)
    click.echo(as_text(account, crops))
    click.echo(f"{account.bundle.title}, adapted from {bundle.title}, is in {account.bundle.path}.")


def _name(bundle: Bundle) -> str:
    name = bundle.metadata.name
    return name if name.endswith("-adapted") else f"{name}-adapted"
