"""A lease: the right to work on one row. One of many workers gets it, and loses it when it dies.

Shards and what is made on demand are taken, renewed and taken back alike. One conditional UPDATE
decides, so that of any number of deliveries one worker wins. It raises the row's ``fence``: who
held the row before can write nothing to it any more, since all that a holder writes goes through
`write`. Times are by the database's clock.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from functools import cache
from typing import Any

from sqlalchemy import ColumnElement, Update, and_, bindparam, or_, select, update
from sqlalchemy.orm import Session

from core.db import clock
from core.states import Lane, MakingState, ShardState
from core.tables import Leased, Shard


@dataclass(frozen=True, slots=True)
class Claim:
    """A lease on a row. Only the holder of this ``fence`` may write to it."""

    kind: type[Leased]
    id: int
    fence: int

    def __str__(self) -> str:
        return f"{self.kind.__name__} {self.id}"


def free(kind: type[Leased]) -> ColumnElement[bool]:
    """Whether a row may be taken: it waits, or its lease has run out."""
    waiting, held = _states(kind)
    return or_(kind.state.in_(waiting), and_(kind.state == held, kind.lease_until < clock()))


def held(kind: type[Leased]) -> ColumnElement[bool]:
    """Whether some worker has a lease on a row."""
    is_held = kind.state == _states(kind)[1]
    # The lanes are named for the index, which begins with them.
    return and_(Shard.lane.in_(tuple(Lane)), is_held) if kind is Shard else is_held


def lost(kind: type[Leased]) -> ColumnElement[bool]:
    """Whether a lease ran out without the work being handed over."""
    return and_(held(kind), kind.lease_until < clock())


def take(session: Session, kind: type[Leased], id_: int, worker: str, seconds: float) -> int | None:
    """Take a row for ``seconds``; return the fence, or None if it is done or another's."""
    values = {"row": id_, "by": worker, "seconds": seconds}
    return session.execute(_take(kind), values).scalar()


@cache
def _take(kind: type[Leased]) -> Update:
    """Build the statement once: it runs for every shard."""
    statement = (
        update(kind)
        .where(kind.id == bindparam("row"), free(kind))
        .values(
            state=_states(kind)[1],
            worker=bindparam("by"),
            attempt=kind.attempt + 1,
            fence=kind.fence + 1,
            lease_until=clock() + bindparam("seconds"),
        )
    )
    return statement.returning(kind.fence).execution_options(synchronize_session=False)


def write(session: Session, claim: Claim, *where: ColumnElement[bool], **values: Any) -> bool:
    """Set columns of the row, if the lease holds and ``where`` is true; say whether."""
    kind = claim.kind
    row = session.scalar(
        update(kind)
        .where(kind.id == claim.id, kind.fence == claim.fence, kind.state == _states(kind)[1])
        .where(*where)
        .values(**values)
        .returning(kind.id)
        .execution_options(synchronize_session=False)
    )
    return row is not None


def renew(session: Session, claim: Claim, seconds: float) -> bool:
    """Lengthen the lease; False if it is no longer ours."""
    return write(session, claim, lease_until=clock() + seconds)


def excuse(session: Session, claim: Claim, **values: Any) -> None:
    """Take back the attempt: an outage is not the fault of what is worked on.

    Without a ``lease_until`` among ``values``, the lease runs out, so that the next try comes after
    a pause.
    """
    write(session, claim, claim.kind.attempt > 0, attempt=claim.kind.attempt - 1, **values)


def end(row: Leased) -> None:
    """End the lease on a locked row; its holder can write nothing from now on."""
    row.fence, row.lease_until = row.fence + 1, None


def holders(session: Session, kind: type[Leased]) -> Sequence[str | None]:
    """Return the names of the workers that have a lease on a row of a kind."""
    return session.scalars(select(kind.worker).where(held(kind)).distinct()).all()


def _states(kind: type[Leased]) -> tuple[tuple[StrEnum, ...], StrEnum]:
    """Return the states in which a row may be taken, and the one in which it is held."""
    if kind is Shard:
        return (ShardState.WAITING, ShardState.PUBLISHED), ShardState.LEASED
    return (MakingState.WAITING,), MakingState.MAKING
