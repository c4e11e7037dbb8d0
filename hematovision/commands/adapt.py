"""Adapting a bundle to a laboratory with the laboratory's own crops."""

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
    """What to adapt, with which crops, and where the new bundle goes."""

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
@click.option("--groups", type=ANYTHING, help="A table of the photograph of each image.")
@click.option("--bundle", type=FOLDER, help="The bundle to adapt; by default the one that ships.")
@click.option("--out", type=FOLDER, required=True, help="The folder to create for the new bundle.")
@click.option("--name", help="The new bundle's name; by default the old name with -adapted.")
@click.option(
    "--how", type=click.Choice(WAYS), default="auto", show_default=True, help="How to adapt."
)
@click.option(
    "--rehearse", type=FOLDER, multiple=True, help="A folder that the bundle was trained on."
)
@click.option("--leave-out", metavar="CLASS", multiple=True, help="A class to leave out.")
@click.option(
    "--held-out",
    type=click.FloatRange(0.1, 0.9),
    default=0.3,
    show_default=True,
    help="The smallest share of photographs to hold out.",
)
@click.option(
    "--most",
    type=click.IntRange(8, 10_000),
    default=100,
    show_default=True,
    help="The largest number of crops to learn from.",
)
@click.option("--seed", type=int, default=0, show_default=True, help="Seed of all random draws.")
def adapt(**asked: Any) -> None:
    """Adapt a bundle to a laboratory with its own crops, labelled, unlabelled or both.

    The data folder holds one folder per class, or manifest.csv beside its images. The bundle
    learns from at most --most of these crops, the same number of each class. The rest are held
    out, whole photographs at a time, and scored before and after.

    recalibrate scales and shifts the scores of the classes. head refits the last layer. network
    trains the whole network further, which takes minutes; it rehearses the bundle's own reference
    cells or, if it has none, cells from the --rehearse folders. auto picks the best of these by
    cross-validation.

    From the --unlabelled crops, network learns those that it is sure of. Without --data it
    learns from these alone, and nothing tells how good the result is: judge it with evaluate, on
    other crops. OUT receives bundle, adaptation.json and, if there were labelled crops,
    held_out.csv. The old bundle is not changed.
    """
    wish = Wish(**asked)
    with sentences():
        from ml.adaptation.laboratory import rehearsal, without_labels
        from ml.data import read_folder

        bundle = bundle_at(wish.bundle)
        crops = _crops(wish, bundle)
        unlabelled = without_labels(wish.unlabelled, bundle, crops) if wish.unlabelled else ()
        samples = [sample for folder in wish.rehearse for sample in read_folder(folder)]
        rehearsed = rehearsal(samples, bundle, wish.seed) if samples else ()
        _adapt(wish, bundle, crops, rehearsed, unlabelled)


def _crops(wish: Wish, bundle: Bundle) -> Crops:
    """Return the labelled crops: none if only crops without labels were given."""
    from ml.adaptation.laboratory import Crops, Terms, share_out
    from ml.data import read_folder

    if wish.folder is not None:
        terms = Terms(wish.leave_out, wish.held_out, wish.most, wish.seed)
        return share_out(read_folder(wish.folder, wish.groups), bundle, terms)
    if wish.unlabelled is None:
        raise click.UsageError("Give crops to learn from, with --data, --unlabelled, or both.")
    _refuse_terms()
    return Crops.none(wish.unlabelled.resolve().name)


def _refuse_terms() -> None:
    """Refuse options that need labelled crops if there are none."""
    asked = click.get_current_context().get_parameter_source
    stray = [name for name in OF_LABELLED if asked(name) is ParameterSource.COMMANDLINE]
    if stray:
        option = f"--{stray[0].replace('_', '-')}"
        raise click.UsageError(f"{option} needs labelled crops. Give them with --data.")


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
