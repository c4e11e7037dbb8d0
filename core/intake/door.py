"""Takes uploaded bytes, and returns an accepted image or a refusal with its reason.

Intake reads only the header: a full decode costs too much in a web process and belongs under a
worker's memory limit. An image that passes here but can't be decoded fails there, with a reason.
"""

from __future__ import annotations

import hashlib
import io
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import chain
from typing import BinaryIO

from core.blobs import BlobStore, image_key
from core.errors import Refused
from core.intake.headers import header_of
from lexicon.formats import is_archive_name
from lexicon.refusals import sentence

SMALLEST_SIDE = 16
_CHUNK = 256 * 1024
# Files up to this size, nearly all crops, are written to disk only once they are accepted.
_IN_MEMORY = 256 * 1024


@dataclass(frozen=True, slots=True)
class Limits:
    """What intake accepts: the largest file in bytes, and the largest image in pixels."""

    max_bytes: int
    max_pixels: int


@dataclass(frozen=True, slots=True)
class Accepted:
    """An image that is now stored: its hash, size in bytes, format, and sides in pixels."""

    sha256: str
    size: int
    format: str
    width: int
    height: int


@dataclass(frozen=True, slots=True)
class Arrival:
    """A file that came unannounced: its path within the upload, and the result.

    ``size`` is in bytes; for a file that was not read, it is the stated size.
    """

    name: str
    size: int
    result: Accepted | Refused


def refusal(code: str, limit: float = 0) -> Refused:
    """Return the refusal with this code and its sentence."""
    return Refused(code, sentence(code, limit=limit))


def refused_by_name(name: str) -> Refused | None:
    """Return the refusal of a file whose name already rules it out, or None."""
    return refusal("nested") if is_archive_name(name) else None


def accept(
    stream: BinaryIO,
    blobs: BlobStore,
    limits: Limits,
    *,
    announced: str | None = None,
    lasting: bool = True,
) -> Accepted:
    """Read one upload, check it, and store it.

    ``announced`` is the SHA-256 that the sender gave, if any. Memory does not grow with the file.
    Without ``lasting`` the file is safely on the disk only once its key is flushed.

    Raises:
        Refused: it is empty, too large, not an accepted image, or not what was announced.
    """
    digest, begin = hashlib.sha256(), bytearray()
    chunks = _chunks(stream, limits.max_bytes, digest)
    for chunk in chunks:
        begin += chunk
        if len(begin) > _IN_MEMORY:
            break
    else:
        whole = bytes(begin)
        accepted = _examine(io.BytesIO(whole), digest.hexdigest(), len(whole), limits, announced)
        blobs.put(image_key(accepted.sha256), whole, lasting=lasting)
        return accepted
    with blobs.stage() as staging:
        for chunk in chain([bytes(begin)], chunks):
            staging.file.write(chunk)
        size = staging.file.tell()
        staging.file.seek(0)
        accepted = _examine(staging.file, digest.hexdigest(), size, limits, announced)
        staging.keep(image_key(accepted.sha256), lasting=lasting)
    return accepted


def _chunks(stream: BinaryIO, max_bytes: int, digest: hashlib._Hash) -> Iterator[bytes]:
    """Yield a stream piece by piece, adding each piece to the digest."""
    total = 0
    while chunk := stream.read(_CHUNK):
        total += len(chunk)
        if total > max_bytes:
            raise refusal("too_large", max_bytes / 2**20)
        digest.update(chunk)
        yield chunk
    if not total:
        raise refusal("empty")


def _examine(
    file: BinaryIO, sha256: str, size: int, limits: Limits, announced: str | None
) -> Accepted:
    if announced and announced != sha256:
        raise refusal("changed")
    header = header_of(file)
    if header is None:
        raise refusal("not_an_image")
    if header.width * header.height > limits.max_pixels:
        raise refusal("too_many_pixels", limits.max_pixels / 10**6)
    if min(header.width, header.height) < SMALLEST_SIDE:
        raise refusal("too_small", SMALLEST_SIDE)
    if header.several:
        raise refusal("animated")
    return Accepted(sha256, size, header.format, header.width, header.height)
