"""Takes files in: a manifest first, then one file per request as a raw body.

The answer to a manifest says which files are needed, so that an upload can be resumed and nothing
is sent twice. No transaction is open while bytes arrive.
"""

from __future__ import annotations

from typing import Annotated, BinaryIO, Literal

from flask import Blueprint, Response, jsonify, request
from pydantic import BaseModel, Field
from sqlalchemy.orm import Session

from core import intake, jobs
from core.errors import HematoVisionError, NotFound, Refused
from core.intake import Accepted, Limits, quotas, refused_by_name
from core.people import accounts
from core.states import ImageState
from core.tables import Image, Job
from lexicon.folders import SKIPS, Skip
from web.api.bodies import raw_body
from web.api.requests import body_as
from web.security.caller import person
from web.shown.summaries import Summary
from web.wiring import wired

blueprint = Blueprint("uploads", __name__, url_prefix="/api/v1/jobs/<id:job_id>")
MOST_ENTRIES = 1000
_LARGEST = 2**62


class File(BaseModel):
    """One line of a manifest."""

    name: Annotated[str, Field(max_length=4096)]
    size: Annotated[int, Field(ge=0, le=_LARGEST)]
    sha256: Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")] | None = None


class SkippedFile(BaseModel):
    """A file that is not sent, and why."""

    name: Annotated[str, Field(max_length=4096)]
    reason: Literal[tuple(SKIPS)]  # type: ignore[valid-type]


class Manifest(BaseModel):
    """Files that will be sent, and those that are skipped."""

    files: Annotated[list[File], Field(max_length=MOST_ENTRIES)]
    skipped: Annotated[list[SkippedFile], Field(max_length=MOST_ENTRIES)] = []


@blueprint.post("/manifest")
def manifest(job_id: int) -> Response:
    """Announce files; say for each whether its bytes are needed. Record the skipped files."""
    given = body_as(Manifest)
    entries = [jobs.Entry(f.name, f.size, f.sha256) for f in given.files]
    skips = [Skip(one.name, one.reason) for one in given.skipped]
    wiring = wired()
    wiring.require_room()
    with wiring.database.writing() as session:
        job = accounts.find_job_to_handle(session, person(), job_id)
        with quotas.bounded(session, job, wiring.settings):
            known = jobs.announce(
                session,
                job,
                entries,
                wiring.settings.max_job_files,
                wiring.keeps,
                lambda image: _refused_at_once(image, wiring.limits) is not None,
            )
        jobs.skip(session, job, skips, wiring.settings.max_job_files)
        return jsonify(files=[_line(session, job, *pair, wiring.limits) for pair in known])


def _line(session: Session, job: Job, image: Image, needed: bool, limits: Limits) -> Summary:
    """Refuse a file at once if its name or size is not allowed, before it is sent in vain."""
    refused = _refused_at_once(image, limits) if needed else None
    if refused:
        jobs.refuse(session, job, image, refused)
    return _state(image) | {"needed": needed and refused is None}


def _refused_at_once(image: Image, limits: Limits) -> Refused | None:
    """Return why a file is refused whatever its bytes, judged by its announced name and size."""
    return refused_by_name(image.name) or _refused_by_size(image.size, limits)


def _refused_by_size(size: int, limits: Limits) -> Refused | None:
    if size == 0:
        return intake.refusal("empty")
    if size > limits.max_bytes:
        return intake.refusal("too_large", limits.max_bytes / 2**20)
    return None


@blueprint.put("/images/<image:image_id>")
def put_image(job_id: int, image_id: int) -> Response:
    """Take one file's bytes. A refused file gets a normal answer, not an error."""
    wiring, user = wired(), person()
    with wiring.database.reading() as session:
        job = accounts.find_job_to_handle(session, user, job_id)
        image = _find(session, job, image_id)
    result: Accepted | Refused
    if image.state not in (ImageState.EXPECTED, ImageState.REFUSED):
        return jsonify(_state(image))
    if refused := _refused_at_once(image, wiring.limits):
        return jsonify(_note(job, image, refused))
    try:
        wiring.require_room(request.content_length or 0)
        result = _accept(raw_body(), image)
    except Refused as refused:
        result = refused
    try:
        return jsonify(_note(job, image, result))
    except HematoVisionError:
        if isinstance(result, Accepted):
            wiring.let_go([result.sha256])
        raise


def _accept(stream: BinaryIO, image: Image) -> Accepted:
    """Store a file's bytes, but no more than announced: room was checked for no more."""
    wiring = wired()
    accepted = intake.accept(stream, wiring.blobs, wiring.limits, announced=image.sha256)
    if accepted.size > image.size:
        wiring.let_go([accepted.sha256])
        raise intake.refusal("changed")
    return accepted


def _find(session: Session, job: Job, image_id: int) -> Image:
    jobs.require_open(job)
    image = session.get(Image, image_id)
    if image is None or image.job_id != job.id:
        raise NotFound("This file was not announced for this job. Send the manifest first.")
    return image


def _note(job: Job, image: Image, result: Accepted | Refused) -> Summary:
    """Record the result for a file; both rows were read before its bytes arrived.

    Several files that arrive at the same time are recorded together.
    """

    def write(session: Session) -> Summary:
        session.add_all((job, image))
        if isinstance(result, Refused):
            jobs.refuse(session, job, image, result)
        else:
            jobs.receive(session, job, image, result, wired().keeps)
        return _state(image)

    return wired().database.together(write)


def _state(image: Image) -> Summary:
    return {
        "id": image.id,
        "state": image.state.value,
        "reason": image.reason,
        "message": image.message,
    }
