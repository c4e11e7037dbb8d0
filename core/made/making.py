"""Anything made on request, such as a report: from the request to the finished bytes.

It has the same lease and fence as a shard. What can be wished for, and what comes of it, is said in
`core.made.reports`, `core.made.explanations` and `core.made.derivatives`.
"""

from __future__ import annotations

from sqlalchemy import ColumnElement, and_, select
from sqlalchemy.orm import Session

from core import leases
from core.db import after_commit, clock, utcnow
from core.errors import LeaseLost
from core.leases import Claim
from core.queue import DERIVE, EXPLAIN, REPORT, Message
from core.states import Lane, MakingState
from core.tables import Derivative, Explanation, Made, Report

# The task that makes each kind, and its lane: nobody watches the page while a report is made.
BELLS: dict[type[Made], tuple[str, Lane]] = {
    Report: (REPORT, Lane.REPORTS),
    Explanation: (EXPLAIN, Lane.INTERACTIVE),
    Derivative: (DERIVE, Lane.INTERACTIVE),
}


def ring(session: Session, kind: type[Made], id_: int) -> None:
    """Ring, after the commit, for something that waits to be made."""
    task, lane = BELLS[kind]
    after_commit(session, Message(task, id_, lane))


def ring_if_waiting(session: Session, wanted: Made) -> None:
    """Ring, after the commit, for what was wished for, unless it is made or being made."""
    if wanted.state is MakingState.WAITING:
        ring(session, type(wanted), wanted.id)


def start_again(session: Session, wanted: Made) -> None:
    """Let it be made once more, because it failed or because what was made is gone."""
    wanted.state, wanted.message, wanted.created_at = MakingState.WAITING, None, utcnow()
    wanted.attempt, wanted.published_at = 0, None
    session.flush()


def finish(session: Session, claim: Claim, blob_key: str, **found: object) -> None:
    """Note where the finished bytes are, and what else its table has a place for.

    Raises:
        LeaseLost: another worker has it now.
    """
    done = leases.write(
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
    leases.write(session, claim, state=MakingState.FAILED, message=message[:400], lease_until=None)


def put_off(session: Session, claim: Claim, message: str, seconds: float) -> None:
    """Let it be made after a pause: an outage is not its fault, so the attempt is not counted.

    ``message`` says to who waits for it what is out of order.
    """
    leases.excuse(session, claim, message=message[:400], lease_until=clock() + seconds)


def take_back(session: Session, kind: type[Made], max_attempts: int) -> int:
    """Let wait again whatever of a kind lost its worker, or fail it for good; return how many."""
    return _take_back(session, kind, leases.lost(kind), max_attempts)


def release(session: Session, kind: type[Made], worker: str, max_attempts: int) -> int:
    """The same at once for what a worker held that is known to be dead."""
    return _take_back(session, kind, and_(leases.held(kind), kind.worker == worker), max_attempts)


def _take_back(
    session: Session, kind: type[Made], lost: ColumnElement[bool], max_attempts: int
) -> int:
    gone = session.scalars(select(kind).where(lost).with_for_update(skip_locked=True)).all()
    for wanted in gone:
        spent = wanted.attempt >= max_attempts
        wanted.state = MakingState.FAILED if spent else MakingState.WAITING
        if spent:
            wanted.message = "Making this crashed the worker every time."
        leases.end(wanted)
        wanted.published_at = None
    return len(gone)
