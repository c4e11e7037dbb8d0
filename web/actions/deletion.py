"""Deleting jobs and their pictures, and undoing it, for both the pages and the API."""

from __future__ import annotations

import datetime as dt
from typing import cast

from sqlalchemy.orm import Session

from contract.jobs import DeletedJob, DeletedJobPage
from core import jobs
from core.errors import NotFound
from core.people import accounts
from core.tables import Job, User
from web.actions.audit import actor
from web.listing.cursors import after_job, read_job_cursor
from web.security.caller import person
from web.wiring import wired

PAGE = 50


def delete(job_id: int, *, at_once: bool) -> DeletedJob:
    """Delete a job this person may handle; with ``at_once`` it can't be restored.

    Raises `NotFound` or `NotAllowed`. Deleting a deleted job again is no error.
    """
    wiring = wired()
    with wiring.database.writing() as session:
        job = _find(session, person(), job_id)
        jobs.delete(session, job, wiring.settings, actor(), at_once=at_once)
        return _summarise(job)


def _find(session: Session, user: User, job_id: int) -> Job:
    try:
        return accounts.find_deleted_job(session, user, job_id)
    except NotFound:
        return accounts.find_job_to_handle(session, user, job_id)


def restore(job_id: int) -> None:
    """Restore a deleted job. Raises `NotFound`, or `Conflict` if it is too late."""
    with wired().database.writing() as session:
        job = accounts.find_deleted_job(session, person(), job_id)
        jobs.restore(session, job, actor())


def delete_pictures(job_id: int, *, at_once: bool) -> None:
    """Delete a job's pictures and keep its results.

    Raises `NotFound`, `NotAllowed`, or `Conflict` if the job still needs them.
    """
    wiring = wired()
    with wiring.database.writing() as session:
        job = accounts.find_job_to_handle(session, person(), job_id)
        jobs.delete_pictures(session, job, wiring.settings, actor(), at_once=at_once)


def keep_pictures(job_id: int) -> None:
    """Keep a job's pictures after all.

    Raises `NotFound`, `NotAllowed`, or `Conflict` if it is too late.
    """
    with wired().database.writing() as session:
        job = accounts.find_job_to_handle(session, person(), job_id)
        jobs.keep_pictures(session, job, actor())


def page(before: str) -> DeletedJobPage:
    """Return up to `PAGE` deleted jobs that follow the cursor ``before``.

    Raises:
        BadInput: the cursor can't be read.
    """
    cursor = read_job_cursor(before) if before else None
    with wired().database.reading() as session:
        deleted, more = jobs.page_of_jobs(session, accounts.deleted_jobs(person()), PAGE, cursor)
        return DeletedJobPage(
            jobs=[_summarise(job) for job in deleted],
            next=after_job(deleted[-1]) if more else None,
        )


def _summarise(job: Job) -> DeletedJob:
    # Both are set when a job is deleted.
    deleted_at, purge_at = cast(dt.datetime, job.deleted_at), cast(dt.datetime, job.purge_at)
    return DeletedJob(
        id=job.id,
        name=job.name,
        reference=job.reference,
        owner=job.owner.email,
        created_at=job.created_at.isoformat(),
        deleted_at=deleted_at.isoformat(),
        restorable_until=purge_at.isoformat(),
        bytes=job.bytes,
    )
