"""Placeholders for pictures that are still to come or can't be made; asks a worker for them."""

from __future__ import annotations

from flask import Response, make_response, render_template

from core.errors import StoreAway
from core.made import derivatives
from core.states import ImageState, JobState, MakingState
from core.tables import Image, Job
from web.wiring import wired

_RETRY_SECONDS = 1
_OUTAGE_SECONDS = 15
_COMING = "A worker is making this picture. It will appear here."
_NONE = "No picture can be shown."


def placeholder(image: Image) -> Response:
    """Return a drawing in the image's proportions: 202 if a copy is being made, else 404.

    Its title says why. A browser shows it whatever the status.
    """
    trouble = _ask_for(image) if derivatives.can_be_made(image) else image.message or _NONE
    if trouble:
        return _drawing(image, trouble, 404)
    response = _drawing(image, _COMING, 202)
    response.headers["Retry-After"] = str(_RETRY_SECONDS)
    return response


def unavailable(image: Image, error: StoreAway) -> Response:
    """Return the drawing for a picture that can't be had while the store is away: 503."""
    response = _drawing(image, str(error), 503)
    response.headers["Retry-After"] = str(_OUTAGE_SECONDS)
    return response


def why_no_pictures() -> str | None:
    """Return why no page can show pictures for now; None as long as the store is there."""
    try:
        wired().blobs.check()
    except StoreAway as error:
        return str(error)
    return None


def _drawing(image: Image, title: str, status: int) -> Response:
    drawn = render_template(
        "images/placeholder.svg",
        width=image.width or 1,
        height=image.height or 1,
        title=title,
        coming=status == 202,
    )
    response = make_response(drawn, status)
    response.mimetype = "image/svg+xml"
    return response


def _ask_for(image: Image) -> str | None:
    """Order the copies of an image unless they are on their way, or return why there are none."""
    wiring = wired()
    with wiring.database.reading() as session:
        wanted = derivatives.find(session, image)
        judged_soon = session.get_one(Job, image.job_id).state is JobState.RUNNING
    if wanted is not None and wanted.state is MakingState.FAILED:
        return wanted.message or _NONE
    on_its_way = wanted is not None and wanted.state is not MakingState.READY
    # The worker that judges an image makes its copies.
    if on_its_way or (judged_soon and image.state is ImageState.RECEIVED):
        return None
    with wiring.database.writing() as session:
        wanted = derivatives.order(session, image)
    return None
