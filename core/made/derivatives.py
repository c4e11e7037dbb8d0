"""Copies of an image for people to look at: made by workers, kept in the store, free of metadata.

They are JPEG files encoded from bare pixels, as the network's decoder gave them, so that a page
shows what was judged and nothing else of the file. They can be made again at any time: when they
are missing, a page asks for them, and `core.made.making` says how that wish is met.
"""

from __future__ import annotations

from dataclasses import dataclass
from struct import Struct
from zlib import crc32

from sqlalchemy import select
from sqlalchemy.orm import Session

from core import leases
from core.blobs import BlobStore, image_key
from core.db import insert_if_new
from core.errors import BlobMissing
from core.leases import Claim
from core.made import making
from core.states import ImageState, MakingState
from core.tables import Derivative, Image

# The longer side of a copy that is made for galleries, in pixels. The large copy is as large as the
# decoder lets an image be.
TILE_SIDE = 192
# A checksum of what follows, and the length of the tile in bytes: 0 if it is the large copy.
_HEAD = Struct(">II")
# Copies that earlier versions made, which go with their image.
_FORMER_SIDES = (96, 192, 1024)
# The one failure that says nothing about the image: its model could not be had.
_NO_FAULT_OF_ITS_OWN = "model"


@dataclass(frozen=True, slots=True)
class Derivatives:
    """Both copies of an image, each a JPEG file. Of a small image they are the same."""

    tile: bytes
    large: bytes


@dataclass(frozen=True, slots=True)
class DerivativeClaim(Claim):
    """A lease on making an image's copies."""

    image_id: int
    sha256: str


def key(sha256: str) -> str:
    """Return where the copies of an image are kept: in one file, for files cost more than bytes."""
    return f"derivatives/{sha256[:2]}/{sha256}"


def keys_of_image(sha256: str) -> tuple[str, ...]:
    """Return every key that belongs to an image's bytes: their own, and what is made of them."""
    former = (f"thumbnails/{side}/{sha256[:2]}/{sha256}.jpg" for side in _FORMER_SIDES)
    return (image_key(sha256), key(sha256), *former)


def exist(blobs: BlobStore, sha256: str) -> bool:
    """Say whether the copies of an image are there."""
    return blobs.exists(key(sha256))


def keep(blobs: BlobStore, sha256: str, made: Derivatives) -> None:
    """Put the copies of an image into the store, with no promise that a power cut spares them."""
    tile = b"" if made.tile == made.large else made.tile
    body = tile + made.large
    head = _HEAD.pack(crc32(body), len(tile))
    blobs.put(key(sha256), head + body, lasting=False)


def read(blobs: BlobStore, sha256: str) -> Derivatives:
    """Return the copies of an image. Raises `BlobMissing`, also if a power cut damaged them."""
    kept = blobs.get(key(sha256))
    body = kept[_HEAD.size :]
    checksum, length = _HEAD.unpack_from(kept) if body else (0, 0)
    if not body or crc32(body) != checksum:
        raise BlobMissing("The picture is damaged and must be made again.")
    large = body[length:]
    return Derivatives(body[:length] if length else large, large)


def can_be_made(image: Image) -> bool:
    """Return whether a picture can be expected: the file was accepted and could be decoded."""
    failed = image.state is ImageState.FAILED and image.reason != _NO_FAULT_OF_ITS_OWN
    return image.format is not None and image.sha256 is not None and not failed


def find(session: Session, image: Image) -> Derivative | None:
    """Return the request for an image's copies, if there was one."""
    return session.scalars(select(Derivative).where(Derivative.image_id == image.id)).first()


def order(session: Session, image: Image) -> Derivative:
    """Return the request for an image's copies, renewed if its copies are gone.

    Call it when the copies are missing.
    """
    # Two pages at once make one request.
    session.execute(insert_if_new(session, Derivative).values(image_id=image.id))
    of_image = select(Derivative).where(Derivative.image_id == image.id)
    wanted = session.scalars(of_image.with_for_update()).one()
    if wanted.state is MakingState.READY:
        making.start_again(session, wanted)
    making.ring_if_waiting(session, wanted)
    return wanted


def claim(
    session: Session, derivative_id: int, worker: str, seconds: float
) -> DerivativeClaim | None:
    """Take the request for ``seconds``, or return None if it is done or another's."""
    fence = leases.take(session, Derivative, derivative_id, worker, seconds)
    if fence is None:
        return None
    wanted = session.get_one(Derivative, derivative_id)
    image = session.get_one(Image, wanted.image_id)
    return DerivativeClaim(
        Derivative, derivative_id, fence, image_id=image.id, sha256=image.sha256 or ""
    )


def finish(session: Session, claim: DerivativeClaim) -> None:
    """Note that the copies are in the store. Raises `LeaseLost`."""
    making.finish(session, claim, key(claim.sha256))
