"""What is made when somebody asks for it, a report or an explanation: from the wish to its bytes.

It has the same lease and fence as a shard. What can be wished for, and what comes of it, is said in
`core.reports` and `core.explanations`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from sqlalchemy import ColumnElement, and_, or_, select, update
from sqlalchemy.orm import Session

from core.db import clock, utcnow
from core.errors import LeaseLost
from core.models import Explanation, Made, Report
from core.queue import EXPLAIN, REPORT, TaskQueue
from core.states import Lane, MakingState

# Of each kind the task that makes it, and its lane: somebody sits and waits for an explanation.
BELLS: dict[type[Made], tuple[str, Lane]] = {
    Report: (REPORT, Lane.REPORTS),
    Explanation: (EXPLAIN, Lane.INTERACTIVE),
}


@dataclass(frozen=True, slots=True)
class Claim:
    """A lease on what is being made. Only the holder of this ``fence`` may hand it over."""

    kind: type[Made]
    id: int
    fence: int

    def __str__(self) -> str:
        return f"{self.kind.__name__} {self.id}"


def ring(queue: TaskQueue, kind: type[Made], id_: int) -> None:
    """Ring for something that waits to be made, after the commit. Raises `QueueUnavailable`."""
    task, lane = BELLS[kind]
    queue.ring(task, id_, lane)


def claim(
    session: Session, kind: type[Made], id_: int, worker: str, seconds: float
) -> Claim | None:
    """Take it for ``seconds``, or return None if it is made or another's."""
    fence = session.scalar(
        update(kind)
        .where(
            kind.id == id_,
            or_(
                kind.state == MakingState.WAITING,
                and_(kind.state == MakingState.MAKING, kind.lease_until < clock()),
            ),
        )
        .values(
            state=MakingState.MAKING,
            worker=worker,
            attempt=kind.attempt + 1,
            fence=kind.fence + 1,
            lease_until=clock() + seconds,
        )
        .returning(kind.fence)
        .execution_options(synchronize_session=False)
    )
    return Claim(kind, id_, fence) if fence is not None else None


def renew(session: Session, claim: Claim, seconds: float) -> bool:
    """Lengthen the lease; False if it is no longer ours."""
    return _update(session, claim, lease_until=clock() + seconds)


def finish(session: Session, claim: Claim, blob_key: str, **found: object) -> None:
    """Note where the finished bytes are, and what else its table has a place for.

    Raises:
        LeaseLost: another worker has it now.
    """
    done = _update(
        session,
        claim,
        state=MakingState.READY,
        blob_key=blob_key,
        finished_at=utcnow(),
        lease_until=None,
        **found,
    )
    if not done:
        raise LeaseLost(f"{claim} belongs to another worker now.")


def fail(session: Session, claim: Claim, message: str) -> None:
    """Note that it can't be made, and why."""
    _update(session, claim, state=MakingState.FAILED, message=message[:400], lease_until=None)


def _update(session: Session, claim: Claim, **values: object) -> bool:
    updated = session.scalar(
        update(claim.kind)
        .where(claim.kind.id == claim.id, claim.kind.fence == claim.fence)
        .where(claim.kind.state == MakingState.MAKING)
        .values(**values)
        .returning(claim.kind.id)
        .execution_options(synchronize_session=False)
    )
    return updated is not None


def take_back(session: Session, kind: type[Made], max_attempts: int) -> int:
    """Let wait again whatever of a kind lost its worker, or fail it for good; return how many."""
    return _take_back(session, kind, kind.lease_until < clock(), max_attempts)


def release(session: Session, kind: type[Made], worker: str, max_attempts: int) -> int:
    """The same at once for what a worker held that is known to be dead."""
    return _take_back(session, kind, kind.worker == worker, max_attempts)


def _take_back(
    session: Session, kind: type[Made], lost: ColumnElement[bool], max_attempts: int
) -> int:
    gone = session.scalars(
        select(kind).where(kind.state == MakingState.MAKING, lost).with_for_update(skip_locked=True)
    ).all()
    for one in gone:
        spent = one.attempt >= max_attempts
        one.state = MakingState.FAILED if spent else MakingState.WAITING
        one.message = "Making this stopped the worker each time." if spent else None
        one.fence, one.lease_until, one.published_at = one.fence + 1, None, None
    return len(gone)


def holders(session: Session, kind: type[Made]) -> Sequence[str | None]:
    """Return the names of the workers that make something of a kind."""
    at_work = select(kind.worker).where(kind.state == MakingState.MAKING)
    return session.scalars(at_work.distinct()).all()
