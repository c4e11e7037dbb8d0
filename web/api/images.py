"""One image and its result, for programs."""

from __future__ import annotations

from flask import Blueprint, Response

from core.people import accounts
from web.actions.audit import record_reading
from web.answers import json_answer
from web.security.caller import person
from web.shown.images import summarise_image
from web.wiring import wired

blueprint = Blueprint("image_api", __name__, url_prefix="/api/v1/images")


@blueprint.get("/<image:image_id>")
def get_image(image_id: int) -> Response:
    """Return an image with its probabilities and the model that gave them."""
    with wired().database.reading() as session:
        image = accounts.find_image(session, person(), image_id)
        details = summarise_image(session, image)
    record_reading(image.job_id)
    return json_answer(details)
