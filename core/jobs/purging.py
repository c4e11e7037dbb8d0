"""What is left to do when a grace period is over: rows first, then the bytes no row needs.

Every step is a small transaction of its own and may be the last one before a crash. A row that lets
go of bytes notes their keys in the same transaction (`LooseBlob`); the bytes are deleted later, by
`collect`, if no row needs them. So a crash leaves keys to be looked at again, never a row without
its bytes.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass

from sqlalchemy import ColumnElement, delete, select, update
from sqlalchemy.orm import InstrumentedAttribute, Session

from core import audit
from core.audit import Action
from core.blobs import BlobStore, image_key
from core.db import Database, insert_new_rows, utcnow
from core.jobs import deletion, holdings, keeping
from core.made import explanations
from core.made.derivatives import keys_of_image
from core.settings import Settings
from core.states import ENDED
from core.tables import Explanation, Image, Job, LooseBlob, Report, Shard

BATCH = 200
# A round ends after so many batches, for the sweep has other things to do.
MOST_BATCHES = 25
_IMAGES = "images/"


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
    images = session.execute(
        select(Image.id, Image.sha256)
        .where(Image.job_id == job.id)
        .order_by(Image.position)
        .limit(BATCH)
    ).all()
    if not images:
        _bury(session, job)
        return 0
    ids = [id_ for id_, _ in images]
    _let_go(session, job, ids, {sha256 for _, sha256 in images if sha256})
    session.execute(delete(Image).where(Image.id.in_(ids)))
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
    images = session.execute(
        select(Image.id, Image.sha256)
        .where(Image.job_id == job.id, holdings.holds_bytes())
        .order_by(Image.position)
        .limit(BATCH)
    ).all()
    if not images:
        job.bytes, job.pictures_until = 0, None
        audit.note(session, Action.PICTURES_PURGED, audit.SYSTEM, f"job {job.id}")
        return 0
    ids = [id_ for id_, _ in images]
    _let_go(session, job, ids, {sha256 for _, sha256 in images if sha256})
    session.execute(delete(Explanation).where(Explanation.image_id.in_(ids)))
    session.execute(update(Image).where(Image.id.in_(ids)).values(format=None))
    return len(ids)


def _let_go(session: Session, job: Job, ids: Sequence[int], hashes: Collection[str]) -> None:
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
    bytes gone already. See `core.jobs.keeping` for those that arrive meanwhile.
    """
    if session.scalar(select(LooseBlob.key).limit(1)) is None:
        return 0
    keeping.delete_bytes(session)
    loose = session.scalars(select(LooseBlob.key).order_by(LooseBlob.key).limit(BATCH)).all()
    needed = _needed(session, [key.rpartition("/")[2] for key in loose if _is_image(key)])
    for key in loose:
        sha256 = key.rpartition("/")[2]
        if not _is_image(key):
            blobs.delete(key)
        elif sha256 not in needed:
            for one in keys_of_image(sha256):
                blobs.delete(one)
    session.execute(delete(LooseBlob).where(LooseBlob.key.in_(loose)))
    return len(loose)


def _is_image(key: str) -> bool:
    return key.startswith(_IMAGES)


def _needed(session: Session, hashes: Sequence[str]) -> set[str | None]:
    held = select(Image.sha256).where(Image.sha256.in_(hashes), holdings.holds_bytes())
    return set(session.scalars(held.distinct()))
