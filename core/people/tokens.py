"""Tokens: secrets that stand for a person, such as an API token or a sign-in link.

Only the SHA-256 of a secret is kept, so it can be read once, when it is made.
"""

from __future__ import annotations

import datetime as dt
import hashlib
import secrets

from sqlalchemy import bindparam, delete, or_, select, update
from sqlalchemy.orm import Session, joinedload

from core import audit
from core.audit import Action, Actor
from core.db import utcnow
from core.errors import Conflict, NotFound
from core.states import API_TOKENS, TokenKind
from core.tables import Token, User
from lexicon.names import one_line

_KNOWN_TOKEN = (
    select(Token)
    .where(Token.digest == bindparam("digest"), Token.kind.in_(bindparam("kinds", expanding=True)))
    .options(joinedload(Token.user).joinedload(User.roles))
)


def make_api_token(
    session: Session, actor: Actor, person: User, name: str, lifetime: dt.timedelta | None = None
) -> str:
    """Make an API token for a person, with its entry in the audit trail; return it.

    Raises:
        Conflict: the person is deactivated.
    """
    secret = issue(session, person, TokenKind.API, one_line(name) or "Token", lifetime)
    detail = {"hint": secret[:8]}
    audit.note(session, Action.TOKEN_MADE, actor, f"person {person.id}", detail)
    return secret


def revoke_api_token(session: Session, actor: Actor, person: User, token_id: int) -> None:
    """Forget one of a person's API tokens; it opens nothing from now on. Raises `NotFound`."""
    revoked = session.scalar(
        delete(Token)
        .where(Token.id == token_id, Token.user_id == person.id, Token.kind == TokenKind.API)
        .returning(Token.id)
    )
    if revoked is None:
        raise NotFound("There is no such token, or it is not yours.")
    audit.note(session, Action.TOKEN_REVOKED, actor, f"token {token_id}")


def issue(
    session: Session, user: User, kind: TokenKind, name: str, lifetime: dt.timedelta | None = None
) -> str:
    """Make a token and return it. It can't be read again, since only its hash is kept.

    Raises:
        Conflict: the person is deactivated; a token made now would work once they return.
    """
    if not user.active:
        raise Conflict(f"{user.email} is deactivated. Activate them first.")
    prefix = "hv_" if kind in API_TOKENS else ""
    secret = prefix + secrets.token_urlsafe(32)
    session.add(
        Token(
            user_id=user.id,
            kind=kind,
            name=name[:120],
            digest=digest_of(secret),
            hint=secret[:8],
            expires_at=utcnow() + lifetime if lifetime else None,
        )
    )
    session.flush()
    return secret


def find(session: Session, secret: str, *kinds: TokenKind) -> Token | None:
    """Return the token with its active person, or None if it is unknown or has expired."""
    given = {"digest": digest_of(secret), "kinds": kinds}
    token = session.scalars(_KNOWN_TOKEN, given).unique().first()
    if token is None or (token.expires_at and token.expires_at < utcnow()):
        return None
    return token if token.user.active else None


def use_up(session: Session, secret: str, kind: TokenKind) -> User | None:
    """Return the person a token belongs to and use it up. None if it is unknown or expired."""
    token = find(session, secret, kind)
    if token is None:
        return None
    gone = session.scalar(delete(Token).where(Token.id == token.id).returning(Token.id))
    return token.user if gone is not None else None


def note_use(session: Session, token: Token) -> None:
    """Record when a token was last used, to the minute, so that few requests need a write."""
    minute_ago = utcnow() - dt.timedelta(minutes=1)
    session.execute(
        update(Token)
        .where(Token.id == token.id, or_(Token.used_at.is_(None), Token.used_at < minute_ago))
        .values(used_at=utcnow())
    )


def is_stale(token: Token) -> bool:
    """Return whether `note_use` would write."""
    return token.used_at is None or utcnow() - token.used_at > dt.timedelta(minutes=1)


def digest_of(secret: str) -> str:
    """Return the hash under which a secret is kept. Ours are random, so SHA-256 is enough."""
    return hashlib.sha256(secret.encode()).hexdigest()


def revoke_all(session: Session, user: User, *kinds: TokenKind) -> None:
    """Delete a person's tokens of these kinds; they stop working at once."""
    session.execute(delete(Token).where(Token.user_id == user.id, Token.kind.in_(kinds)))
