"""What the pages and the API write to the audit trail, in addition to what `core` writes."""

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
    """Record an action on a subject, in a separate transaction."""
    with wired().database.writing() as session:
        audit.note(session, action, actor(), subject, detail)


def record_reading(job_id: int) -> None:
    """Record that this person reads a job's results, unless that was recorded within the hour.

    If the database can't be written now, the person still gets the result: the reading is recorded
    with their next request.
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
