"""Whether this web server can serve, for supervisors, load balancers and monitoring.

Anybody may ask, so the answer names no path and no address, and is kept in memory for a second.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

from flask import Blueprint, Response, current_app
from sqlalchemy.exc import SQLAlchemyError

from contract.health import Health
from core import jobs
from core.errors import HematoVisionError
from core.installation import room
from core.outages import trouble_of
from web.answers import json_answer
from web.errors import code_of
from web.wiring import Wiring, wired

blueprint = Blueprint("health", __name__)
_KEPT_SECONDS = 1.0
_KEY = "hematovision-health"
# A database locked by a long transaction is working, not out of order; one with a full disk can
# still be read.
_FULL = "no_space"
_USABLE = ("database_busy", _FULL)


class _Nurse:
    """Checks once for everybody who asks within a second."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._health: Health | None = None
        self._looked = 0.0

    def look(self, wiring: Wiring) -> Health:
        with self._lock:
            if self._health is None or time.monotonic() - self._looked > _KEPT_SECONDS:
                self._health, self._looked = examine(wiring), time.monotonic()
            return self._health


@blueprint.record
def _hire(state: object) -> None:
    state.app.extensions[_KEY] = _Nurse()  # type: ignore[attr-defined]


@blueprint.get("/healthz")
def health() -> Response:
    """Say what is usable, with status 200, or 503 if pages or work can't go on."""
    condition: Health = current_app.extensions[_KEY].look(wired())
    # Pages and work go on if the queue is away, or if intake has to wait for room.
    return json_answer(condition, 200 if condition.database and condition.store else 503)


def examine(wiring: Wiring) -> Health:
    """Check everything that a web server needs."""
    problems: list[str] = []
    workers: list[int] = []

    def works(look: Callable[[], object]) -> bool:
        try:
            look()
        except (HematoVisionError, SQLAlchemyError, OSError) as error:
            problems.append(code_of(trouble_of(error) or error))
            return problems[-1] in _USABLE
        return True

    def count_workers() -> None:
        with wiring.database.reading() as session:
            workers.append(jobs.live_workers(session))

    return Health(
        database=works(wiring.database.check_writable) and works(count_workers),
        store=works(wiring.blobs.check_writable),
        queue=works(wiring.queue.check),
        space=works(room(wiring.settings).require) and _FULL not in problems,
        workers=workers[0] if workers else None,
        problems=tuple(dict.fromkeys(problems)),
    )
