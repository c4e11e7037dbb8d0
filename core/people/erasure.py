"""Deletes a person: access ends at once, and their data is erased after the grace period.

What others must be able to look up later stays: the row itself, with a meaningless name, and the
audit entries of what that person did.
"""

from __future__ import annotations

import datetime as dt

from sqlalchemy import delete, func, select, update
from sqlalchemy.orm import Session

from core import audit
from core.audit import Action, Actor
from core.db import Database, utcnow
from core.errors import Conflict
from core.jobs import deletion
from core.people import sign_ins
from core.people.accounts import RoleName, has_role
from core.people.membership import end_trust
from core.settings import Settings
from core.tables import Job, RecoveryCode, Role, User

# No mail ever goes there (RFC 2606), and nobody else can have it.
_NOBODY = "deleted-{id}@deleted.invalid"


def delete_person(
    session: Session, user: User, settings: Settings, actor: Actor, *, heir: User | None
) -> None:
    """End a person's access at once, and erase them after the grace period.

    Their jobs then go to ``heir``, or are deleted.

    Raises:
        Conflict: they are the last administrator, are deleted already, or would be their own heir;
            or the heir can't sign in.
    """
    if user.erase_at is not None or user.erased_at is not None:
        raise Conflict("This person is already deleted.")
    if heir is not None and (heir.id == user.id or not heir.active):
        raise Conflict("Choose another person for the jobs, one who can sign in.")
    _require_another_administrator(session, user)
    user.active = False
    end_trust(session, user)
    user.erase_at = utcnow() + dt.timedelta(days=settings.delete_grace_days)
    user.heir_id = heir.id if heir else None
    jobs = f"to person {heir.id}" if heir else "deleted"
    audit.note(session, Action.PERSON_DELETED, actor, f"person {user.id}", {"jobs": jobs})


def restore_person(session: Session, user: User, actor: Actor) -> None:
    """Undo the deletion of a person; they may sign in again.

    Raises:
        Conflict: they were not deleted, or are erased.
    """
    if user.erase_at is None or user.erase_at <= utcnow():
        raise Conflict(
            "This person is not deleted, or is already erased. If erased, add them again."
        )
    user.erase_at = user.heir_id = None
    user.active = True
    audit.note(session, Action.PERSON_RESTORED, actor, f"person {user.id}")


def _require_another_administrator(session: Session, user: User) -> None:
    """Lock the administrators' rows: two who delete each other at once must not both succeed."""
    administrators = session.scalars(
        select(User)
        .join(User.roles)
        .where(Role.name == RoleName.ADMINISTRATOR, User.active.is_(True))
        .order_by(User.id)
        .with_for_update(of=User, key_share=True)
        .execution_options(populate_existing=True)
    ).all()
    others = any(administrator.id != user.id for administrator in administrators)
    if has_role(user, RoleName.ADMINISTRATOR) and not others:
        raise Conflict("This is the last administrator. Make somebody else an administrator first.")


def erase_due(database: Database, settings: Settings) -> int:
    """Erase the people whose grace period is over; return how many."""
    with database.reading() as session:
        due = select(User.id).where(User.erase_at <= utcnow(), User.erased_at.is_(None))
        ids = session.scalars(due).all()
    for id_ in ids:
        with database.writing() as session:
            _erase(session, id_, settings)
    return len(ids)


def _erase(session: Session, user_id: int, settings: Settings) -> None:
    user = session.scalars(
        select(User).where(User.id == user_id, User.erase_at <= utcnow()).with_for_update(of=User)
    ).first()
    if user is None:
        return
    _leave_jobs(session, user, settings)
    end_trust(session, user)
    sign_ins.forget(session, user.id)
    session.execute(delete(RecoveryCode).where(RecoveryCode.user_id == user.id))
    user.email = _NOBODY.format(id=user.id)
    user.password = user.totp_secret = user.first_password_until = None
    user.roles = []
    user.erase_at, user.erased_at = None, utcnow()
    audit.note(session, Action.PERSON_ERASED, audit.SYSTEM, f"person {user.id}")


def _leave_jobs(session: Session, user: User, settings: Settings) -> None:
    """Hand the jobs on, or delete them at once: the person's grace period counted for them."""
    if user.heir_id is not None:
        heir = _heir(session, user.heir_id)
        session.execute(update(Job).where(Job.owner_id == user.id).values(owner_id=heir))
        subject, detail = f"person {user.id}", {"to": f"person {heir}"}
        audit.note(session, Action.JOB_HANDED_ON, audit.SYSTEM, subject, detail)
        return
    jobs = select(Job).where(Job.owner_id == user.id, Job.purged_at.is_(None)).order_by(Job.id)
    for job in session.scalars(jobs):
        deletion.delete(session, job, settings, audit.SYSTEM, at_once=True)


def _heir(session: Session, wanted: int) -> int:
    """Return who gets the jobs: an administrator, if the chosen person was erased."""
    if session.get_one(User, wanted).erased_at is None:
        return wanted
    query = select(func.min(User.id)).join(User.roles)
    administrators = query.where(Role.name == RoleName.ADMINISTRATOR, User.active.is_(True))
    return session.scalar(administrators) or wanted
