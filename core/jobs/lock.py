"""A job's row is the lock of its life.

Whoever changes what a job is made of holds the row; uploads share it, so that they run side by
side but not past a submit. Every transaction that takes several locks takes them in one order,
job, shards, images, or passes over what is locked: so no two ever wait for each other.
"""

from __future__ import annotations

from sqlalchemy.orm import Session

from core.errors import Conflict
from core.models import Job
from core.states import JobState

LIVE = (JobState.QUEUED, JobState.RUNNING)
_READ_AGAIN = ("state", "submitted_at", "finished_at")


def lock(session: Session, job: Job, *, shared: bool = False) -> None:
    """Lock the job's row until the transaction ends, and read its state again.

    SQLite needs no more than the writing transaction; PostgreSQL's weaker locks are taken, which
    foreign keys to the row do not wait for.
    """
    strength = {"read": True} if shared else {"key_share": True}
    session.refresh(job, _READ_AGAIN, with_for_update=strength)


def require_receiving(session: Session, job: Job, otherwise: str, *, shared: bool = False) -> None:
    """Lock a job that must still receive files. Raises `Conflict`, saying ``otherwise``."""
    lock(session, job, shared=shared)
    if job.state is not JobState.RECEIVING:
        raise Conflict(otherwise)
