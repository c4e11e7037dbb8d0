"""The audit trail: who did what, to which object, when and from where.

`note` is called in the transaction of the action, so that both are kept or neither. All entries
form one chain, whose head is locked while it grows. They are therefore written as the last
statements before the commit: the lock is held only briefly, and never while waiting for another.

Each entry's digest covers the digest of the entry before. Anyone who changes, removes or inserts
an entry must therefore change all later entries and the head; `verify` notices anything less. Only
a digest kept elsewhere helps against somebody who rewrites the whole chain: `verify` prints the
newest one, and can check whether an older one is still part of the chain.

Entries name people, jobs and models by their ids, never a file: file names may hold patient data.
"""

from __future__ import annotations

import datetime as dt
import hashlib
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

from sqlalchemy import event, inspect, select
from sqlalchemy.orm import Session, SessionTransaction

from core.db import insert_if_new, utcnow
from core.tables import AuditEntry, AuditHead

BEFORE_THE_FIRST = "0" * 64
_CHAIN = "main"
_PENDING = "hematovision_audit"
_BATCH = 1000


class Action(StrEnum):
    """The actions on record. The values are kept for ever: add new ones, never rename one."""

    SIGN_IN = "sign_in"
    SIGN_IN_FAILED = "sign_in_failed"
    SIGN_OUT = "sign_out"
    SESSION_ENDED = "session_ended"
    LINK_MADE = "link_made"
    PASSWORD_CHANGED = "password_changed"
    PASSWORD_RESET = "password_reset"
    TOTP_ENABLED = "totp_enabled"
    TOTP_DISABLED = "totp_disabled"
    TOTP_RECOVERED = "totp_recovered"
    RECOVERY_CODES_MADE = "recovery_codes_made"
    PERSON_ADDED = "person_added"
    PERSON_DEACTIVATED = "person_deactivated"
    PERSON_REACTIVATED = "person_reactivated"
    PERSON_DELETED = "person_deleted"
    PERSON_RESTORED = "person_restored"
    PERSON_ERASED = "person_erased"
    ROLE_CHANGED = "role_changed"
    TOKEN_MADE = "token_made"
    TOKEN_REVOKED = "token_revoked"
    RESULT_READ = "result_read"
    EXPORTED = "exported"
    REPORT_DOWNLOADED = "report_downloaded"
    JOB_SUBMITTED = "job_submitted"
    JOB_CANCELLED = "job_cancelled"
    JOB_RETRIED = "job_retried"
    JOB_DELETED = "job_deleted"
    JOB_RESTORED = "job_restored"
    JOB_PURGED = "job_purged"
    JOB_HANDED_ON = "job_handed_on"
    PICTURES_DELETED = "pictures_deleted"
    PICTURES_KEPT = "pictures_kept"
    PICTURES_PURGED = "pictures_purged"
    IMAGE_DELETED = "image_deleted"
    MODEL_ADDED = "model_added"
    MODEL_ACTIVATED = "model_activated"
    MODEL_ROLLED_BACK = "model_rolled_back"
    MODEL_STATE_CHANGED = "model_state_changed"
    MODEL_RETIRED = "model_retired"
    MODEL_SIGNED = "model_signed"
    MODEL_REFUSED = "model_refused"
    QUOTA_CHANGED = "quota_changed"


@dataclass(frozen=True, slots=True)
class Actor:
    """Who acts, and from where. ``name`` is the person's e-mail address at that time.

    ``session`` is the browser session or token used: ``session 12``, ``token 5``.
    """

    name: str
    person_id: int | None = None
    address: str = ""
    session: str = ""
    request: str = ""


SYSTEM = Actor("system")


@dataclass(frozen=True, slots=True)
class _Note:
    action: Action
    actor: Actor
    subject: str
    detail: dict[str, str | int] = field(default_factory=dict)


def note(
    session: Session,
    action: Action,
    actor: Actor,
    subject: str = "",
    detail: Mapping[str, str | int] | None = None,
) -> None:
    """Write an entry when this session commits; a rollback discards it.

    ``subject`` is the object's kind and id, such as ``job 17``, ``person 3``, ``model 4f2a…``.

    Raises:
        ValueError: the session only reads, or is inside a savepoint, whose rollback could not
            discard the entry.
    """
    writes = session.get_bind().get_execution_options().get("hematovision_writing")
    if not writes or session.in_nested_transaction():
        raise ValueError("An audit entry needs a session that writes, outside any savepoint.")
    if _PENDING not in session.info:
        session.info[_PENDING] = []
        event.listen(session, "before_commit", _append)
        event.listen(session, "after_soft_rollback", _forget)
    session.info[_PENDING].append(_Note(action, actor, subject, dict(detail or {})))


def _forget(session: Session, undone: SessionTransaction) -> None:
    if not undone.nested:
        session.info[_PENDING].clear()


