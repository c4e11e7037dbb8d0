"""Reading an image: its hash is its name, so damage does not go unnoticed."""

from __future__ import annotations

import hashlib
from typing import BinaryIO

from core.blobs.keeping import BlobStore, image_key
from core.errors import BlobDamaged

_CHUNK = 256 * 1024
DAMAGED = (
    "The stored copy of this image is damaged. Send the same file again in a new job to repair "
    "it, then retry this job."
)


def sound_image(blobs: BlobStore, sha256: str) -> bytes:
    """Return an image's bytes, which have this hash.

    Damaged ones are set aside, so that the next upload of the same file is asked for its bytes.
    SHA-256 takes some 10 µs of a crop of 12 kB.

    Raises:
        BlobMissing: there are none.
        BlobDamaged: they are not what was kept.
    """
    key = image_key(sha256)
    try:
        data = blobs.get(key)
    except BlobDamaged as error:
        blobs.set_aside(key, lambda file: _is(file, sha256))
        raise BlobDamaged(DAMAGED) from error
    if hashlib.sha256(data).hexdigest() == sha256:
        return data
    blobs.set_aside(key, lambda file: _is(file, sha256))
    raise BlobDamaged(DAMAGED)


def _is(file: BinaryIO, sha256: str) -> bool:
    digest = hashlib.sha256()
    while chunk := file.read(_CHUNK):
        digest.update(chunk)
    return digest.hexdigest() == sha256
