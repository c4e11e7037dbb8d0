"""Commands for the models that judge jobs, on the machine that holds database and store."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

import click
from rich.console import Console
from rich.table import Table

from core import registry
from core.audit import Action
from core.settings import Settings
from core.states import ModelState
from lexicon.cells import cell_type

if TYPE_CHECKING:
    from sqlalchemy.orm import Session

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

    with _session(writing=False) as session:
        models = registry.listing(session)
        if as_json:
            click.echo(json.dumps([_as_json(listed) for listed in models], indent=2))
        elif models:
            _print_table(models)
        else:
            click.echo("There are no models yet. Start a worker, or run: hematovision model add")


def _print_table(models: list[registry.Listed]) -> None:
    table = Table("Model", "Accuracy", "Agreement", "Jobs", "Classes", box=None)
    for listed in models:
        scores = "\n".join(
            f"{score.images}: {score}" for score in registry.read_scores(listed.model.scores)
        )
        vouched = (
            f"signed by {listed.model.signed_by[:12]}" if listed.model.signed_by else "not signed"
        )
        named = (
            f"{listed.model.name} {listed.model.version}",
            listed.model.digest[:12],
            listed.model.state,
            vouched,
        )
        table.add_row(
            "\n".join(named),
            scores or "-",
            _agreement(listed),
            f"{listed.jobs:,}",
            _classes(listed.model),
        )
    Console().print(table)


def _agreement(listed: registry.Listed) -> str:
    agreement = listed.agreement
    if agreement is None or agreement.share is None:
        return "-"
    classes = (f"{cell_type(c.name).code} {c.equal:,}/{c.images:,}" for c in agreement.classes)
    return f"{100 * agreement.share:.1f} % of {agreement.images:,}\n" + " ".join(classes)


def _classes(model: Model) -> str:
    few = set(model.facts.get("few_shot", ()))
    codes = (f"{cell_type(name).code}{'*' if name in few else ''}" for name in model.classes)
    return " ".join(codes) + ("\n* few training images" if few & set(model.classes) else "")


def _as_json(listed: registry.Listed) -> dict[str, Any]:
    model = listed.model
    return {
        "digest": model.digest,
        "name": model.name,
        "version": model.version,
        "state": model.state.value,
        "classes": model.classes,
        "scores": model.scores,
        "facts": model.facts,
        "signed_by": model.signed_by,
        "jobs": listed.jobs,
        "agreement": asdict(listed.agreement) if listed.agreement else None,
        "added_at": model.added_at.isoformat() if model.added_at else None,
        "activated_at": model.activated_at.isoformat() if model.activated_at else None,
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


def _signed_by(model: Model) -> str:
    if not model.signed_by:
        return "It is not signed, so nobody vouches for it."
    return f"It is signed by {model.signed_by[:12]}."


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
    activating = partial(registry.activate, digest=digest, other_classes=other_classes)
    _change(activating, Action.MODEL_ACTIVATED, f"is the active model. {_LATER}")


@model.command()
def rollback() -> None:
    """Go back to the previously active model."""
    words = f"is the active model again. {_LATER}"
    _change(registry.roll_back, Action.MODEL_ROLLED_BACK, words)


@model.command()
@click.argument("digest")
def shadow(digest: str) -> None:
    """Let DIGEST judge beside the active model. The list compares them; its results stay hidden."""
    words = "is now a shadow. `model list` shows its agreement."
    _change(partial(registry.shadow, digest=digest), Action.MODEL_STATE_CHANGED, words)


@model.command()
@click.argument("digest")
def candidate(digest: str) -> None:
    """Make the shadow or retired model DIGEST a candidate again."""
    words = "is now a candidate."
    _change(partial(registry.make_candidate, digest=digest), Action.MODEL_STATE_CHANGED, words)


@model.command()
@click.argument("digest")
def retire(digest: str) -> None:
    """Give DIGEST no new jobs. Its results stay, and its running jobs finish with it."""
    retiring = partial(registry.retire, digest=digest)
    _change(retiring, Action.MODEL_RETIRED, "is now retired.")


def _change(change: Callable[[Session], Model], action: Action, words: str) -> None:
    """Change a model's state, note that in the audit trail, and say so."""
    with _session() as session:
        changed = change(session)
        _note(session, action, changed.digest)
        click.echo(f"{registry.title(changed)} {words}")


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
