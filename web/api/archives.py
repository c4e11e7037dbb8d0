"""Taking in thousands of images as one .zip, .tar or .tar.gz, in one request with a raw body.

Every image in it becomes a file of the job as if it had been sent alone, under its path in the
archive; what a folder's upload leaves out is left out. Batches are written down as the archive is
read, so the job's page shows how far it is, and what came before a broken connection or a damaged
place is kept: sending the same archive again takes nothing twice.
"""

from __future__ import annotations

from contextlib import closing

from flask import Blueprint, Response, jsonify, request

from core import accounts, jobs
from core.archives import Taken, members, take_in
from core.errors import BadArchive, NoSpace
from core.intake import Arrival, clean_name
from core.models import User
from web.accounts import person
from web.api.bodies import raw_body
from web.summaries import Summary
from web.wiring import wired

blueprint = Blueprint("archives", __name__, url_prefix="/api/v1/jobs/<id:job_id>")
_NO_IMAGE = "There is no image in this archive. Pack image files, or folders of them."


@blueprint.put("/archive")
def put_archive(job_id: int) -> Response:
    """Take an archive's images; say how many were accepted, refused and skipped.

    The first refusals are named with their reasons; `/problems` lists all of them.
    """
    wiring, user = wired(), person()
    wiring.require_room(request.content_length or 0)
    with wiring.database.reading() as session:
        jobs.require_open(accounts.find_job_to_handle(session, user, job_id))
    taken = Taken()
    try:
        with closing(members(raw_body(), wiring.blobs, wiring.caps)) as inside:
            take_in(
                inside,
                wiring.blobs,
                wiring.limits,
                lambda batch: _write(user, job_id, batch),
                taken,
            )
    except BadArchive as problem:
        raise BadArchive(f"{problem}{_kept(taken)}") from problem
    except NoSpace as problem:
        raise NoSpace(f"{problem}{_kept(taken)}") from problem
    if not taken.accepted and not taken.refused:
        raise BadArchive(_NO_IMAGE)
    return jsonify(_summary(taken))


def _write(user: User, job_id: int, batch: list[Arrival]) -> None:
    """Note a batch in one transaction: none is open while bytes arrive or are hashed."""
    wiring = wired()
    with wiring.database.writing() as session:
        job = accounts.find_job_to_handle(session, user, job_id)
        jobs.take(session, job, batch, wiring.settings.max_job_files)


def _kept(taken: Taken) -> str:
    if not taken.accepted:
        return ""
    files = "file that came before it is" if taken.accepted == 1 else "files that came before are"
    return f" The {taken.accepted:,} {files} kept."


def _summary(taken: Taken) -> Summary:
    return {
        "accepted": taken.accepted,
        "refused": taken.refused,
        "skipped": taken.skipped,
        "refusals": [
            {"name": clean_name(name), "reason": refused.code, "message": str(refused)}
            for name, refused in taken.refusals
        ],
    }
