"""Makes things only once, however often the request is repeated.

An answer may get lost after the work was done. A client that repeats its request sends the same
key, and is told what was made the first time. The key is recorded in the same transaction
as the thing made, so neither exists without the other. A repeat that comes meanwhile waits.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence

from sqlalchemy import delete
from sqlalchemy.orm import Session

from core.db import clock, insert_if_new
from core.errors import HematoVisionError
from core.tables import Intention

_KEPT_SECONDS = 24 * 3600


class KeyTaken(HematoVisionError):
    """This key was already used for a different request."""


def once(
    session: Session, user_id: int, key: str, about: Sequence[str], make: Callable[[], int]
) -> int:
    """Call ``make`` in this transaction and return the id it gives, or the id it gave before.

    ``about`` describes the request: a key belongs to one request.

    Raises:
        KeyTaken: the key was sent with another request.
    """
    fingerprint = hashlib.sha256("\0".join(about).encode()).hexdigest()
    row = {"user_id": user_id, "key": key, "fingerprint": fingerprint, "noted_at": clock()}
    # On PostgreSQL this waits for a transaction that noted the same key and has not committed yet.
    session.execute(insert_if_new(session, Intention).values(row))
    intention = session.get_one(Intention, (user_id, key))
    if intention.fingerprint != fingerprint:
        raise KeyTaken("This Idempotency-Key was already used for another request. Use a new key.")
    if intention.made_id is None:
        intention.made_id = make()
    return intention.made_id


def forget_old(session: Session) -> None:
    """Forget the keys of requests that nobody repeats any more."""
    session.execute(
        delete(Intention).where(Intention.noted_at < clock() - _KEPT_SECONDS),
        execution_options={"synchronize_session": False},
    )
