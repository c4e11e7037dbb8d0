"""The browsers in which people are signed in: opened, looked up, and ended."""

from __future__ import annotations

import datetime as dt
import secrets
from dataclasses import dataclass

from sqlalchemy import bindparam, delete, select, update
from sqlalchemy.orm import Session, joinedload

from core.db import utcnow
from core.people.tokens import digest_of
from core.settings import Settings
from core.tables import SignIn, User

# How long a sign-in is kept after it ended, to recognise a familiar address.
_REMEMBERED = dt.timedelta(days=90)
_MINUTE = dt.timedelta(minutes=1)
# Every request runs this query, so it is built once.
_FIND = (
    select(SignIn)
    .where(
        SignIn.digest == bindparam("digest"),
        SignIn.ended_at.is_(None),
        SignIn.created_at > bindparam("began_after"),
        SignIn.seen_at > bindparam("seen_after"),
    )
    .options(joinedload(SignIn.user).joinedload(User.roles))
)


@dataclass(frozen=True, slots=True)
class SignInLimits:
    """How long a sign-in lasts without activity, and how long at most."""

    idle: dt.timedelta
    lifetime: dt.timedelta

    @classmethod
    def of(cls, settings: Settings) -> SignInLimits:
        """Return the limits from the settings."""
        return cls(
            dt.timedelta(minutes=settings.session_idle_minutes),
            dt.timedelta(hours=settings.session_hours),
        )


def begin(session: Session, user: User, how: str, address: str, browser: str) -> tuple[str, int]:
    """Record a sign-in; return the secret for the cookie, and the sign-in's id."""
    past = utcnow() - _REMEMBERED
    session.execute(delete(SignIn).where(SignIn.user_id == user.id, SignIn.created_at < past))
    secret = secrets.token_urlsafe(32)
    sign_in = SignIn(
        user_id=user.id,
        digest=digest_of(secret),
        how=how,
        address=address[:64],
        browser=browser[:200],
    )
    session.add(sign_in)
    session.flush()
    return secret, sign_in.id


def find(session: Session, secret: str, limits: SignInLimits) -> SignIn | None:
    """Return the live sign-in with this secret, its active person and roles loaded."""
    now = utcnow()
    values = {
        "digest": digest_of(secret),
        "began_after": now - limits.lifetime,
        "seen_after": now - limits.idle,
    }
    sign_in = session.scalars(_FIND, values).unique().first()
    return sign_in if sign_in and sign_in.user.active else None


def of_person(session: Session, user_id: int, limits: SignInLimits) -> list[SignIn]:
    """Return the places where a person is signed in, newest first."""
    now = utcnow()
    query = select(SignIn).where(
        SignIn.user_id == user_id,
        SignIn.ended_at.is_(None),
        SignIn.created_at > now - limits.lifetime,
        SignIn.seen_at > now - limits.idle,
    )
    return list(session.scalars(query.order_by(SignIn.created_at.desc(), SignIn.id.desc())))


def is_stale(sign_in: SignIn) -> bool:
    """Return whether `seen_at` is due for an update; once a minute is enough."""
    return utcnow() - sign_in.seen_at > _MINUTE


def note_presence(session: Session, sign_in_id: int) -> None:
    """Record that the person is active now."""
    session.execute(update(SignIn).where(SignIn.id == sign_in_id).values(seen_at=utcnow()))


def end(session: Session, user_id: int, sign_in_id: int) -> bool:
    """End one sign-in; False if it has already ended or belongs to another person."""
    ended = session.scalar(
        update(SignIn)
        .where(SignIn.id == sign_in_id, SignIn.user_id == user_id, SignIn.ended_at.is_(None))
        .values(ended_at=utcnow())
        .returning(SignIn.id)
    )
    return ended is not None


def end_all(session: Session, user_id: int, but: int | None = None) -> None:
    """End all sign-ins of a person, perhaps all ``but`` the one in use."""
    going_on = update(SignIn).where(SignIn.user_id == user_id, SignIn.ended_at.is_(None))
    if but is not None:
        going_on = going_on.where(SignIn.id != but)
    session.execute(going_on.values(ended_at=utcnow()))


def forget(session: Session, user_id: int) -> None:
    """Delete all records of where a person signed in."""
    session.execute(delete(SignIn).where(SignIn.user_id == user_id))


def was_at(session: Session, user_id: int, address: str) -> bool:
    """Return whether a person has signed in from this address lately."""
    query = select(SignIn.id).where(SignIn.user_id == user_id, SignIn.address == address)
    recent = query.where(SignIn.created_at > utcnow() - _REMEMBERED)
    return session.scalar(recent.limit(1)) is not None
