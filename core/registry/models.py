"""Which models exist, and which one judges. Only this module changes their states.

A model is identified by the digest of its bundle, which is put into the blob store under
`bundle_key` before the model is added here. This room knows only plain facts about a bundle; `ml`
knows what it is.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import func, select, text
from sqlalchemy.orm import Session

from core.db import utcnow
from core.errors import Conflict, NotFound
from core.registry.quality import Agreement, compare
from core.states import ModelState
from core.tables import Job, Model

ACTIVE = "active"
_DIGEST = re.compile(r"[0-9a-f]{64}")
_ORDER = (ModelState.ACTIVE, ModelState.SHADOW, ModelState.CANDIDATE, ModelState.RETIRED)


@dataclass(frozen=True, slots=True)
class BundleFacts:
    """What a bundle states about itself, as plain values.

    ``scores`` are keyed by the name of the images they were measured on. ``shown`` is what else
    people see: shape, recipe, sources, few_shot (classes with few training images), trust (the
    numbers it judges its own predictions by), intended_use. ``signed_by`` is the public key of its
    signer, 64 hexadecimal digits, or "" if it is not signed.
    """

    digest: str
    name: str
    version: str
    classes: tuple[str, ...]
    scores: dict[str, Any]
    shown: dict[str, Any]
    signed_by: str = ""


@dataclass(frozen=True, slots=True)
class Listed:
    """A model, how many jobs it was chosen for, and how well it agrees with the active one."""

    model: Model
    jobs: int
    agreement: Agreement | None


def bundle_key(digest: str) -> str:
    """Return the key of a model's bundle in the blob store. Raises ValueError for a bad digest."""
    if not _DIGEST.fullmatch(digest):
        raise ValueError("A model's digest is 64 hexadecimal digits.")
    return f"models/{digest}.zip"


def active(session: Session) -> Model | None:
    """Return the active model, or None if no worker has ever started."""
    return session.scalars(select(Model).where(Model.state == ModelState.ACTIVE)).first()


def find(session: Session, digest: str) -> Model:
    """Return the model whose digest begins with this text.

    Raises:
        NotFound: no model has such a digest.
        Conflict: several models have.
    """
    wanted = digest.strip().lower()
    query = select(Model).where(Model.digest.startswith(wanted, autoescape=True))
    models = session.scalars(query.limit(2)).all() if wanted else []
    if not models:
        raise NotFound(
            "There is no model with this digest. `hematovision model list` shows all models."
        )
    if len(models) > 1:
        raise Conflict(
            "Several models have a digest that begins like this. Give more of its digits."
        )
    return models[0]


def shadows_of(session: Session, digest: str | None) -> Sequence[str]:
    """Return the digests of all shadow models if this is the active model, else none."""
    current = active(session)
    if current is None or current.digest != digest:
        return ()
    query = select(Model.digest).where(Model.state == ModelState.SHADOW)
    return session.scalars(query.order_by(Model.added_at)).all()


def choosable(session: Session) -> Sequence[Model]:
    """Return the models that may be chosen for a job: the active one, then the newest first."""
    query = select(Model).where(Model.state != ModelState.RETIRED, Model.added_at.is_not(None))
    models = session.scalars(query.order_by(Model.added_at.desc(), Model.digest)).all()
    return sorted(models, key=lambda model: model.state is not ModelState.ACTIVE)


def choose(session: Session, wanted: str) -> str | None:
    """Return the digest of the model for a job: the active one, or the one ``wanted``.

    ``wanted`` is the start of a digest. Empty or "active" means the active model; the answer is
    None if there is no active model yet.

    Raises:
        NotFound, Conflict: as `find`; or the model is retired, or its bundle is not stored here.
    """
    if wanted.strip().lower() in ("", ACTIVE):
        model = active(session)
        return model.digest if model and model.added_at else None
    model = find(session, wanted)
    if model.state is ModelState.RETIRED:
        raise Conflict(f"{title(model)} is retired. Choose another model, or the active one.")
    _require_complete(model)
    return model.digest


def listing(session: Session) -> list[Listed]:
    """Return all models: the active one, shadows, candidates, retired ones, each newest first."""
    used = select(Job.model_digest, func.count()).group_by(Job.model_digest)
    jobs = {digest: count for digest, count in session.execute(used)}
    current = active(session)
    models = session.scalars(select(Model).order_by(Model.first_used_at.desc(), Model.digest))
    return [
        Listed(model, jobs.get(model.digest, 0), _agreement(session, model, current))
        for model in sorted(models, key=lambda model: _ORDER.index(model.state))
    ]


def _agreement(session: Session, model: Model, current: Model | None) -> Agreement | None:
    """Return the agreement of a shadow, or a candidate that was never active; else None."""
    new = model.state is ModelState.CANDIDATE and model.activated_at is None
    if current is None or not (new or model.state is ModelState.SHADOW):
        return None
    return compare(session, current.digest, model.digest)


def title(model: Model) -> str:
    """Return name, version and the start of the digest, as tables and messages show them."""
    return f"{model.name} {model.version} ({model.digest[:12]})"


