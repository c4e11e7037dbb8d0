"""The locks: a job's row for every change of the job, and one for all bytes.

Anything that changes the parts of a job holds the row; uploads share it, so that they run side by
side but not past a submit. Every transaction that takes several locks takes them in one order,
job, bytes, shards, images, or passes over what is locked: so no two ever wait for each other.

Equal bytes are kept once, no matter who sends them. A row may begin to rely on bytes that another
row has just released: the answer "these are here already" must not be overtaken by their deletion.
To write a row that relies on bytes, share the lock of the bytes and look into the store. To delete
bytes, hold it alone, look for rows, delete, and commit.
"""

from __future__ import annotations

from sqlalchemy import bindparam, func, select
from sqlalchemy.orm import Session

from core.errors import Conflict, NotFound
from core.states import JobState
from core.tables import Job

LIVE = (JobState.QUEUED, JobState.RUNNING)
# PostgreSQL's weaker locks, which foreign keys to the row do not wait for; SQLite needs no more
# than the writing transaction. Put together once, since every file that comes takes one.
_READ_AGAIN = (
    select(Job).where(Job.id == bindparam("job")).execution_options(populate_existing=True)
)
_SHARED, _HELD = (
    _READ_AGAIN.with_for_update(read=True),
    _READ_AGAIN.with_for_update(key_share=True),
)
# The number of PostgreSQL's lock; SQLite has one writer anyway.
_BYTES = 7_460_002


def lock(session: Session, job: Job, *, shared: bool = False) -> None:
    """Lock a job's row until the transaction ends, and read its state again.

    Raises:
        NotFound: it was deleted meanwhile.
    """
    lock_even_deleted(session, job, shared=shared)
    if job.deleted_at is not None:
        raise NotFound("This job was deleted. Restore it first, on the page of deleted jobs.")


def lock_even_deleted(session: Session, job: Job, *, shared: bool = False) -> None:
    """Lock the job's row as `lock` does, whether the job was deleted or not."""
    session.scalars(_SHARED if shared else _HELD, {"job": job.id}).one()


def require_pictures(job: Job) -> None:
    """Raise `Conflict` for a locked job whose pictures were deleted: nothing can judge it again."""
    if job.pictures_gone_at is not None:
        raise Conflict("The pictures of this job were deleted. Send them again in a new job.")


def require_receiving(session: Session, job: Job, otherwise: str, *, shared: bool = False) -> None:
    """Lock a job that must still receive files.

    Raises:
        Conflict: it receives no more; says ``otherwise``.
        NotFound: it was deleted meanwhile.
    """
    lock(session, job, shared=shared)
    if job.state is not JobState.RECEIVING:
        raise Conflict(otherwise)


def lock_bytes(session: Session, *, shared: bool = False) -> None:
    """Keep taking bytes in and deleting them apart until the transaction ends.

    ``shared``: no bytes are deleted; any number may hold this together. Otherwise no row that
    relies on bytes is written.
    """
    if session.get_bind().dialect.name == "postgresql":
        advisory = func.pg_advisory_xact_lock_shared if shared else func.pg_advisory_xact_lock
        session.execute(select(advisory(_BYTES)))
