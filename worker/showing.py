"""Copies of an image that a page missed, from the claim to the store."""

from __future__ import annotations

from collections.abc import Iterable
from contextlib import suppress

from core.errors import BlobMissing, Conflict
from core.jobs import Failure, Work
from core.made import derivatives
from worker.decoding import Decoder
from worker.making import under
from worker.process import WorkerProcess


def derive_image(here: WorkerProcess, derivative_id: int) -> bool:
    """Make the copies of one image and keep them; False if they are made or another's."""
    with here.database.writing() as session:
        claim = derivatives.claim(session, derivative_id, here.name, here.settings.lease_seconds)
    if claim is None:
        return False
    with under(here, claim):
        if not _readable(here, claim.sha256):
            here.blobs.delete(derivatives.key(claim.sha256))
            make_copies(here, Work(claim.image_id, claim.sha256))
        with here.database.writing() as session:
            derivatives.finish(session, claim)
    return True


def _readable(here: WorkerProcess, sha256: str) -> bool:
    try:
        derivatives.read(here.blobs, sha256)
    except BlobMissing:
        return False
    return True


def make_copies(here: WorkerProcess, work: Work) -> None:
    """Decode an image, which leaves its copies in the store.

    Raises:
        Conflict: it can't be decoded.
        OSError: the store took no copies.
    """
    read = Decoder(here.blobs, here.models.shipped.metadata, here.settings.max_pixels)(work)
    if isinstance(read, Failure):
        raise Conflict(read.message)
    if not derivatives.exist(here.blobs, work.sha256):
        raise OSError("The store took no copies of an image.")


def complete_copies(here: WorkerProcess, works: Iterable[Work]) -> None:
    """Make the copies that are missing; pages ask again for what can't be made now."""
    for work in works:
        if not derivatives.exist(here.blobs, work.sha256):
            with suppress(Conflict, OSError):
                make_copies(here, work)