def add(session: Session, facts: BundleFacts) -> Model:
    """Record a model whose bundle is in the store as a candidate; a known one keeps its state."""
    bundle_key(facts.digest)
    _lock(session)
    model = session.get(Model, facts.digest, populate_existing=True)
    if model is None:
        model = Model(digest=facts.digest, name=facts.name[:120], version=facts.version[:40])
        model.classes = list(facts.classes)
        session.add(model)
    if model.added_at is None:
        model.scores, model.facts, model.added_at = facts.scores, facts.shown, utcnow()
    model.signed_by = facts.signed_by or model.signed_by
    session.flush()
    return model


def start_with(session: Session, facts: BundleFacts) -> Model:
    """Add a model, and make it active unless there already is an active model that works."""
    model = add(session, facts)
    current = active(session)
    if current is None or current.added_at is None:
        _make_active(session, model)
        model.activated_at = utcnow()
    return model


def activate(session: Session, digest: str, *, other_classes: bool = False) -> Model:
    """Let a model judge all jobs submitted from now on; the former becomes a candidate again.

    Raises:
        NotFound: there is no such model.
        Conflict: it is retired, its bundle is not stored here, or its classes differ from those of
            the active model and ``other_classes`` is not set.
    """
    _lock(session)
    model, current = find(session, digest), active(session)
    if model is current:
        return model
    if model.state is ModelState.RETIRED:
        raise Conflict(f"{title(model)} is retired. Make it a candidate first.")
    _require_complete(model)
    if current is not None and not other_classes:
        _require_same_classes(current, model)
    _make_active(session, model)
    model.activated_at = utcnow()
    return model


def roll_back(session: Session) -> Model:
    """Go back to the model that was active before; a second time goes back one further.

    Raises:
        Conflict: there is no earlier model to go back to.
    """
    _lock(session)
    current = active(session)
    before = session.scalars(
        select(Model)
        .where(Model.state.in_((ModelState.CANDIDATE, ModelState.SHADOW)))
        .where(Model.activated_at.is_not(None), Model.added_at.is_not(None))
        .order_by(Model.activated_at.desc())
    ).first()
    if before is None:
        raise Conflict("No other model was active before. Activate a model by its digest.")
    if current is not None:
        current.activated_at = None
    _make_active(session, before)
    return before


def shadow(session: Session, digest: str) -> Model:
    """Let a candidate judge beside the active model; its results are compared, never shown.

    Raises `NotFound`, or `Conflict` if it is no candidate or its bundle is not stored here.
    """
    model = _movable(session, digest)
    if model.state is ModelState.RETIRED:
        raise Conflict(f"{title(model)} is retired. Make it a candidate first.")
    _require_complete(model)
    return _move(session, model, ModelState.SHADOW)


def retire(session: Session, digest: str) -> Model:
    """Give a model no new jobs. Raises `NotFound`, or `Conflict` if it is the active one."""
    return _move(session, _movable(session, digest), ModelState.RETIRED)


def make_candidate(session: Session, digest: str) -> Model:
    """Bring a retired model back, or end a shadow. Raises `NotFound` or `Conflict`."""
    return _move(session, _movable(session, digest), ModelState.CANDIDATE)


def differing_classes(current: Model, other: Model) -> str:
    """Return which classes a model adds or lacks, as part of a sentence; empty if none."""
    more = [name for name in other.classes if name not in current.classes]
    fewer = [name for name in current.classes if name not in other.classes]
    parts = [("it adds", more), ("it lacks", fewer)]
    return ", ".join(f"{verb} {' and '.join(names)}" for verb, names in parts if names)


def _movable(session: Session, digest: str) -> Model:
    _lock(session)
    model = find(session, digest)
    if model.state is ModelState.ACTIVE:
        raise Conflict(f"{title(model)} is the active model. Activate another one first.")
    return model


def _move(session: Session, model: Model, state: ModelState) -> Model:
    model.state = state
    session.flush()
    return model


def _require_complete(model: Model) -> None:
    if model.added_at is None:
        raise Conflict(
            f"The bundle of {title(model)} is not stored here, only its results. "
            "Add the bundle with `hematovision model add FOLDER`."
        )


def _require_same_classes(current: Model, model: Model) -> None:
    if difference := differing_classes(current, model):
        raise Conflict(
            f"{title(model)} has other classes than the active model: {difference}. Their results "
            "can't be added up. To go on, use --other-classes, or tick the box on the page."
        )


def _make_active(session: Session, model: Model) -> None:
    """Deactivate the former model first: the table allows only one active model."""
    current = active(session)
    if current is not None:
        _move(session, current, ModelState.CANDIDATE)
    _move(session, model, ModelState.ACTIVE)


def _lock(session: Session) -> None:
    """Allow one change of the models at a time; reads, and rows that refer to a model, go on.

    On SQLite the writing transaction is enough.
    """
    if session.get_bind().dialect.name == "postgresql":
        session.execute(text("LOCK TABLE model IN SHARE ROW EXCLUSIVE MODE"))
    session.flush()
    session.expire_all()
