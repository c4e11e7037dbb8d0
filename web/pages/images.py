"""One image, shown large with its result; and its copies."""

from __future__ import annotations

from flask import Blueprint, Response, abort, make_response, render_template, request

from core.errors import BlobMissing, NotFound, StoreAway
from core.made import derivatives
from core.people import accounts
from core.states import ImageState
from core.tables import Image
from web.actions.audit import record_reading
from web.actions.explanations import summarise_explanation
from web.listing import gallery
from web.security.caller import person
from web.shown.images import LARGE, TILE, summarise_image
from web.shown.pictures import placeholder, unavailable, why_no_pictures
from web.wiring import wired

blueprint = Blueprint("images", __name__, url_prefix="/images")
_WAITING = (ImageState.EXPECTED, ImageState.RECEIVED)


@blueprint.get("/<image:image_id>")
def show_image(image_id: int) -> str:
    """Show an image, with its neighbours in the bin that the query parameters name."""
    with wired().database.reading() as session:
        image = accounts.find_image(session, person(), image_id)
        record_reading(image.job_id)
        named = {"state", "class", "outcome"} & request.args.keys()
        bin_ = gallery.read_bin(request.args)
        if not named and image.state is not ImageState.CLASSIFIED:
            bin_ = gallery.Bin(image.state)
        previous, following = gallery.neighbours(session, image, bin_)
        job = accounts.find_job(session, person(), image.job_id)
        first = session.get(Image, image.duplicate_of_id) if image.duplicate_of_id else None
        return render_template(
            "images/show.html",
            image=summarise_image(session, image),
            job=job,
            bin=bin_,
            previous=previous,
            following=following,
            first=first,
            explained=summarise_explanation(session, image),
            waiting=(first or image).state in _WAITING,
            no_pictures=why_no_pictures(),
        )


@blueprint.get("/<image:image_id>/thumbnail/<int:side>")
def show_thumbnail(image_id: int, side: int) -> Response:
    """Send a JPEG copy, or a placeholder while there is none.

    A browser keeps it, but asks each time whether it may still show it: a copy never changes, but
    the person who is signed in may.
    """
    if side not in (TILE, LARGE):
        abort(404)
    with wired().database.reading() as session:
        image = accounts.find_image(session, person(), image_id)
    record_reading(image.job_id)
    if image.format is None or image.sha256 is None:
        raise NotFound("This file was not accepted; there is no picture of it.")
    response = make_response()
    response.set_etag(f"{image.sha256[:32]}-{side}")
    if not request.if_none_match.contains(response.get_etag()[0] or ""):
        try:
            copies = derivatives.read(wired().blobs, image.sha256)
        except BlobMissing:
            return placeholder(image)
        except StoreAway as error:
            return unavailable(image, error)
        response.data = copies.large if side == LARGE else copies.tile
    response.mimetype = "image/jpeg"
    response.headers["Cache-Control"] = "private, no-cache"
    response.make_conditional(request)
    return response
