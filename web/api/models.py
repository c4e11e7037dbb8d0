"""The models that can be chosen for a job, for programs."""

from __future__ import annotations

from flask import Blueprint, Response

from contract.models import ModelList
from web.actions.jobs import models_for
from web.answers import json_answer
from web.security.caller import person
from web.shown.models import summarise_model
from web.wiring import wired

blueprint = Blueprint("model_api", __name__, url_prefix="/api/v1/models")


@blueprint.get("")
def list_models() -> Response:
    """Return the models that this person may choose, the active one first."""
    with wired().database.reading() as session:
        models = [summarise_model(model) for model in models_for(session, person())]
    return json_answer(ModelList(models=models))
