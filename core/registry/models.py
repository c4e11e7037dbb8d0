"""Which models there are and which of them judges: the only writer of their states.

A model goes by the digest of its bundle, whose bytes are in the blob store, under `bundle_key`,
before it is added here. This room knows plain facts alone; what a bundle is, `ml` knows.
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
from core.registry.agreement import Agreement, compare
from core.states import ModelState
from core.tables import Job, Model

ACTIVE = "active"
_DIGEST = re.compile(r"[0-9a-f]{64}")
_ORDER = (ModelState.ACTIVE, ModelState.SHADOW, ModelState.CANDIDATE, ModelState.RETIRED)


@dataclass(frozen=True, slots=True)
class Facts:
    """What a bundle says of itself, as plain values.

    ``scores`` are by the name of the images they were measured on. ``shown`` is what else people
    see: shape, recipe, sources, few_shot (classes with few training images), trust (the numbers it
    judges its own predictions by), intended_use. ``signed_by`` is the public key of who vouches for
    it, 64 hexadecimal digits, "" for nobody.
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
    """A model, how many jobs were given to it, and how it agrees with the active one."""

    model: Model
    jobs: int
    agreement: Agreement | None


def bundle_key(digest: str) -> str:
    """Return the key of a model's bundle in the blob store. Raises ValueError for no digest."""
    if not _DIGEST.fullmatch(digest):
        raise ValueError("A model's digest is 64 hexadecimal digits.")
    return f"models/{digest}.zip"


def active(session: Session) -> Model | None:
    """Return the active model; None where no worker has ever started."""
    return session.scalars(select(Model).where(Model.state == ModelState.ACTIVE)).first()


def find(session: Session, digest: str) -> Model:
    """Return the model whose digest begins so.

    Raises:
        NotFound: there is none.
        Conflict: there are several.
    """
    wanted = digest.strip().lower()
    query = select(Model).where(Model.digest.startswith(wanted, autoescape=True))
    found = session.scalars(query.limit(2)).all() if wanted else []
    if not found:
        raise NotFound("There is no model of this digest. `hematovision model list` shows them.")
    if len(found) > 1:
        raise Conflict("Several models have a digest that begins so. Give more of its digits.")
    return found[0]


def shadows_of(session: Session, digest: str | None) -> Sequence[str]:
    """Return the digests of the shadows of a model: of the active one, all; of any other, none."""
    current = active(session)
    if current is None or current.digest != digest:
        return ()
    query = select(Model.digest).where(Model.state == ModelState.SHADOW)
    return session.scalars(query.order_by(Model.added_at)).all()


def choosable(session: Session) -> Sequence[Model]:
    """Return the models a job may be given to, the active one first, then the newest."""
    query = select(Model).where(Model.state != ModelState.RETIRED, Model.added_at.is_not(None))
    found = session.scalars(query.order_by(Model.added_at.desc(), Model.digest)).all()
    return sorted(found, key=lambda model: model.state is not ModelState.ACTIVE)


def choose(session: Session, wanted: str) -> str | None:
    """Return the digest of the model a job is given to: the active one, or the one ``wanted``.

    ``wanted`` is the start of a digest; empty or "active" is the active model, which may not be
    known yet: then the answer is None.

    Raises:
        NotFound, Conflict: as `find`; or the model is retired, or its bundle is not kept here.
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
        for model in sorted(models, key=lambda one: _ORDER.index(one.state))
    ]


def _agreement(session: Session, model: Model, current: Model | None) -> Agreement | None:
    """Compare a shadow, or one that was a shadow; of a model with a past it would say little."""
    new = model.state is ModelState.CANDIDATE and model.activated_at is None
    if current is None or not (new or model.state is ModelState.SHADOW):
        return None
    return compare(session, current.digest, model.digest)


def title(model: Model) -> str:
    """Return name, version and the start of the digest, as tables and messages say it."""
    return f"{model.name} {model.version} ({model.digest[:12]})"


def add(session: Session, facts: Facts) -> Model:
    """Note a model whose bundle is in the store, as a candidate; a known one keeps its state."""
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


def start_with(session: Session, facts: Facts) -> Model:
    """Add a model, and make it the active one unless there is one that can work."""
    model = add(session, facts)
    current = active(session)
    if current is None or current.added_at is None:
        _make_active(session, model)
        model.activated_at = utcnow()
    return model


def activate(session: Session, digest: str, *, other_classes: bool = False) -> Model:
    """Let a model judge all jobs that are submitted from now on; the former is a candidate again.

    Raises:
        NotFound: there is no such model.
        Conflict: it is retired, its bundle is not kept here, or its classes are not those of the
            active model and ``other_classes`` does not say that this is meant.
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
        Conflict: there is none to go back to.
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
        raise Conflict("No other model was active before. Activate one by its digest.")
    if current is not None:
        current.activated_at = None
    _make_active(session, before)
    return before


def shadow(session: Session, digest: str) -> Model:
    """Let a candidate judge along with the active model; what it says is compared, never shown.

    Raises `NotFound`, or `Conflict` if it is no candidate or its bundle is not kept here.
    """
    model = _movable(session, digest)
    if model.state is ModelState.RETIRED:
        raise Conflict(f"{title(model)} is retired. Make it a candidate first.")
    _require_complete(model)
    return _move(session, model, ModelState.SHADOW)


def retire(session: Session, digest: str) -> Model:
    """Offer a model to no new job. Raises `NotFound`, or `Conflict` if it is the active one."""
    return _move(session, _movable(session, digest), ModelState.RETIRED)


def make_candidate(session: Session, digest: str) -> Model:
    """Bring a retired model back, or end a shadow. Raises `NotFound` or `Conflict`."""
    return _move(session, _movable(session, digest), ModelState.CANDIDATE)


def differing_classes(current: Model, other: Model) -> str:
    """Say which classes another model adds or lacks, as part of a sentence; empty if none."""
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
            f"Of {title(model)} only the results are kept, not its bundle. "
            "Add the bundle with `hematovision model add FOLDER`."
        )


def _require_same_classes(current: Model, model: Model) -> None:
    if difference := differing_classes(current, model):
        raise Conflict(
            f"{title(model)} has other classes than the active model: {difference}. Their results "
            "can't be added up. If this is meant, say so: --other-classes, or the box on the page."
        )


def _make_active(session: Session, model: Model) -> None:
    """The former first: at no time are there two, which the table would refuse."""
    current = active(session)
    if current is not None:
        _move(session, current, ModelState.CANDIDATE)
    _move(session, model, ModelState.ACTIVE)


def _lock(session: Session) -> None:
    """One change of the models at a time; reading, and rows that refer to one, go on.

    SQLite needs no more than the writing transaction.
    """
    if session.get_bind().dialect.name == "postgresql":
        session.execute(text("LOCK TABLE model IN SHARE ROW EXCLUSIVE MODE"))
    session.flush()
    session.expire_all()
