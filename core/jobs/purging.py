"""What is left to do when a grace period is over: rows first, then the bytes no row needs.

Every step is a small transaction of its own and may be the last one before a crash. A row that lets
go of bytes notes their keys in the same transaction (`LooseBlob`); the bytes are deleted later, by
`collect`, if no row needs them. So a crash leaves keys to be looked at again, never a row without
its bytes.

What a crash left between keeping bytes and writing their row was never noted: `strays` looks for
such files in the store itself. Their age tells them from bytes whose row is about to be written.
"""

from __future__ import annotations

import datetime as dt
import re
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass

from sqlalchemy import ColumnElement, delete, select, update
from sqlalchemy.orm import InstrumentedAttribute, Session

from core import audit
from core.audit import Action
from core.blobs import BlobStore, image_key
from core.db import Database, in_parts, insert_new_rows, utcnow
from core.jobs import deletion, holdings
from core.jobs.lock import lock_bytes
from core.made import explanations
from core.made.derivatives import keys_of_image
from core.settings import Settings
from core.states import ENDED
from core.tables import Explanation, Image, Job, LooseBlob, Report, Shard

BATCH = 200
# A round ends after so many batches, for the sweep has other things to do.
MOST_BATCHES = 25
_IMAGES, _REPORTS, _EXPLANATIONS = "images/", "reports/", "explanations/"
_OF_IMAGES = (_IMAGES, "derivatives/", "thumbnails/")
_HASH = re.compile(r"[0-9a-f]{64}")


@dataclass(frozen=True, slots=True)
class Purged:
    """What one round did: jobs or pictures that became due by rule, images that let go of their
    bytes, and keys of the store that were deleted."""

    expired: int
    images: int
    keys: int

    @property
    def nothing(self) -> bool:
        """Whether there was nothing to do."""
        return not (self.expired or self.images or self.keys)


def purge(database: Database, blobs: BlobStore, settings: Settings) -> Purged:
    """Do up to `MOST_BATCHES` steps of what is due."""
    with database.writing() as session:
        expired = deletion.expire(session, settings, BATCH)
    images = keys = 0
    for _ in range(MOST_BATCHES):
        with database.writing() as session:
            let_go = _purge_some(session)
        # Keys may be left of a round that was cut off.
        with database.writing() as session:
            deleted = collect(session, blobs)
        images, keys = images + (let_go or 0), keys + deleted
        if let_go is None and not deleted:
            break
    return Purged(expired, images, keys)


def _purge_some(session: Session) -> int | None:
    """Let go of a batch of a job that is due; return how many images, None if no job is due."""
    job = _next(session, Job.purge_at)
    if job is not None:
        return _purge_job(session, job)
    job = _next(session, Job.pictures_until, Job.state.in_(ENDED), Job.deleted_at.is_(None))
    return _purge_pictures(session, job) if job is not None else None


def _next(
    session: Session,
    due: InstrumentedAttribute[dt.datetime | None],
    *conditions: ColumnElement[bool],
) -> Job | None:
    """Lock the first job whose time has come; one that another sweep is at is passed over."""
    return session.scalars(
        select(Job)
        .where(due.is_not(None), due <= utcnow(), *conditions)
        .order_by(due)
        .limit(1)
        .with_for_update(key_share=True, skip_locked=True)
    ).first()


def _purge_job(session: Session, job: Job) -> int:
    ids = _let_go(session, job)
    if ids:
        session.execute(delete(Image).where(Image.id.in_(ids)))
    else:
        _bury(session, job)
    return len(ids)


def _bury(session: Session, job: Job) -> None:
    """Leave the bare row, so that its number is never another's: what is noted of it is known by
    that."""
    _let_go_of_reports(session, job)
    session.execute(delete(Shard).where(Shard.job_id == job.id))
    job.name = job.reference = ""
    job.bytes, job.purge_at, job.pictures_until = 0, None, None
    job.purged_at = utcnow()
    audit.note(session, Action.JOB_PURGED, audit.SYSTEM, f"job {job.id}")


def _purge_pictures(session: Session, job: Job) -> int:
    """Nothing judges the job again once its first picture has gone."""
    if job.pictures_gone_at is None:
        job.pictures_gone_at = utcnow()
        _let_go_of_reports(session, job)
    ids = _let_go(session, job, holdings.holds_bytes())
    if ids:
        session.execute(delete(Explanation).where(Explanation.image_id.in_(ids)))
        session.execute(update(Image).where(Image.id.in_(ids)).values(format=None))
    else:
        job.bytes, job.pictures_until = 0, None
        audit.note(session, Action.PICTURES_PURGED, audit.SYSTEM, f"job {job.id}")
    return len(ids)


