"""Requests repeated because their answer got lost: what they ask for is made only once.

Programs and our scripts send a unique key in the header ``Idempotency-Key`` (as in IETF's
draft-ietf-httpapi-idempotency-key-header). Forms carry a field with a new value on every page;
the same page sent again with other content counts as a different request.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable

from flask import request
from sqlalchemy.orm import Session

from core.errors import BadInput
from core.jobs import intentions
from core.tables import LONGEST_KEY, User

FIELD = "once"
_KEY = re.compile(rf"[\x21-\x7e]{{1,{LONGEST_KEY}}}")


def once(session: Session, user: User, make: Callable[[], int], *about: str) -> int:
    """Call ``make`` unless this request was answered before; return the id of what was made.

    ``about`` is what the request asks for.

    Raises:
        BadInput: the key can't be used.
        KeyTaken: it was sent before with another request.
    """
    wanted = (request.method, request.path, *about)
    key = _key(wanted)
    return make() if key is None else intentions.once(session, user.id, key, wanted, make)


def _key(wanted: tuple[str, ...]) -> str | None:
    header = request.headers.get("Idempotency-Key")
    if header is not None:
        key = header.strip().strip('"')
        if not _KEY.fullmatch(key):
            raise BadInput(
                f"An Idempotency-Key must be 1 to {LONGEST_KEY} visible ASCII characters."
            )
        return key
    field = request.form.get(FIELD, "") if not request.is_json else ""
    if not field:
        return None
    return f"form:{hashlib.sha256(chr(0).join((field, *wanted)).encode()).hexdigest()}"
