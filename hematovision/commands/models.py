"""Commands for the models that judge jobs, on the machine that holds database and store."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

import click
from rich.console import Console
from rich.table import Table

from core.audit import Action
from core.registry import read_scores
from core.settings import Settings
from core.states import ModelState
from lexicon.cells import cell_type

if TYPE_CHECKING:
    from sqlalchemy.orm import Session

    from core.audit import Action
    from core.registry import Listed
    from core.tables import Model
    from ml.bundle import Bundle

_FOLDER = click.Path(exists=True, file_okay=False, path_type=Path)
_LEAKING = (
    "This model was trained with a random split, which leaks: its scores say nothing about new "
    "photographs. Train it with the grouped protocol before you use it."
)
_FILE = click.Path(dir_okay=False, path_type=Path)
_LATER = "It judges all jobs submitted from now on; earlier jobs keep their model."


@click.group()
def model() -> None:
    """List, add, activate and roll back the models that judge jobs.

    DIGEST is the start of a model's digest, as the list shows it.
    """


@contextmanager
def _session(*, writing: bool = True) -> Iterator[Session]:
    """Yield a session of the database in the settings."""
    from sqlalchemy.exc import DatabaseError

    from core.db import Database

    database = Database(Settings.from_env().database)
    try:
        with database.writing() if writing else database.reading() as session:
            yield session
    except DatabaseError as error:
        raise click.ClickException(
            "The database can't be used. Set HEMATOVISION_DATA or HEMATOVISION_DATABASE_URL to "
            "where it is, and update its tables with `hematovision db upgrade`."
        ) from error
    finally:
        database.dispose()


@model.command("list")
@click.option("--json", "as_json", is_flag=True, help="Print JSON for programs.")
def list_(as_json: bool) -> None:
    """List all models with their state, scores and classes."""
    from core import registry

    with _session(writing=False) as session:
        found = registry.listing(session)
        if as_json:
            click.echo(json.dumps([_as_json(one) for one in found], indent=2))
        elif found:
            _print_table(found)
        else:
            click.echo("There are no models yet. Start a worker, or run: hematovision model add")


def _print_table(found: list[Listed]) -> None:
    table = Table("Model", "Accuracy", "Agreement", "Jobs", "Classes", box=None)
    for one in found:
        scores = "\n".join(f"{score.images}: {score}" for score in read_scores(one.model.scores))
        vouched = f"signed by {one.model.signed_by[:12]}" if one.model.signed_by else "not signed"
        named = (
            f"{one.model.name} {one.model.version}",
            one.model.digest[:12],
            one.model.state,
            vouched,
        )
        table.add_row(
            "\n".join(named),
            scores or "-",
            _agreement(one),
            f"{one.jobs:,}",
            _classes(one.model),
        )
    Console().print(table)


def _agreement(one: Listed) -> str:
    agreement = one.agreement
    if agreement is None or agreement.share is None:
        return "-"
    classes = (f"{cell_type(c.name).code} {c.equal:,}/{c.images:,}" for c in agreement.classes)
    return f"{100 * agreement.share:.1f} % of {agreement.images:,}\n" + " ".join(classes)


def _classes(one: Model) -> str:
    few = set(one.facts.get("few_shot", ()))
    codes = (f"{cell_type(name).code}{'*' if name in few else ''}" for name in one.classes)
    return " ".join(codes) + ("\n* few training images" if few & set(one.classes) else "")


def _as_json(one: Listed) -> dict[str, Any]:
    from dataclasses import asdict

    found = one.model
    return {
        "digest": found.digest,
        "name": found.name,
        "version": found.version,
        "state": found.state.value,
        "classes": found.classes,
        "scores": found.scores,
        "facts": found.facts,
        "signed_by": found.signed_by,
        "jobs": one.jobs,
        "agreement": asdict(one.agreement) if one.agreement else None,
        "added_at": found.added_at.isoformat() if found.added_at else None,
        "activated_at": found.activated_at.isoformat() if found.activated_at else None,
    }


@model.command()
@click.argument("folder", type=_FOLDER)
def add(folder: Path) -> None:
    """Add the bundle in FOLDER as a candidate.

    It is checked, tried and copied into the store, from where workers fetch it. A damaged copy
    there is replaced. A bundle is refused if its networks don't run, if it was trained with a
    split that leaks, or if trusted keys are set (HEMATOVISION_TRUSTED_MODEL_KEYS) and none of
    them signed it.
    """
    from core import registry
    from core.audit import Action
    from ml.errors import MlError
    from worker.models import facts_of

    try:
        bundle = _vetted(folder)
        _store(bundle)
        facts = facts_of(bundle)
    except (MlError, OSError) as error:
        # If the trail can't be written either, the person still needs the first error.
        with suppress(click.ClickException), _session() as session:
            _note(session, Action.MODEL_REFUSED, "")
        raise click.ClickException(str(error)) from error
    with _session() as session:
        added = registry.add(session, facts)
        _note(session, Action.MODEL_ADDED, added.digest)
        click.echo(f"{registry.title(added)} is in the store. Its state is {added.state.value}.")
        click.echo(_signed_by(added))
        if added.state is ModelState.CANDIDATE:
            click.echo(f"To use it, run: hematovision model activate {added.digest[:12]}")


def _vetted(folder: Path) -> Bundle:
    """Return the bundle if it works and is trusted here. Raises `MlError`."""
    from ml.bundle import Bundle
    from ml.bundle.signing import require_trusted, trusted_keys
    from ml.serving.trial import BundleUnfit, try_apart

    bundle = Bundle.load(folder)
    if bundle.metadata.data.get("leaking"):
        raise BundleUnfit(_LEAKING)
    require_trusted(bundle, trusted_keys(Settings.from_env().trusted_model_keys))
    try_apart(folder)
    return bundle


def _store(bundle: Bundle) -> None:
    """Put a bundle into the store, replacing a copy that is damaged or signed differently."""
    from core import registry
    from core.installation import open_installation
    from ml.bundle.signing import signer
    from worker.packing import intact, keep

    blobs = open_installation(Settings.from_env()).blobs
    if signer(bundle) or not intact(blobs, bundle.digest):
        blobs.delete(registry.bundle_key(bundle.digest))
        keep(blobs, bundle)


def _note(session: Session, action: Action, digest: str) -> None:
    from core import audit
    from hematovision.operator import operator

    audit.note(session, action, operator(), f"model {digest}".strip())


def _signed_by(one: Model) -> str:
    if not one.signed_by:
        return "It is not signed, so nobody vouches for it."
    return f"It is signed by {one.signed_by[:12]}."


@model.command("try")
@click.argument("folder", type=_FOLDER)
def try_(folder: Path) -> None:
    """Try the bundle in FOLDER as `add` does. Nothing is added."""
    from ml.errors import MlError

    try:
        bundle = _vetted(folder)
    except (MlError, OSError) as error:
        raise click.ClickException(str(error)) from error
    click.echo(f"{bundle.title} works.")


@model.command()
@click.argument("file", type=_FILE)
def key(file: Path) -> None:
    """Make a key for signing bundles.

    The private key is written to FILE, and the public key is printed. Add the public key to
    HEMATOVISION_TRUSTED_MODEL_KEYS wherever bundles signed with it should be accepted. Anyone who
    has FILE can sign: keep it off the machines of the installation.
    """
    from ml.bundle.signing import make_key
    from ml.errors import MlError

    try:
        click.echo(make_key(file))
    except (MlError, OSError) as error:
        raise click.ClickException(str(error)) from error


@model.command()
@click.argument("folder", type=_FOLDER)
@click.option("--key", "file", type=_FILE, required=True, help="The private key.")
def sign(folder: Path, file: Path) -> None:
    """Sign the bundle in FOLDER. This says that you vouch for it."""
    from ml.bundle import Bundle, signing
    from ml.errors import MlError

    try:
        bundle = Bundle.load(folder)
        public = signing.sign(bundle, file)
    except (MlError, OSError) as error:
        raise click.ClickException(str(error)) from error
    click.echo(f"{bundle.title} is signed by {public}.")


@model.command()
@click.argument("digest")
@click.option("--other-classes", is_flag=True, help="Accept classes unlike the active model's.")
def activate(digest: str, other_classes: bool) -> None:
    """Let the model DIGEST judge all jobs submitted from now on."""
    from core import registry
    from core.audit import Action

    with _session() as session:
        found = registry.activate(session, digest, other_classes=other_classes)
        _note(session, Action.MODEL_ACTIVATED, found.digest)
        click.echo(f"{registry.title(found)} is the active model. {_LATER}")


@model.command()
def rollback() -> None:
    """Go back to the previously active model."""
    from core import registry
    from core.audit import Action

    with _session() as session:
        found = registry.roll_back(session)
        _note(session, Action.MODEL_ROLLED_BACK, found.digest)
        click.echo(f"{registry.title(found)} is the active model again. {_LATER}")


@model.command()
@click.argument("digest")
def shadow(digest: str) -> None:
    """Let DIGEST judge beside the active model. The list compares them; its results stay hidden."""
    from core import registry
    from core.audit import Action

    with _session() as session:
        found = registry.shadow(session, digest)
        _note(session, Action.MODEL_STATE_CHANGED, found.digest)
        click.echo(f"{registry.title(found)} is now a shadow. `model list` shows its agreement.")


@model.command()
@click.argument("digest")
def candidate(digest: str) -> None:
    """Make the shadow or retired model DIGEST a candidate again."""
    from core import registry
    from core.audit import Action

    with _session() as session:
        found = registry.make_candidate(session, digest)
        _note(session, Action.MODEL_STATE_CHANGED, found.digest)
        click.echo(f"{registry.title(found)} is now a candidate.")


@model.command()
@click.argument("digest")
def retire(digest: str) -> None:
    """Give DIGEST no new jobs. Its results stay, and its running jobs finish with it."""
    from core import registry
    from core.audit import Action

    with _session() as session:
        found = registry.retire(session, digest)
        _note(session, Action.MODEL_RETIRED, found.digest)
        click.echo(f"{registry.title(found)} is now retired.")


@model.command()
@click.argument("wanted", metavar="DIGEST|FOLDER")
@click.option("--evaluation", "evaluations", type=_FILE, multiple=True, help="evaluation.json.")
@click.option("--out", type=_FILE, help="The file to write; printed by default.")
def card(wanted: str, evaluations: tuple[Path, ...], out: Path | None) -> None:
    """Write a model card as Markdown.

    It describes the model DIGEST, or the bundle in FOLDER. The card holds what was recorded when
    the bundle was made. --evaluation may be given several times, each time with an evaluation.json
    that `hematovision evaluate` wrote for this bundle.
    """
    from ml.errors import MlError

    try:
        with _bundle_of(wanted) as bundle:
            text = _card(bundle, evaluations)
        if out is None:
            click.echo(text, nl=False)
        else:
            out.write_text(text, encoding="utf-8")
            click.echo(f"The card of {bundle.title} is in {out}.")
    except (MlError, OSError) as error:
        raise click.ClickException(str(error)) from error


@contextmanager
def _bundle_of(wanted: str) -> Iterator[Bundle]:
    """Yield the bundle in a folder or, given the start of its digest, from the store."""
    from core import registry
    from core.installation import open_installation
    from ml.bundle import Bundle
    from worker.packing import fetch

    if Path(wanted).is_dir():
        yield Bundle.load(Path(wanted))
        return
    with _session(writing=False) as session:
        digest = registry.find(session, wanted).digest
    with TemporaryDirectory() as aside:
        blobs = open_installation(Settings.from_env()).blobs
        yield fetch(blobs, digest, Path(aside) / "bundle")


def _card(bundle: Bundle, evaluations: tuple[Path, ...]) -> str:
    """Return the card as text. No other code makes it."""
    from ml.evaluation.card import card as made
    from ml.evaluation.card import read_evaluation

    return made(bundle, [read_evaluation(path, bundle) for path in evaluations])
