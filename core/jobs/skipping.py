"""Files skipped among a job's images: they are not part of the job, but are listed with it."""

from __future__ import annotations

from collections.abc import Sequence

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from core.db import insert_new_rows
from core.jobs.lock import require_receiving
from core.tables import Job, Skipped
from lexicon.folders import Skip
from lexicon.names import clean_name

_TOO_LATE = "This job no longer receives files. Start a new one."


def skip(session: Session, job: Job, skips: Sequence[Skip], most: int) -> None:
    """Record skipped files, each name once, and at most ``most`` per job.

    Raises:
        Conflict: the job no longer receives files.
    """
    if not skips:
        return
    require_receiving(session, job, _TOO_LATE)
    room = max(0, most - count_skipped(session, job.id))
    rows = [{"job_id": job.id, "name": clean_name(one.name), "reason": one.reason} for one in skips]
    insert_new_rows(session, Skipped, rows[:room])


def skipped(session: Session, job: Job, size: int, after: int = 0) -> list[tuple[int, Skip]]:
    """Return up to ``size`` skipped files whose id is beyond ``after``, each with its id."""
    rows = session.execute(
        select(Skipped.id, Skipped.name, Skipped.reason)
        .where(Skipped.job_id == job.id, Skipped.id > after)
        .order_by(Skipped.id)
        .limit(size)
    )
    return [(id_, Skip(name, reason)) for id_, name, reason in rows]


def count_skipped(session: Session, job_id: int) -> int:
    """Return how many files of a job were skipped."""
    count = select(func.count()).select_from(Skipped).where(Skipped.job_id == job_id)
    return session.scalar(count) or 0
