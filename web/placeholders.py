"""What stands where a picture will be, or can't be; and asking a worker for the picture."""

from __future__ import annotations

from flask import Response, make_response, render_template

from core import derivatives
from core.models import Image, Job
from core.states import ImageState, JobState, MakingState
from web.wiring import wired

_RETRY_SECONDS = 1
_COMING = "A worker is making this picture. It appears here by itself."
_NONE = "No picture can be shown."


def placeholder(image: Image) -> Response:
    """Return a drawing in the image's proportions: 202 while a copy is being made, 404 for good.

    Its title says why. A browser draws it whatever the status.
    """
    trouble = _ask_for(image) if derivatives.can_be_made(image) else image.message or _NONE
    drawn = render_template(
        "images/placeholder.svg",
        width=image.width or 1,
        height=image.height or 1,
        title=trouble or _COMING,
        coming=trouble is None,
    )
    response = make_response(drawn, 404 if trouble else 202)
    response.mimetype = "image/svg+xml"
    if not trouble:
        response.headers["Retry-After"] = str(_RETRY_SECONDS)
    return response


def _ask_for(image: Image) -> str | None:
    """Order the copies of an image unless they are on their way; return why there can be none."""
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
    wiring.ring_for(wanted)
    return None
