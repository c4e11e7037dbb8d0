"""Which job a person's bytes are counted for: equal bytes once, for the first that holds them."""

from __future__ import annotations

from collections.abc import Collection, Sequence

from sqlalchemy import ColumnElement, func, select, update
from sqlalchemy.orm import Session

from core.db import in_parts
from core.tables import Image, Job


def holds_bytes() -> ColumnElement[bool]:
    """Whether an image's row needs its bytes in the store."""
    return Image.format.is_not(None)


def count(session: Session, job: Job) -> None:
    """Count for a job what its owner holds in no earlier one, when it is submitted.

    Later jobs that were submitted before it have counted the same bytes, and are counted anew.
    """
    job.bytes, later = _first_held_by(session, job)
    if later:
        counted = select(Job).where(Job.id.in_(later), Job.submitted_at.is_not(None))
        # In the order in which all lock them; what is purged meanwhile keeps nothing.
        ordered = counted.where(Job.purged_at.is_(None)).order_by(Job.id)
        for other in session.scalars(ordered.with_for_update(key_share=True)).all():
            other.bytes, _ = _first_held_by(session, other)


def _first_held_by(session: Session, job: Job) -> tuple[int, set[int]]:
    """Return how many bytes a job keeps that its owner holds in no earlier one, and the later jobs
    that hold some of them."""
    own = select(Image.sha256, Image.size).where(Image.job_id == job.id, holds_bytes())
    sizes = {sha256: size for sha256, size in session.execute(own) if sha256}
    later: set[int] = set()
    for part in in_parts(sorted(sizes)):
        for sha256, holder, _ in _holders(session, job.owner_id, part):
            if holder < job.id:
                sizes.pop(sha256, None)
            elif holder > job.id:
                later.add(holder)
    return sum(sizes.values()), later


def hand_on(session: Session, job: Job, hashes: Collection[str]) -> None:
    """Count these of a job's bytes, of which it is about to let go, for the next job that holds
    them, if they were counted for this one."""
    for part in in_parts(sorted(hashes)):
        heirs: dict[int, int] = {}
        holders: dict[str, list[tuple[int, int]]] = {}
        for sha256, job_id, size in _holders(session, job.owner_id, part):
            holders.setdefault(sha256, []).append((job_id, size))
        for first, *others in map(sorted, holders.values()):
            if first[0] == job.id and others:
                heir, size = others[0]
                heirs[heir] = heirs.get(heir, 0) + size
        for heir in sorted(heirs):
            session.execute(
                update(Job).where(Job.id == heir).values(bytes=Job.bytes + heirs[heir]),
                execution_options={"synchronize_session": False},
            )


def _holders(
    session: Session, owner_id: int, hashes: Sequence[str]
) -> Sequence[tuple[str, int, int]]:
    """Return hash, job and size for each of a person's jobs that holds one of these hashes."""
    rows = session.execute(
        select(Image.sha256, Image.job_id, func.min(Image.size))
        .join(Job, Job.id == Image.job_id)
        .where(Job.owner_id == owner_id, Image.sha256.in_(hashes), holds_bytes())
        .group_by(Image.sha256, Image.job_id)
    )
    return [(sha256 or "", job_id, size) for sha256, job_id, size in rows]
