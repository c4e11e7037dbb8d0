"""Requesting an explanation of an image's result, and the part of the page that shows it."""

from __future__ import annotations

from typing import Any

from flask import Blueprint, redirect, render_template, request, url_for
from werkzeug.wrappers import Response

from core.people import accounts
from web.actions.audit import record_reading
from web.actions.explanations import order, summarise_explanation
from web.listing import gallery
from web.security.caller import person
from web.shown.images import summarise_image
from web.wiring import wired

blueprint = Blueprint("why", __name__, url_prefix="/images/<image:image_id>/why")


@blueprint.post("")
def ask(image_id: int) -> Response:
    """Request it by a plain form, for browsers without JavaScript; go back to the image."""
    order(image_id)
    parameters: dict[str, Any] = {**gallery.read_bin(request.args).parameters()}
    page = url_for("images.show_image", image_id=image_id, **parameters)
    return redirect(f"{page}#why")


@blueprint.get("")
def show_answer(image_id: int) -> str:
    """Show only this part of the image's page, for the page's script."""
    with wired().database.reading() as session:
        image = accounts.find_image(session, person(), image_id)
        record_reading(image.job_id)
        return render_template(
            "images/_why.html",
            image=summarise_image(session, image),
            parameters=gallery.read_bin(request.args).parameters(),
            explained=summarise_explanation(session, image),
        )
