"""Takes in thousands of images as one .zip, .tar or .tar.gz, as the raw body of one request.

Every image in it becomes a file of the job, under its path in the archive, as if it had been sent
alone. The files skipped are the same as in a folder's upload, and they are named. Batches are
recorded while the archive is read, so the job's page shows the progress. If the connection breaks
or a part is damaged, everything before that point is kept: sending the same archive again takes no
file twice.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import closing

from flask import Blueprint, Response, request

from contract.uploads import ArchiveReceipt, RefusedFile
from core import jobs
from core.errors import BadArchive, HematoVisionError, NoSpace, QuotaExceeded
from core.intake import Accepted, Arrival, quotas
from core.intake.archives import ArchiveCounts, members, take_in
from core.people import accounts
from core.tables import User
from lexicon.folders import Skip
from lexicon.names import clean_name
from web.answers import json_answer
from web.api.bodies import raw_body
from web.security.caller import person
from web.shown.summaries import summarise_skip
from web.wiring import wired

blueprint = Blueprint("archives", __name__, url_prefix="/api/v1/jobs/<id:job_id>")
_NAMED = 5
_NO_IMAGE = "There is no image in this archive. Pack image files, or folders of them."


@blueprint.put("/archive")
def put_archive(job_id: int) -> Response:
    """Take an archive's images; say how many files were accepted, refused and skipped.

    Every file of the archive is one of the three. The first ones refused or skipped are named with
    their reasons; `/problems` and `/skipped` list all of them.
    """
    wiring, user = wired(), person()
    wiring.require_room(request.content_length or 0)
    with wiring.database.reading() as session:
        job = accounts.find_job_to_handle(session, user, job_id)
        jobs.require_open(job)
        quotas.require_room_for(session, job, request.content_length or 0, wiring.settings)
    taken = ArchiveCounts()
    try:
        with closing(members(raw_body(), wiring.blobs, wiring.caps)) as inside:
            take_in(
                inside,
                wiring.blobs,
                wiring.limits,
                lambda arrivals, skips: _write(user, job_id, arrivals, skips),
                taken,
            )
    except (BadArchive, NoSpace, QuotaExceeded) as problem:
        raise type(problem)(f"{problem}{_so_far(taken)}") from problem
    if not taken.accepted and not taken.refused:
        raise BadArchive(_without_image(taken))
    return json_answer(_receipt(taken))


def _write(user: User, job_id: int, arrivals: Sequence[Arrival], skips: Sequence[Skip]) -> None:
    """Record a batch in one transaction; none is open while bytes arrive or are hashed."""
    wiring = wired()
    most = wiring.settings.max_job_files
    try:
        with wiring.database.writing() as session:
            job = accounts.find_job_to_handle(session, user, job_id)
            with quotas.bounded(session, job, wiring.settings):
                jobs.take(session, job, arrivals, most, wiring.keeps)
            jobs.skip(session, job, skips, most)
    except HematoVisionError:
        results = [arrival.result for arrival in arrivals]
        wiring.let_go(result.sha256 for result in results if isinstance(result, Accepted))
        raise


def _so_far(taken: ArchiveCounts) -> str:
    """Return a sentence, after a space, on the files kept from before a damaged place."""
    if not taken.accepted:
        return ""
    single = taken.accepted == 1
    files = "file before this point is" if single else "files before this point are"
    return f" The {taken.accepted:,} {files} kept."


def _without_image(taken: ArchiveCounts) -> str:
    """Return the sentence for an archive from which nothing was accepted or refused."""
    if not taken.skipped:
        return _NO_IMAGE
    names = ", ".join(clean_name(skip.name) for skip in taken.skips[:_NAMED])
    more = f" and {taken.skipped - _NAMED:,} more" if taken.skipped > _NAMED else ""
    return f"{_NO_IMAGE} Skipped: {names}{more}."


def _receipt(taken: ArchiveCounts) -> ArchiveReceipt:
    return ArchiveReceipt(
        accepted=taken.accepted,
        refused=taken.refused,
        skipped=taken.skipped,
        refusals=[
            RefusedFile(name=clean_name(name), reason=refused.code, message=str(refused))
            for name, refused in taken.refusals
        ],
        skips=[summarise_skip(skip) for skip in taken.skips],
    )
