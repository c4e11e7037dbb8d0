"""Takes files in: a manifest first, then one file per request as a raw body.

The answer to a manifest says which files are needed, so that an upload can be resumed and nothing
is sent twice. No transaction is open while bytes arrive.
"""

from __future__ import annotations

from typing import BinaryIO

from flask import Blueprint, Response, request
from sqlalchemy.orm import Session

from contract.uploads import FileStatus, Manifest, ManifestAnswer, ManifestLine
from core import intake, jobs
from core.errors import HematoVisionError, NotFound, Refused
from core.intake import Accepted, Limits, quotas, refused_by_name
from core.people import accounts
from core.states import ImageState
from core.tables import Image, Job
from lexicon.folders import Skip
from web.answers import json_answer
from web.api.bodies import raw_body
from web.api.requests import body_as
from web.security.caller import person
from web.wiring import wired

blueprint = Blueprint("uploads", __name__, url_prefix="/api/v1/jobs/<id:job_id>")


@blueprint.post("/manifest")
def manifest(job_id: int) -> Response:
    """Announce files; say for each whether its bytes are needed. Record the skipped files."""
    announced = body_as(Manifest)
    entries = [jobs.Entry(file.name, file.size, file.sha256) for file in announced.files]
    skips = [Skip(file.name, file.reason) for file in announced.skipped]
    wiring = wired()
    wiring.require_room()
    with wiring.database.writing() as session:
        job = accounts.find_job_to_handle(session, person(), job_id)
        with quotas.bounded(session, job, wiring.settings):
            images = jobs.announce(
                session,
                job,
                entries,
                wiring.settings.max_job_files,
                wiring.keeps,
                lambda image: _refused_at_once(image, wiring.limits) is not None,
            )
        jobs.skip(session, job, skips, wiring.settings.max_job_files)
        lines = [_line(session, job, *pair, wiring.limits) for pair in images]
    return json_answer(ManifestAnswer(files=lines))


def _line(session: Session, job: Job, image: Image, needed: bool, limits: Limits) -> ManifestLine:
    """Refuse a file at once if its name or size is not allowed, before it is sent in vain."""
    refused = _refused_at_once(image, limits) if needed else None
    if refused:
        jobs.refuse(session, job, image, refused)
    return ManifestLine(**vars(_status(image)), needed=needed and refused is None)


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
        return json_answer(_status(image))
    if refused := _refused_at_once(image, wiring.limits):
        return json_answer(_note(job, image, refused))
    try:
        wiring.require_room(request.content_length or 0)
        result = _accept(raw_body(), image)
    except Refused as refused:
        result = refused
    try:
        return json_answer(_note(job, image, result))
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


def _note(job: Job, image: Image, result: Accepted | Refused) -> FileStatus:
    """Record the result for a file; both rows were read before its bytes arrived.

    Several files that arrive at the same time are recorded together.
    """

    def write(session: Session) -> FileStatus:
        session.add_all((job, image))
        if isinstance(result, Refused):
            jobs.refuse(session, job, image, result)
        else:
            jobs.receive(session, job, image, result, wired().keeps)
        return _status(image)

    return wired().database.together(write)


def _status(image: Image) -> FileStatus:
    return FileStatus(
        id=image.id, state=image.state.value, reason=image.reason, message=image.message
    )
