"""Deleting a job, or its pictures alone, and undoing that while the grace period lasts.

A deleted job disappears from every list at once; people who may handle it find it on the page of
deleted jobs. `core.jobs.purging` does the rest when the grace period is over.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Sequence

from sqlalchemy import Select, select
from sqlalchemy.orm import Session

from core import audit
from core.audit import Action, Actor
from core.db import utcnow
from core.errors import Conflict
from core.jobs.lock import lock, lock_even_deleted
from core.jobs.submission import cancel
from core.settings import Settings
from core.states import ENDED, JobState
from core.tables import Job

_TOO_LATE = "This job was removed for good. Send its files again in a new job."


def delete(
    session: Session, job: Job, settings: Settings, actor: Actor, *, at_once: bool = False
) -> None:
    """Delete a job, cancelling it first if it has not ended; nothing of it is shown any more.

    ``at_once``: without a grace period, also where the job was deleted with one before.

    Raises:
        Conflict: it is purged.
    """
    lock_even_deleted(session, job)
    if job.purged_at is not None:
        raise Conflict(_TOO_LATE)
    if job.deleted_at is not None and not at_once:
        return
    if job.deleted_at is None:
        if job.state not in ENDED:
            cancel(session, job)
        job.deleted_at = utcnow()
    job.purge_at = job.deleted_at if at_once else _end_of_grace(job.deleted_at, settings)
    _note(session, Action.JOB_DELETED, actor, job, job.purge_at)


def restore(session: Session, job: Job, actor: Actor) -> None:
    """Undo a deletion. A job cancelled by it stays cancelled, and may be run again.

    Raises:
        Conflict: the grace period is over.
    """
    lock_even_deleted(session, job)
    over = job.purge_at is not None and job.purge_at <= utcnow()
    if over or job.purged_at is not None:
        raise Conflict(_TOO_LATE)
    if job.deleted_at is not None:
        job.deleted_at = job.purge_at = None
        job.restored_at = utcnow()
        audit.note(session, Action.JOB_RESTORED, actor, f"job {job.id}")


def delete_pictures(
    session: Session, job: Job, settings: Settings, actor: Actor, *, at_once: bool = False
) -> None:
    """Delete a job's pictures and keep its results, counts and differential.

    Raises:
        Conflict: the job has not ended.
    """
    lock(session, job)
    if job.state not in ENDED:
        raise Conflict("The job still needs its pictures. Wait until it has ended, or cancel it.")
    if job.pictures_gone_at is None:
        now = utcnow()
        job.pictures_until = now if at_once else job.pictures_until or _end_of_grace(now, settings)
        _note(session, Action.PICTURES_DELETED, actor, job, job.pictures_until)


def keep_pictures(session: Session, job: Job, actor: Actor) -> None:
    """Keep the pictures that were to be deleted.

    Raises:
        Conflict: they are deleted already.
    """
    lock(session, job)
    over = job.pictures_until is not None and job.pictures_until <= utcnow()
    if over or job.pictures_gone_at is not None:
        raise Conflict("The pictures of this job are already deleted. Send them in a new job.")
    if job.pictures_until is not None:
        job.pictures_until, job.restored_at = None, utcnow()
        audit.note(session, Action.PICTURES_KEPT, actor, f"job {job.id}")


def _note(
    session: Session, action: Action, actor: Actor, job: Job, until: dt.datetime | None
) -> None:
    end = {"until": until.isoformat(timespec="seconds")} if until else {}
    audit.note(session, action, actor, f"job {job.id}", end)


def _end_of_grace(now: dt.datetime, settings: Settings) -> dt.datetime:
    return now + dt.timedelta(days=settings.delete_grace_days)


def end_of_retention(job: Job, days: int) -> dt.datetime | None:
    """Return when a job, or its pictures, will be deleted by the retention rule; None if never."""
    if not days or job.finished_at is None:
        return None
    return (job.restored_at or job.finished_at) + dt.timedelta(days=days)


def expire(session: Session, settings: Settings, most: int) -> int:
    """Delete jobs and pictures whose retention time is over; return how many.

    They get the same grace period as when a person deletes them. For a restored job the time
    starts again.
    """
    now = utcnow()
    jobs = [
        *_due(session, _ended_before(settings.retention_days, now), most),
        *_due(session, _left_half_sent(settings.retention_days, now), most),
    ]
    for job in jobs:
        delete(session, job, settings, audit.SYSTEM)
    pictures = _due(session, _with_pictures(settings.picture_retention_days, now), most)
    for job in pictures:
        delete_pictures(session, job, settings, audit.SYSTEM)
    return len(jobs) + len(pictures)


def _ended_before(days: int, now: dt.datetime) -> Select[Job] | None:
    if not days:
        return None
    before = now - dt.timedelta(days=days)
    old = (Job.finished_at < before, Job.restored_at.is_(None) | (Job.restored_at < before))
    return select(Job).where(Job.deleted_at.is_(None), Job.state.in_(ENDED), *old)


def _left_half_sent(days: int, now: dt.datetime) -> Select[Job] | None:
    """Jobs that were never submitted have no end; their beginning counts."""
    if not days:
        return None
    old = Job.created_at < now - dt.timedelta(days=days)
    return select(Job).where(Job.deleted_at.is_(None), Job.state == JobState.RECEIVING, old)


def _with_pictures(days: int, now: dt.datetime) -> Select[Job] | None:
    old = _ended_before(days, now)
    if old is None:
        return None
    return old.where(Job.pictures_gone_at.is_(None), Job.pictures_until.is_(None))


def _due(session: Session, query: Select[Job] | None, most: int) -> Sequence[Job]:
    """Return some of them in the order of their numbers, passing over what others hold."""
    if query is None:
        return ()
    held = query.order_by(Job.id).limit(most).with_for_update(key_share=True, skip_locked=True)
    return session.scalars(held).all()
