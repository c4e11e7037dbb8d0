"""Explanations of an image's result, for programs: request one, wait, fetch its pictures."""

from __future__ import annotations

from flask import Blueprint, Response

from core.errors import NotFound
from core.people import accounts
from web.actions import explanations
from web.actions.audit import record_reading
from web.answers import json_answer
from web.security.caller import person
from web.wiring import wired

blueprint = Blueprint(
    "explanation_api", __name__, url_prefix="/api/v1/images/<image:image_id>/explanation"
)


@blueprint.post("")
def order_explanation(image_id: int) -> Response:
    """Request an explanation of what the network looked at, or return the one there is."""
    return json_answer(explanations.order(image_id), 202)


@blueprint.get("")
def get_explanation(image_id: int) -> Response:
    """Return the explanation's state and, once it is ready, its pictures and similar cells."""
    with wired().database.reading() as session:
        image = accounts.find_image(session, person(), image_id)
        explanation = explanations.summarise_explanation(session, image)
    record_reading(image.job_id)
    if explanation is None:
        raise NotFound(
            "No explanation of this image has been requested yet. Request one with POST."
        )
    return json_answer(explanation)


@blueprint.get("/<any(crop, heat, contrast):name>.png")
def get_picture(image_id: int, name: str) -> Response:
    """Send the crop the network saw, or a transparent heat map to lay over it."""
    with wired().database.reading() as session:
        data = explanations.picture(session, image_id, name)
    return Response(data, mimetype="image/png")


@blueprint.get("/references/<id:index>.jpg")
def get_reference(image_id: int, index: int) -> Response:
    """Send the picture of a reference cell that the explanation names."""
    with wired().database.reading() as session:
        data = explanations.reference(session, image_id, index)
    return Response(data, mimetype="image/jpeg")
