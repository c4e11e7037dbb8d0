"""Stored files that no row needs: what a crash left between keeping bytes and writing the row.

Their age tells them from bytes whose row is about to be written.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from itertools import islice

from sqlalchemy import select
from sqlalchemy.orm import Session

from core.blobs import BlobStore, image_key
from core.db import Database
from core.jobs import holdings, purging
from core.tables import Explanation, Image, LooseBlob, Report

_OF_IMAGES = ("images/", "derivatives/", "thumbnails/")
_REPORTS, _EXPLANATIONS = "reports/", "explanations/"
_HASH = re.compile(r"[0-9a-f]{64}")


def strays(database: Database, blobs: BlobStore, seconds: float) -> tuple[int, list[str]]:
    """Return how many stored files older than ``seconds`` were looked at, and the keys of those
    that no row needs. Models are left alone."""
    seen, found = 0, []
    for prefix in (*_OF_IMAGES, _REPORTS, _EXPLANATIONS):
        for keys in _in_parts(blobs.older_than(prefix, seconds)):
            seen += len(keys)
            with database.reading() as session:
                found += _unneeded(session, prefix, keys)
    return seen, found


def _in_parts(keys: Iterable[str]) -> Iterator[Sequence[str]]:
    rest = iter(keys)
    while part := list(islice(rest, purging.BATCH)):
        yield part


def _unneeded(session: Session, prefix: str, keys: Sequence[str]) -> list[str]:
    if prefix in _OF_IMAGES:
        hashes = {key: found[0] for key in keys if (found := _HASH.search(key))}
        held = select(Image.sha256).where(Image.sha256.in_(hashes.values()))
        needed = set(session.scalars(held.where(holdings.holds_bytes()).distinct()))
        return [key for key, sha256 in hashes.items() if sha256 not in needed]
    if prefix == _REPORTS:
        known = select(Report.blob_key).where(Report.blob_key.in_(keys))
        return sorted(set(keys) - set(session.scalars(known)))
    folders = {key: key.rpartition("/")[0] for key in keys}
    explained = select(Explanation.blob_key).where(Explanation.blob_key.in_(folders.values()))
    there = set(session.scalars(explained))
    return [key for key, folder in folders.items() if folder not in there]


def remove_strays(database: Database, blobs: BlobStore, keys: Sequence[str]) -> None:
    """Delete what `strays` found, unless a row needs it by now."""
    for part in _in_parts(keys):
        with database.writing() as session:
            purging.note_loose(session, map(_as_noted, part))
        left = True
        while left:
            with database.writing() as session:
                purging.collect(session, blobs)
                left = session.scalar(select(LooseBlob.key).limit(1)) is not None


def _as_noted(key: str) -> str:
    """Return the key that stands for all that belongs to an image, or a report's or explanation's
    own."""
    found = _HASH.search(key) if key.startswith(_OF_IMAGES) else None
    return image_key(found[0]) if found else key
