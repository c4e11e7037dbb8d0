"""The models that can be chosen for a job, for programs."""

from __future__ import annotations

from flask import Blueprint, Response, jsonify

from web.actions.jobs import models_for
from web.security.caller import person
from web.shown.models import summarise_model
from web.wiring import wired

blueprint = Blueprint("model_api", __name__, url_prefix="/api/v1/models")


@blueprint.get("")
def list_models() -> Response:
    """Return the models that this person may choose, the active one first."""
    with wired().database.reading() as session:
        return jsonify(models=[summarise_model(one) for one in models_for(session, person())])
