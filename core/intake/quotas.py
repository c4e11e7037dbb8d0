"""How much each person, and all of them together, may keep and ask for.

Every job has a count of the bytes it keeps, so that nobody's images are added up to answer a
request. Equal bytes count once for each person, for the job that was the first to hold them, and
for another one of theirs once that is purged. While a job receives, what was announced counts; when
it is submitted, what was accepted. Duplicates and retries add nothing.

A limit of 0 is none.
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
from lexicon.words import amount

OPEN = (JobState.RECEIVING, JobState.QUEUED, JobState.RUNNING)
# The number of PostgreSQL's lock for counting: two requests at once must not both find room.
_COUNTING = 7_460_003
_REMEDY = (
    "Delete jobs that are no longer needed, for good on the page of deleted jobs if it can't wait, "
    "or ask an administrator for more room."
)


@dataclass(frozen=True, slots=True)
class Usage:
    """What is kept, in bytes, and how many jobs are open; and what is allowed, 0 if anything is."""

    bytes: int
    jobs: int
    bytes_allowed: int
    jobs_allowed: int

    @property
    def room(self) -> int | None:
        """Bytes that may still be added; None if there is no limit."""
        return max(0, self.bytes_allowed - self.bytes) if self.bytes_allowed else None


def of_person(session: Session, user_id: int, settings: Settings) -> Usage:
    """Return what one person keeps and has open."""
    allowed = (settings.quota_person_bytes, settings.quota_person_jobs)
    return Usage(_bytes(session, user_id), _open_jobs(session, user_id), *allowed)


def of_laboratory(session: Session, settings: Settings) -> Usage:
    """Return what all people together keep and have open."""
    allowed = (settings.quota_laboratory_bytes, settings.quota_laboratory_jobs)
    return Usage(_bytes(session, None), _open_jobs(session, None), *allowed)


def bytes_by_person(session: Session) -> dict[int, int]:
    """Return how many bytes each person keeps, for those who keep any."""
    sums = select(Job.owner_id, func.sum(Job.bytes)).where(Job.bytes > 0).group_by(Job.owner_id)
    return {owner_id: int(total) for owner_id, total in session.execute(sums)}


@contextmanager
def bounded(session: Session, job: Job, settings: Settings) -> Iterator[None]:
    """Let the body add files to a job, and refuse all it did if there is no room for them.

    Raises:
        QuotaExceeded: they would exceed what its owner, or all together, may keep.
    """
    before = job.bytes
    yield
    if job.bytes > before:
        _require_room(session, job, settings, job.bytes - before)


def _require_room(session: Session, job: Job, settings: Settings, added: int) -> None:
    limits = (
        (job.owner_id, settings.quota_person_bytes, "one person"),
        (None, settings.quota_laboratory_bytes, "all people together"),
    )
    if any(allowed for _, allowed, _ in limits):
        _count_alone(session)
    for owner_id, allowed, whose in limits:
        kept = _bytes(session, owner_id) if allowed else 0
        if kept > allowed:
            raise QuotaExceeded(_no_room(kept - added, allowed, added, whose))


def require_room_for(session: Session, job: Job, size: int, settings: Settings) -> None:
    """Refuse an archive that can't fit before it is sent, all that its job holds being in it again.

    Raises:
        QuotaExceeded: there is not so much room.
    """
    person = of_person(session, job.owner_id, settings)
    laboratory = of_laboratory(session, settings)
    for usage, whose in ((person, "one person"), (laboratory, "all people together")):
        if usage.room is not None and size > usage.room + job.bytes:
            raise QuotaExceeded(_no_room(usage.bytes, usage.bytes_allowed, size, whose))


def require_turn(session: Session, owner_id: int, settings: Settings) -> None:
    """Refuse the job that was just opened, or is about to run again, if too many are open.

    Raises:
        TooManyJobs: one more is not allowed.
    """
    limits = (
        (owner_id, settings.quota_person_jobs, "one person"),
        (None, settings.quota_laboratory_jobs, "all people together"),
    )
    if any(allowed for _, allowed, _ in limits):
        session.flush()
        _count_alone(session)
    for person, allowed, whose in limits:
        if allowed and _open_jobs(session, person) > allowed:
            raise TooManyJobs(
                f"{allowed:,} jobs are open already, as many as {whose} may have. Submit those "
                "that still receive files, wait for others to end, or cancel some."
            )


def _no_room(kept: int, allowed: int, added: int, whose: str) -> str:
    return (
        f"There is no room for these {amount(added)}: {amount(kept)} of the {amount(allowed)} that "
        f"{whose} may keep are in use. {_REMEDY}"
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
    """Let others wait who would count too, until this transaction ends, which is about to."""
    session.flush()
    if session.get_bind().dialect.name == "postgresql":
        session.execute(select(func.pg_advisory_xact_lock(_COUNTING)))
