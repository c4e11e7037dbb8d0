"""Bytes in, an accepted image or a named refusal out.

The door looks at the header only: a full decode costs too much in a web process and belongs under
a worker's memory limit. What passes here and can't be decoded there is failed there, by name.
"""

from __future__ import annotations

import hashlib
import io
import unicodedata
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import chain
from typing import BinaryIO

from core.blobs import BlobStore, image_key
from core.errors import Refused
from core.headers import header_of

FORMATS = ("JPEG", "PNG", "BMP", "TIFF", "WebP", "HEIC", "AVIF", "JPEG2000")
SUFFIXES = (
    *(".jpg", ".jpeg", ".png", ".bmp", ".tif", ".tiff", ".webp", ".heic", ".heif", ".hif"),
    *(".avif", ".jp2", ".j2k", ".j2c", ".jpc", ".jpf", ".jpx"),
)
FORMATS_IN_WORDS = f"{', '.join(FORMATS[:-1])} or {FORMATS[-1]}"
SMALLEST_SIDE = 16
LONGEST_NAME = 255
_CHUNK = 256 * 1024
# A file that is no larger, as nearly every crop, touches the disk once it is known to be good.
_IN_MEMORY = 256 * 1024
# Unicode's categories: control, format, surrogate, private use, line and paragraph ends.
_ACTING = frozenset({"Cc", "Cf", "Cs", "Co", "Zl", "Zp"})

REASONS = {
    "empty": "The file is empty.",
    "too_large": "The file is larger than {limit} MB. Send the crop, not the whole scan.",
    "not_an_image": f"This is not an image that can be read here: {FORMATS_IN_WORDS}.",
    "too_many_pixels": "The image has more than {limit} million pixels. Send single-cell crops.",
    "too_small": "The image is smaller than {limit} pixels on a side. Send it at full resolution.",
    "truncated": "The image can't be shown: its data is damaged. Export the file again.",
    "animated": "The file holds several pictures. Send each picture as a file of its own.",
    "changed": "The bytes that arrived are not those that were announced. Send the file again.",
    "let_go": "Equal bytes were deleted while the file arrived. Send the file again.",
    "not_received": "The file never arrived. Send it in a new job.",
    "outside": "Its name leads out of the archive. Pack the folder itself.",
    "special": "This is a link or a special file. Put the file itself into the archive.",
    "encrypted": "The file is locked by a password. Pack the archive without one.",
    "packed": "The file is packed in a way that is not read here. Pack an ordinary .zip.",
    "corrupt": "The archive is damaged at this file. Pack it again and send it to the same job.",
    "bomb": "The file unpacks to more than {limit} times its size. Send it by itself.",
    "nested": "This is an archive. Send it by itself.",
}


@dataclass(frozen=True, slots=True)
class Limits:
    """What is taken: largest file in bytes, largest image in pixels."""

    max_bytes: int
    max_pixels: int


@dataclass(frozen=True, slots=True)
class Accepted:
    """An image that is now kept: its hash, size in bytes, format, and sides in pixels."""

    sha256: str
    size: int
    format: str
    width: int
    height: int


@dataclass(frozen=True, slots=True)
class Arrival:
    """A file that came unannounced, by its path in what was sent, and what became of it.

    ``size`` is in bytes, as it was said to be where the file was not read.
    """

    name: str
    size: int
    result: Accepted | Refused


def refusal(code: str, limit: float = 0) -> Refused:
    """Return the refusal with this code, its sentence filled in."""
    return Refused(code, REASONS[code].format(limit=f"{limit:g}"))


def accept(
    stream: BinaryIO,
    blobs: BlobStore,
    limits: Limits,
    *,
    announced: str | None = None,
    lasting: bool = True,
) -> Accepted:
    """Read one upload, look at it, keep it.

    ``announced`` is the SHA-256 the sender gave, if any. Memory does not grow with the file.
    Without ``lasting`` it is on the disk once its key is settled.

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
    """Yield a stream's pieces, each of them digested."""
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


def one_line(text: str) -> str:
    """Return text fit for showing on one line and for storing: nothing in it acts on the rest.

    Control characters, line breaks and marks that reorder text are dropped; all else, any script
    and emoji, stays.
    """
    return "".join(c for c in text if unicodedata.category(c) not in _ACTING).strip()


def clean_name(name: str) -> str:
    """Return a file's name fit for showing and for exports: relative, one line, not too long.

    Path steps upwards are dropped. A name that is too long has its middle replaced by a digest of
    the whole, so that two of them stay two. Letters and their accents are joined.
    """
    parts = [part.strip() for part in one_line(name).replace("\\", "/").split("/")]
    cleaned = "/".join(p for p in parts if p not in {"", ".", ".."}) or "unnamed"
    cleaned = unicodedata.normalize("NFC", cleaned)
    if len(cleaned) > LONGEST_NAME:
        digest = hashlib.blake2s(cleaned.encode(), digest_size=4).hexdigest()
        ends = LONGEST_NAME - len(digest) - 2
        cleaned = f"{cleaned[: ends // 2]}…{digest}…{cleaned[-(ends - ends // 2) :]}"
    return cleaned


def name_apart(name: str, mark: str) -> str:
    """Return a cleaned name with a mark before its suffix, to tell its file from a namesake."""
    stem, dot, suffix = name.rpartition(".")
    if not stem or "/" in suffix:
        stem, dot, suffix = name, "", ""
    return clean_name(f"{stem} ({mark}){dot}{suffix}")