def _let_go(session: Session, job: Job, *conditions: ColumnElement[bool]) -> Sequence[int]:
    """Let go of the bytes of a job's next images, `BATCH` at most; return the images' ids."""
    images = session.execute(
        select(Image.id, Image.sha256)
        .where(Image.job_id == job.id, *conditions)
        .order_by(Image.position)
        .limit(BATCH)
    ).all()
    ids = [id_ for id_, _ in images]
    hashes = {sha256 for _, sha256 in images if sha256}
    holdings.hand_on(session, job, hashes)
    made = select(Explanation.blob_key).where(
        Explanation.image_id.in_(ids), Explanation.blob_key.is_not(None)
    )
    pictures = (
        explanations.picture_key(key or "", name)
        for key in session.scalars(made)
        for name in explanations.PICTURES
    )
    note_loose(session, (*map(image_key, hashes), *pictures))
    return ids


def _let_go_of_reports(session: Session, job: Job) -> None:
    made = select(Report.blob_key).where(Report.job_id == job.id, Report.blob_key.is_not(None))
    note_loose(session, [key or "" for key in session.scalars(made)])
    session.execute(delete(Report).where(Report.job_id == job.id))


def note_loose(session: Session, keys: Iterable[str]) -> None:
    """Note keys that a row has let go of, or that never had one; in an order that all keep to."""
    insert_new_rows(session, LooseBlob, [{"key": key} for key in sorted(set(keys))])


def collect(session: Session, blobs: BlobStore) -> int:
    """Delete the bytes of up to `BATCH` loose keys that no row needs; return how many keys.

    They are deleted before the commit: after a crash in between the keys are loose still, and the
    bytes gone already. See `core.jobs.lock` for those that arrive meanwhile.
    """
    if session.scalar(select(LooseBlob.key).limit(1)) is None:
        return 0
    lock_bytes(session)
    loose = session.scalars(select(LooseBlob.key).order_by(LooseBlob.key).limit(BATCH)).all()
    hashes = {key: key.rpartition("/")[2] for key in loose if key.startswith(_IMAGES)}
    needed = _needed(session, hashes.values())
    for key in loose:
        if key not in hashes:
            blobs.delete(key)
        elif hashes[key] not in needed:
            for image_or_copy in keys_of_image(hashes[key]):
                blobs.delete(image_or_copy)
    session.execute(delete(LooseBlob).where(LooseBlob.key.in_(loose)))
    return len(loose)


def _needed(session: Session, hashes: Collection[str]) -> set[str | None]:
    """Return those of these hashes that some image's row needs the bytes of."""
    held = select(Image.sha256).where(Image.sha256.in_(hashes), holdings.holds_bytes())
    return set(session.scalars(held.distinct()))


def strays(database: Database, blobs: BlobStore, seconds: float) -> tuple[int, list[str]]:
    """Return how many stored files older than ``seconds`` were looked at, and the keys of those
    that no row needs. Models are left alone."""
    seen, unneeded = 0, []
    for prefix in (*_OF_IMAGES, _REPORTS, _EXPLANATIONS):
        for keys in in_parts(blobs.older_than(prefix, seconds), BATCH):
            seen += len(keys)
            with database.reading() as session:
                unneeded += _unneeded(session, prefix, keys)
    return seen, unneeded


def _unneeded(session: Session, prefix: str, keys: Sequence[str]) -> list[str]:
    """Return those of these keys, which all begin with ``prefix``, that no row needs."""
    if prefix in _OF_IMAGES:
        hashes = {key: match[0] for key in keys if (match := _HASH.search(key))}
        needed = _needed(session, hashes.values())
        return [key for key, sha256 in hashes.items() if sha256 not in needed]
    if prefix == _REPORTS:
        reported = select(Report.blob_key).where(Report.blob_key.in_(keys))
        return sorted(set(keys) - set(session.scalars(reported)))
    folders = {key: key.rpartition("/")[0] for key in keys}
    explained = select(Explanation.blob_key).where(Explanation.blob_key.in_(folders.values()))
    explanation_folders = set(session.scalars(explained))
    return [key for key, folder in folders.items() if folder not in explanation_folders]


def remove_strays(database: Database, blobs: BlobStore, keys: Sequence[str]) -> None:
    """Delete what `strays` returned, unless a row needs it by now."""
    for part in in_parts(keys, BATCH):
        with database.writing() as session:
            note_loose(session, map(_as_noted, part))
        left = True
        while left:
            with database.writing() as session:
                collect(session, blobs)
                left = session.scalar(select(LooseBlob.key).limit(1)) is not None


def _as_noted(key: str) -> str:
    """Return the key that stands for all that belongs to an image, or a report's or explanation's
    own."""
    match = _HASH.search(key) if key.startswith(_OF_IMAGES) else None
    return image_key(match[0]) if match else key
