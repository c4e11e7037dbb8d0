"""Who acts in this request, for the audit trail."""

from __future__ import annotations

from flask import g, request

from core.audit import Actor
from web.accounts import person


def actor() -> Actor:
    """Return the person who is signed in, with the address and the id of this request.

    Raises:
        NotSignedIn: nobody is.
    """
    user = person()
    return Actor(user.email, user.id, address=request.remote_addr or "", request=g.request_id)
