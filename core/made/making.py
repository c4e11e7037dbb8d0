"""Anything made on request, such as a report: from the request to the finished bytes.

It has the same lease and fence as a shard. What can be wished for, and what comes of it, is said in
`core.made.reports`, `core.made.explanations` and `core.made.derivatives`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from sqlalchemy import ColumnElement, and_, or_, select, update
from sqlalchemy.orm import Session

from core.db import after_commit, clock, utcnow
from core.errors import LeaseLost
from core.queue import DERIVE, EXPLAIN, REPORT, Message
from core.states import Lane, MakingState
from core.tables import Derivative, Explanation, Made, Report

# The task that makes each kind, and its lane: nobody watches the page while a report is made.
BELLS: dict[type[Made], tuple[str, Lane]] = {
    Report: (REPORT, Lane.REPORTS),
    Explanation: (EXPLAIN, Lane.INTERACTIVE),
    Derivative: (DERIVE, Lane.INTERACTIVE),
}


@dataclass(frozen=True, slots=True)
class Claim:
    """A lease on what is being made. Only the holder of this ``fence`` may hand it over."""

    kind: type[Made]
    id: int
    fence: int

    def __str__(self) -> str:
        return f"{self.kind.__name__} {self.id}"


def ring(session: Session, kind: type[Made], id_: int) -> None:
    """Ring, after the commit, for something that waits to be made."""
    task, lane = BELLS[kind]
    after_commit(session, Message(task, id_, lane))


def ring_if_waiting(session: Session, wanted: Made) -> None:
    """Ring, after the commit, for what was wished for, unless it is made or being made."""
    if wanted.state is MakingState.WAITING:
        ring(session, type(wanted), wanted.id)


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
        message=None,
        **found,
    )
    if not done:
        raise LeaseLost(f"{claim} belongs to another worker now.")


def fail(session: Session, claim: Claim, message: str) -> None:
    """Note that it can't be made, and why."""
    _update(session, claim, state=MakingState.FAILED, message=message[:400], lease_until=None)


def put_off(session: Session, claim: Claim, message: str, seconds: float) -> None:
    """Let it be made after a pause: an outage is not its fault, so the attempt is not counted.

    ``message`` says to who waits for it what is out of order.
    """
    _update(
        session,
        claim,
        attempt=claim.kind.attempt - 1,
        message=message[:400],
        lease_until=clock() + seconds,
    )


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
        if spent:
            one.message = "Making this crashed the worker every time."
        one.fence, one.lease_until, one.published_at = one.fence + 1, None, None
    return len(gone)


def holders(session: Session, kind: type[Made]) -> Sequence[str | None]:
    """Return the names of the workers that make something of a kind."""
    at_work = select(kind.worker).where(kind.state == MakingState.MAKING)
    return session.scalars(at_work.distinct()).all()
