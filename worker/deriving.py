"""Makes the copies of an image that a page found missing, from the claim to the store."""

from __future__ import annotations

from collections.abc import Iterable
from contextlib import suppress

from core.errors import BlobMissing, Conflict
from core.jobs import Failure, Work
from core.made import derivatives
from worker.decoding import Decoder
from worker.lease import making_ordered
from worker.process import WorkerProcess


def derive_image(process: WorkerProcess, derivative_id: int) -> bool:
    """Make and store one image's copies; False if they are done or taken by another worker."""
    with process.database.writing() as session:
        claim = derivatives.claim(
            session, derivative_id, process.name, process.settings.lease_seconds
        )
    if claim is None:
        return False
    with making_ordered(process, claim):
        if not _readable(process, claim.sha256):
            process.blobs.delete(derivatives.key(claim.sha256))
            make_copies(process, Work(claim.image_id, claim.sha256))
        with process.database.writing() as session:
            derivatives.finish(session, claim)
    return True


def _readable(process: WorkerProcess, sha256: str) -> bool:
    try:
        derivatives.read(process.blobs, sha256)
    except BlobMissing:
        return False
    return True


def make_copies(process: WorkerProcess, work: Work) -> None:
    """Decode an image; this puts its copies into the store.

    Raises:
        Conflict: it can't be decoded.
        OSError: the store took no copies.
    """
    read = Decoder(process.blobs, process.models.shipped.metadata, process.settings.max_pixels)(
        work
    )
    if isinstance(read, Failure):
        raise Conflict(read.message)
    if not derivatives.exist(process.blobs, work.sha256):
        raise OSError("The store took no copies of an image.")


def complete_copies(process: WorkerProcess, works: Iterable[Work]) -> None:
    """Make missing copies; if one can't be made now, a page will ask for it again."""
    for work in works:
        if not derivatives.exist(process.blobs, work.sha256):
            with suppress(Conflict, OSError):
                make_copies(process, work)
