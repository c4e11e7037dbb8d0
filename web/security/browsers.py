"""Browsers in which people have signed in before.

A signed cookie holds these people and nothing else; it gives no access. It lets people sign in
where they always do, even while somebody elsewhere is guessing their password.
"""

from __future__ import annotations

import secrets
from typing import Any

from flask import current_app, request
from itsdangerous import BadSignature, URLSafeTimedSerializer
from werkzeug.wrappers import Response

_NAME = "hematovision_browser"
_SECONDS = 180 * 24 * 3600
# Many people use a browser at a bench; it is enough to remember the latest.
_PEOPLE = 20


def known_browser(user_id: int) -> str | None:
    """Return the name of this browser if the person has signed in with it, else None."""
    memory = _read()
    return str(memory["browser"]) if user_id in memory["people"] else None


def remember(response: Response, user_id: int) -> None:
    """Have the browser remember that this person has signed in with it."""
    memory = _read()
    others = [id_ for id_ in memory["people"] if id_ != user_id][: _PEOPLE - 1]
    response.set_cookie(
        _NAME,
        _serializer().dumps({"browser": memory["browser"], "people": [user_id, *others]}),
        max_age=_SECONDS,
        httponly=True,
        secure=bool(current_app.config["SESSION_COOKIE_SECURE"]),
        samesite="Lax",
    )


def _read() -> dict[str, Any]:
    """Return what the browser remembers: its own name, and the ids of people, the latest first."""
    try:
        memory: dict[str, Any] = _serializer().loads(request.cookies.get(_NAME, ""), _SECONDS)
    except BadSignature:
        return {"browser": secrets.token_hex(8), "people": []}
    return memory


def _serializer() -> URLSafeTimedSerializer:
    return URLSafeTimedSerializer(str(current_app.config["SECRET_KEY"]), salt="browser")
