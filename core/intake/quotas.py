"""How much each person, and everyone together, may keep and have open.

Every job counts the bytes it keeps, so that no request has to add up images. Equal bytes count once
per person: for the first job that holds them and, once that is purged, for another of their jobs.
While a job receives, the announced bytes count; once it is submitted, the accepted ones. Duplicates
and retries add nothing.

A limit of 0 means no limit.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from core.errors import QuotaExceeded, TooManyJobs
from core.settings import Settings
from core.states import JobState
from core.tables import Job
from lexicon.words import amount, counted

OPEN = (JobState.RECEIVING, JobState.QUEUED, JobState.RUNNING)
# PostgreSQL's lock number for counting: two requests at once must not use the same room.
_COUNTING = 7_460_003
_REMEDY = (
    "Delete jobs that are no longer needed (to free the space at once, delete them for good on the "
    "page of deleted jobs), or ask an administrator for more space."
)


@dataclass(frozen=True, slots=True)
class Usage:
    """The bytes kept and the number of open jobs, and the limits of both; 0 means no limit."""

    bytes: int
    jobs: int
    bytes_allowed: int
    jobs_allowed: int

    @property
    def room(self) -> int | None:
        """The bytes that may still be added; None if there is no limit."""
        return max(0, self.bytes_allowed - self.bytes) if self.bytes_allowed else None


def of_person(session: Session, user_id: int, settings: Settings) -> Usage:
    """Return what one person keeps and has open."""
    allowed = (settings.quota_person_bytes, settings.quota_person_jobs)
    return Usage(_bytes(session, user_id), _open_jobs(session, user_id), *allowed)


def of_laboratory(session: Session, settings: Settings) -> Usage:
    """Return what everyone together keeps and has open."""
    allowed = (settings.quota_laboratory_bytes, settings.quota_laboratory_jobs)
    return Usage(_bytes(session, None), _open_jobs(session, None), *allowed)


def bytes_by_person(session: Session) -> dict[int, int]:
    """Return how many bytes each person keeps, leaving out those who keep none."""
    sums = select(Job.owner_id, func.sum(Job.bytes)).where(Job.bytes > 0).group_by(Job.owner_id)
    return {owner_id: int(total) for owner_id, total in session.execute(sums)}


@contextmanager
def bounded(session: Session, job: Job, settings: Settings) -> Iterator[None]:
    """Let the body add files to a job, and refuse them all if there is no room for them.

    Raises:
        QuotaExceeded: they would exceed what the owner, or everyone together, may keep.
    """
    before = job.bytes
    yield
    if job.bytes > before:
        _require_room(session, job, settings, job.bytes - before)


def _require_room(session: Session, job: Job, settings: Settings, added: int) -> None:
    limits = (
        (job.owner_id, settings.quota_person_bytes, "one person"),
        (None, settings.quota_laboratory_bytes, "everyone together"),
    )
    if any(allowed for _, allowed, _ in limits):
        _count_alone(session)
    for owner_id, allowed, whose in limits:
        in_use = _bytes(session, owner_id) if allowed else 0
        if in_use > allowed:
            raise QuotaExceeded(_no_room(in_use - added, allowed, added, whose))


def require_room_for(session: Session, job: Job, size: int, settings: Settings) -> None:
    """Refuse an archive that can't fit before it is sent. Files its job has already count once.

    Raises:
        QuotaExceeded: there is not enough room.
    """
    person = of_person(session, job.owner_id, settings)
    laboratory = of_laboratory(session, settings)
    for usage, whose in ((person, "one person"), (laboratory, "everyone together")):
        if usage.room is not None and size > usage.room + job.bytes:
            raise QuotaExceeded(_no_room(usage.bytes, usage.bytes_allowed, size, whose))


def require_turn(session: Session, owner_id: int, settings: Settings) -> None:
    """Refuse the job that was just opened, or is about to run again, if too many are open.

    Raises:
        TooManyJobs: one more is not allowed.
    """
    limits = (
        (owner_id, settings.quota_person_jobs, "one person"),
        (None, settings.quota_laboratory_jobs, "everyone together"),
    )
    if any(allowed for _, allowed, _ in limits):
        session.flush()
        _count_alone(session)
    for person, allowed, whose in limits:
        if allowed and _open_jobs(session, person) > allowed:
            raise TooManyJobs(
                f"The limit of {counted(allowed, 'open job')} for {whose} is reached. Submit those "
                "that still receive files, wait for others to end, or cancel some."
            )


def _no_room(in_use: int, allowed: int, added: int, whose: str) -> str:
    return (
        f"There is no space for {amount(added)} more: {whose} may keep {amount(allowed)}, and "
        f"{amount(in_use)} are in use. {_REMEDY}"
    )


def _bytes(session: Session, owner_id: int | None) -> int:
    total = select(func.coalesce(func.sum(Job.bytes), 0))
    if owner_id is not None:
        total = total.where(Job.owner_id == owner_id)
    return int(session.scalar(total) or 0)


def _open_jobs(session: Session, owner_id: int | None) -> int:
    count = select(func.count()).select_from(Job)
    count = count.where(Job.state.in_(OPEN), Job.deleted_at.is_(None))
    if owner_id is not None:
        count = count.where(Job.owner_id == owner_id)
    return session.scalar(count) or 0


def _count_alone(session: Session) -> None:
    """Make other counting requests wait until this transaction ends, which is soon."""
    session.flush()
    if session.get_bind().dialect.name == "postgresql":
        session.execute(select(func.pg_advisory_xact_lock(_COUNTING)))
