"""Who makes this request, known by a browser's session or by an API token."""

from __future__ import annotations

import logging
from dataclasses import dataclass

from flask import g, request
from flask import session as cookie
from sqlalchemy.exc import OperationalError

from core.audit import Actor
from core.people import sign_ins, tokens
from core.people.sign_ins import SignInLimits
from core.states import API_TOKENS
from core.tables import SignIn, Token, User
from web.errors import NotSignedIn
from web.wiring import wired

COOKIE_KEY = "sign_in"
_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Caller:
    """The person, detached and with roles loaded, and the sign-in or token they used."""

    user: User
    by: SignIn | Token

    @property
    def sign_in_id(self) -> int | None:
        """The sign-in of this browser; None for a program with a token."""
        return self.by.id if isinstance(self.by, SignIn) else None

    @property
    def actor(self) -> Actor:
        """The person as the audit trail names them."""
        kind = "session" if isinstance(self.by, SignIn) else "token"
        return actor_of(self.user, f"{kind} {self.by.id}")


def actor_of(user: User, session: str = "") -> Actor:
    """Return the person as the actor of this request, for the audit trail."""
    return Actor(user.email, user.id, request.remote_addr or "", session, g.request_id)


def stranger() -> Actor:
    """Return the actor of a request whose sender is unknown, for the audit trail."""
    return Actor("stranger", address=request.remote_addr or "", request=g.request_id)


def caller() -> Caller:
    """Return who makes this request. Raises `NotSignedIn`."""
    who = caller_or_none()
    if who is None:
        raise NotSignedIn("Please sign in.")
    return who


def caller_or_none() -> Caller | None:
    """Return who makes this request, looked up once per request; None for a stranger."""
    if "caller" not in g:
        secret = bearer_secret()
        # If a request carries a token, only the token counts, whatever cookie comes with it.
        g.caller = _by_cookie() if secret is None else _by_token(secret)
    who: Caller | None = g.caller
    return who


def forget_caller() -> None:
    """Forget the caller, who has just signed in or out, so that they are looked up again."""
    g.pop("caller", None)


def person() -> User:
    """Return who makes this request, detached from any session. Raises `NotSignedIn`."""
    return caller().user


def bearer_secret() -> str | None:
    """Return the token that this request to the API carries, if any."""
    scheme, _, secret = request.headers.get("Authorization", "").partition(" ")
    if scheme.lower() != "bearer" or not request.path.startswith("/api/v1/"):
        return None
    return secret.strip()


def _by_token(secret: str) -> Caller | None:
    database = wired().database
    with database.reading() as session:
        token = tokens.find(session, secret, *API_TOKENS)
    if token is None:
        return None
    if tokens.is_stale(token):
        try:
            with database.writing() as session:
                tokens.note_use(session, token)
        except OperationalError:
            _log.warning("The database is busy: the use of token %d is not noted.", token.id)
    return Caller(token.user, token)


def _by_cookie() -> Caller | None:
    secret = cookie.get(COOKIE_KEY)
    if not isinstance(secret, str):
        return None
    wiring = wired()
    with wiring.database.reading() as session:
        sign_in = sign_ins.find(session, secret, SignInLimits.of(wiring.settings))
    if sign_in is None:
        return None
    if sign_ins.is_stale(sign_in) and not _is_asked_by_a_script():
        try:
            with wiring.database.writing() as session:
                sign_ins.note_presence(session, sign_in.id)
        except OperationalError:
            busy = "The database is busy: the presence in session %d is not noted."
            _log.warning(busy, sign_in.id)
    return Caller(sign_in.user, sign_in)


def _is_asked_by_a_script() -> bool:
    """Say whether a script made this request: polling does not show that the person is still there.

    A script's `fetch` accepts anything; a browser that opens a page or shows a picture says what it
    prefers. (``Sec-Fetch-Dest`` would be clearer, but is sent over HTTPS only.)
    """
    return request.method == "GET" and request.headers.get("Accept") == "*/*"
