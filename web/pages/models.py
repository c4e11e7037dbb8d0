"""For administrators: the models, which one is active, and how shadows agree with it."""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass

from flask import Blueprint, flash, redirect, render_template, request, url_for
from sqlalchemy import select
from sqlalchemy.orm import Session
from werkzeug.wrappers import Response

from core import audit, registry
from core.audit import Action
from core.errors import NotAllowed
from core.jobs.queries import alive
from core.people import accounts
from core.people.accounts import RoleName
from core.tables import Model, Worker
from web.actions.audit import actor
from web.security.caller import person
from web.shown.models import ListedModel, summarise_listed
from web.wiring import wired

blueprint = Blueprint("models", __name__, url_prefix="/models")
_log = logging.getLogger(__name__)
_LATER = "Jobs submitted from now on will use it; other jobs keep their model."


@blueprint.before_request
def _administrators_only() -> None:
    if not accounts.has_role(person(), RoleName.ADMINISTRATOR):
        raise NotAllowed("Only an administrator may manage models.")


@blueprint.get("")
def show_models() -> str:
    """Show all models."""
    with wired().database.reading() as session:
        current, loaded = registry.active(session), _loaded_digests(session)
        models = [
            summarise_listed(listed, current, workers=loaded.count(listed.model.digest))
            for listed in registry.listing(session)
        ]
    can_roll_back = any(map(_was_active, models))
    return render_template("models.html", models=models, can_roll_back=can_roll_back)


def _was_active(listed: ListedModel) -> bool:
    """Say whether a roll back might go to this model."""
    inactive = listed.model.state in ("candidate", "shadow")
    return inactive and listed.complete and listed.activated_at is not None


def _loaded_digests(session: Session) -> list[str]:
    """Return the digests of models loaded by live workers, once for each worker."""
    live = select(Worker.models).where(alive())
    return [digest for models in session.scalars(live) for digest in models]


def _activate(session: Session, digest: str) -> Model:
    confirmed = request.form.get("other_classes") == "yes"
    return registry.activate(session, digest, other_classes=confirmed)


@dataclass(frozen=True, slots=True)
class _Change:
    """What can be done with a model; its entry in the audit trail; what the page says of it."""

    make: Callable[[Session, str], Model]
    entry: Action
    sentence: str


_CHANGES = {
    "activate": _Change(_activate, Action.MODEL_ACTIVATED, f"is the active model. {_LATER}"),
    "roll back": _Change(
        lambda session, _: registry.roll_back(session),
        Action.MODEL_ROLLED_BACK,
        f"is the active model again. {_LATER}",
    ),
    "shadow": _Change(
        registry.shadow,
        Action.MODEL_STATE_CHANGED,
        "now runs as a shadow. Its agreement is shown here, its results nowhere.",
    ),
    "candidate": _Change(registry.make_candidate, Action.MODEL_STATE_CHANGED, "is a candidate."),
    "retire": _Change(registry.retire, Action.MODEL_RETIRED, "is retired. Its results are kept."),
}


@blueprint.post("/<digest>/<any(activate, shadow, candidate, retire):action>")
def act_on_model(digest: str, action: str) -> Response:
    """Change the state of one model."""
    return _change(action, digest)


@blueprint.post("/roll-back")
def roll_back() -> Response:
    """Go back to the model that was active before."""
    return _change("roll back")


def _change(action: str, digest: str = "") -> Response:
    change = _CHANGES[action]
    with wired().database.writing() as session:
        model = change.make(session, digest)
        detail = {"state": model.state.value}
        audit.note(session, change.entry, actor(), f"model {model.digest}", detail)
    _log.info("Models: %s %s, by person %d.", action, model.digest[:12], person().id)
    flash(f"{registry.title(model)} {change.sentence}", "success")
    return redirect(url_for("models.show_models"))
