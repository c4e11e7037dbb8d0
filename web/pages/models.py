"""For administrators: the models, which one is active, and how shadows agree with it."""

from __future__ import annotations

import logging
from collections.abc import Callable

from flask import Blueprint, flash, redirect, render_template, request, url_for
from sqlalchemy import select
from sqlalchemy.orm import Session
from werkzeug.wrappers import Response

from core import audit, registry
from core.audit import Action
from core.errors import NotAllowed
from core.jobs import alive
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
        current, held = registry.active(session), _held(session)
        found = [
            summarise_listed(listed, current, workers=held.count(listed.model.digest))
            for listed in registry.listing(session)
        ]
    return render_template("models.html", models=found, can_roll_back=any(map(_was_active, found)))


def _was_active(listed: ListedModel) -> bool:
    """Say whether a roll back might go to this model."""
    moved = listed.model.state in ("candidate", "shadow")
    return moved and listed.complete and listed.activated_at is not None


def _held(session: Session) -> list[str]:
    """Return the digests of models loaded by live workers, once for each worker."""
    live = select(Worker.models).where(alive())
    return [digest for models in session.scalars(live) for digest in models]


@blueprint.post("/<digest>/<any(activate, shadow, candidate, retire):action>")
def act_on_model(digest: str, action: str) -> Response:
    """Change the state of one model."""
    return _done(action, lambda session: _ACTIONS[action](session, digest))


def _activate(session: Session, digest: str) -> Model:
    meant = request.form.get("other_classes") == "yes"
    return registry.activate(session, digest, other_classes=meant)


_ACTIONS: dict[str, Callable[[Session, str], Model]] = {
    "activate": _activate,
    "shadow": registry.shadow,
    "candidate": registry.make_candidate,
    "retire": registry.retire,
}
_DEEDS = {
    "activate": Action.MODEL_ACTIVATED,
    "roll back": Action.MODEL_ROLLED_BACK,
    "shadow": Action.MODEL_STATE_CHANGED,
    "candidate": Action.MODEL_STATE_CHANGED,
    "retire": Action.MODEL_RETIRED,
}
_SAID = {
    "activate": f"is the active model. {_LATER}",
    "roll back": f"is the active model again. {_LATER}",
    "shadow": "now runs as a shadow. Its agreement is shown here, its results nowhere.",
    "candidate": "is a candidate.",
    "retire": "is retired. Its results are kept.",
}


@blueprint.post("/roll-back")
def roll_back() -> Response:
    """Go back to the model that was active before."""
    return _done("roll back", registry.roll_back)


def _done(action: str, move: Callable[[Session], Model]) -> Response:
    with wired().database.writing() as session:
        model = move(session)
        detail = {"state": model.state.value}
        audit.note(session, _DEEDS[action], actor(), f"model {model.digest}", detail)
    _log.info("Models: %s %s, by person %d.", action, model.digest[:12], person().id)
    flash(f"{registry.title(model)} {_SAID[action]}", "success")
    return redirect(url_for("models.show_models"))
