"""What the pages and the API write into the audit trail, beside what `core` writes itself."""

from __future__ import annotations

import logging

from sqlalchemy.exc import OperationalError

from core import audit
from core.audit import Action, Actor
from web.security.caller import caller
from web.wiring import wired

_log = logging.getLogger(__name__)


def actor() -> Actor:
    """Return who makes this request, as the audit trail names them. Raises `NotSignedIn`."""
    return caller().actor


def record(action: Action, subject: str, **detail: str | int) -> None:
    """Write down what was handed over, in a transaction of its own."""
    with wired().database.writing() as session:
        audit.note(session, action, actor(), subject, detail)


def record_reading(job_id: int) -> None:
    """Write down that this person reads a job's results, unless that was done within the hour.

    A database that can't be written for the moment keeps nobody from a result that is needed now:
    the reading is written down with the next request.
    """
    who = caller()
    readings = wired().readings
    if not readings.is_new(who.user.id, job_id):
        return
    try:
        record(Action.RESULT_READ, f"job {job_id}")
    except OperationalError:
        readings.forget(who.user.id, job_id)
        _log.error("Person %d read job %d: this could not be written down.", who.user.id, job_id)