def _append(session: Session) -> None:
    """Add what was noted to the chain, under the lock of its head."""
    pending: list[_Note] = session.info[_PENDING]
    if not pending or session.in_nested_transaction():
        return
    session.flush()
    head = _locked_head(session)
    number, digest, now = head.number, head.digest, utcnow()
    for noted in pending:
        number += 1
        entry = _entry(noted, number, now, digest)
        digest = entry.digest
        session.add(entry)
    head.number, head.digest = number, digest
    pending.clear()
    session.flush()


def _locked_head(session: Session) -> AuditHead:
    query = select(AuditHead).where(AuditHead.chain == _CHAIN).with_for_update()
    # What the session loaded before it held the lock may be out of date.
    query = query.execution_options(populate_existing=True)
    head = session.scalars(query).first()
    if head is None:
        first = {"chain": _CHAIN, "number": 0, "digest": BEFORE_THE_FIRST}
        session.execute(insert_if_new(session, AuditHead), first)
        head = session.scalars(query).one()
    return head


def _entry(noted: _Note, number: int, at: dt.datetime, previous: str) -> AuditEntry:
    values: dict[str, Any] = {
        "number": number,
        "at": at,
        "action": noted.action.value,
        "person_id": noted.actor.person_id,
        "actor": noted.actor.name[:255],
        "address": noted.actor.address[:64],
        "session": noted.actor.session[:40],
        "request": noted.actor.request[:64],
        "subject": noted.subject[:120],
        "detail": noted.detail,
        "previous": previous,
    }
    return AuditEntry(**values, digest=_digest(values))


def _digest(values: Mapping[str, Any]) -> str:
    """Return the SHA-256 of an entry as JSON: sorted keys, no spaces, ASCII, time in UTC."""
    written = {**values, "at": values["at"].astimezone(dt.UTC).isoformat(timespec="microseconds")}
    text = json.dumps(written, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode("ascii")).hexdigest()


@dataclass(frozen=True, slots=True)
class Verification:
    """The result of a check: how many entries are sound, the newest digest, and any fault.

    ``fault`` is a sentence, empty if the chain is intact. ``expected_at`` is the number of the
    entry with the expected digest; None if there is no such entry, or no digest was expected.
    """

    entries: int
    digest: str
    fault: str = ""
    expected_at: int | None = None


def verify(session: Session, expect: str | None = None) -> Verification:
    """Check every entry against the one before it, and the last one against the head.

    ``expect`` is a digest kept elsewhere, which must still be part of the chain.
    """
    number, digest = 0, BEFORE_THE_FIRST
    expected_at = 0 if expect == BEFORE_THE_FIRST else None
    for values in _chain(session):
        fault = _fault(values, number, digest)
        if fault:
            return Verification(number, digest, fault, expected_at)
        number, digest = values["number"], values["digest"]
        if digest == expect:
            expected_at = number
    fault = _fault_of_the_end(session, number, digest)
    if not fault and expect is not None and expected_at is None:
        fault = "No entry has the expected digest: the trail was rewritten."
    return Verification(number, digest, fault, expected_at)


def _chain(session: Session) -> Iterator[dict[str, Any]]:
    """Yield all entries from the first, loading one batch at a time."""
    names = [attribute.key for attribute in inspect(AuditEntry).column_attrs]
    columns = [getattr(AuditEntry, name) for name in names]
    last = -1
    while True:
        query = select(*columns).where(AuditEntry.number > last).order_by(AuditEntry.number)
        rows = session.execute(query.limit(_BATCH)).all()
        yield from (dict(zip(names, row, strict=True)) for row in rows)
        if len(rows) < _BATCH:
            return
        last = rows[-1].number


def _fault(values: dict[str, Any], number: int, digest: str) -> str:
    if values["number"] != number + 1:
        return f"Entry {number + 1} is missing."
    if values["previous"] != digest:
        return f"Entry {number + 1} does not follow the one before it."
    sealed = {name: value for name, value in values.items() if name != "digest"}
    if _digest(sealed) != values["digest"]:
        return f"Entry {number + 1} was changed."
    return ""


def _fault_of_the_end(session: Session, number: int, digest: str) -> str:
    head = session.get(AuditHead, _CHAIN)
    expected = (head.number, head.digest) if head else (0, BEFORE_THE_FIRST)
    if expected == (number, digest):
        return ""
    if expected[0] > number:
        return f"The end is missing: there were {expected[0]} entries, {number} are left."
    return f"The head of the trail names entry {expected[0]}, but the last one is {number}."


def newest(
    session: Session, count: int, *, subject: str | None = None, person_id: int | None = None
) -> list[AuditEntry]:
    """Return the latest entries, newest first: all, or those of one object or person."""
    query = select(AuditEntry).order_by(AuditEntry.number.desc()).limit(count)
    if subject is not None:
        query = query.where(AuditEntry.subject == subject)
    if person_id is not None:
        query = query.where(AuditEntry.person_id == person_id)
    return list(session.scalars(query))
