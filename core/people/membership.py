"""Adds, changes and removes people, each in one transaction with its entry in the audit trail.

Whatever withdraws trust from an account, such as a new password or deactivation, ends all its
sign-ins, API tokens and links for good.
"""

from __future__ import annotations

import datetime as dt
import re
import unicodedata
from dataclasses import dataclass

from sqlalchemy import delete, select
from sqlalchemy.orm import Session

from core import audit
from core.audit import Action, Actor
from core.db import Database, utcnow
from core.errors import BadInput, Conflict, NotFound
from core.people import accounts, passwords, sign_ins, tokens
from core.people.accounts import RoleName
from core.states import TokenKind
from core.tables import RecoveryCode, Role, Token, User
from lexicon.names import one_line

FIRST_PASSWORD_DAYS = 7
_ADDRESS = re.compile(r"[^@\s<>,;\"]+@[^@\s<>,;\"]+")


@dataclass(frozen=True, slots=True)
class Admission:
    """A person, and the first password made for them; None if they chose their own."""

    person: User
    first_password: str | None


def normal_email(email: str) -> str:
    """Return an address as it is kept: trimmed, in lower case.

    Host names without a dot are accepted, since a laboratory's own network may have some.

    Raises:
        BadInput: it is not an address.
    """
    normal = unicodedata.normalize("NFKC", email).strip().lower()
    # An address must have no invisible characters, and PostgreSQL can't store NUL.
    if one_line(normal) != normal or len(normal) > 255 or not _ADDRESS.fullmatch(normal):
        raise BadInput("This is not an e-mail address. Write it as name@laboratory.org.")
    return normal


def add_person(
    database: Database, actor: Actor, email: str, role: str, password: str | None = None
) -> Admission:
    """Add a person; unless they chose a ``password``, a first one is made for them.

    Raises:
        BadInput: the address, the password or the role can't be used.
        Conflict: somebody already has this address.
    """
    normal, wanted = normal_email(email), _role(role)
    first = None if password is not None else passwords.made_up()
    if password is not None:
        passwords.check(password, normal)
    # Hashing is slow, so it is done before the transaction.
    kept = passwords.hashed(first or password or "")
    with database.writing() as session:
        accounts.ensure_roles(session)
        if accounts.person_or_none(session, normal):
            raise Conflict(f"There is already a person with the address {normal}.")
        person = User(email=normal, password=kept, roles=_roles(session, wanted))
        person.first_password_until = _first_password_end() if first else None
        session.add(person)
        session.flush()
        audit.note(session, Action.PERSON_ADDED, actor, f"person {person.id}", {"role": wanted})
    return Admission(person, first)


def change_password(database: Database, actor: Actor, user_id: int, password: str) -> None:
    """Set the password a person chose; all their sign-ins, tokens and links end.

    Raises:
        BadInput: the password can't be used.
        NotFound: there is no such person.
    """
    with database.reading() as session:
        person = _person(session, user_id)
    passwords.check(password, person.email)
    kept = passwords.hashed(password)
    with database.writing() as session:
        person = _person(session, user_id)
        person.password, person.first_password_until = kept, None
        end_trust(session, person, but_for_this_machine=True)
        audit.note(session, Action.PASSWORD_CHANGED, actor, f"person {person.id}")


def reset_password(database: Database, actor: Actor, user_id: int) -> str:
    """Return a new first password for a person who lost theirs; all their access ends.

    Raises:
        NotFound: there is no such person.
    """
    first = passwords.made_up()
    kept = passwords.hashed(first)
    with database.writing() as session:
        person = _person(session, user_id)
        person.password, person.first_password_until = kept, _first_password_end()
        end_trust(session, person, but_for_this_machine=True)
        audit.note(session, Action.PASSWORD_RESET, actor, f"person {person.id}")
    return first


def remove_second_factor(session: Session, actor: Actor, user_id: int) -> None:
    """Remove the second factor of a person who lost it. Raises `NotFound`."""
    person = _person(session, user_id)
    person.totp_secret = person.totp_step = None
    session.execute(delete(RecoveryCode).where(RecoveryCode.user_id == user_id))
    audit.note(session, Action.TOTP_DISABLED, actor, f"person {user_id}")


def set_active(session: Session, actor: Actor, user_id: int, *, active: bool) -> User:
    """Let a person in again, or end their access. Raises `NotFound`, or `Conflict` if deleted."""
    person = _person(session, user_id)
    if person.erase_at or person.erased_at:
        raise Conflict("This person was deleted. Restore them, if that is still possible.")
    if person.active == active:
        return person
    person.active = active
    end_trust(session, person)
    action = Action.PERSON_REACTIVATED if active else Action.PERSON_DEACTIVATED
    audit.note(session, action, actor, f"person {user_id}")
    return person


def set_role(session: Session, actor: Actor, user_id: int, role: str) -> User:
    """Give a person another role, valid from their next request. Raises `NotFound`, `BadInput`."""
    person, wanted = _person(session, user_id), _role(role)
    before = ", ".join(sorted(former.name for former in person.roles))
    person.roles = _roles(session, wanted)
    detail = {"from": before, "to": wanted.value}
    audit.note(session, Action.ROLE_CHANGED, actor, f"person {user_id}", detail)
    return person


def make_link(session: Session, actor: Actor, person: User, lifetime: dt.timedelta) -> str:
    """Return the path of a link that signs a person in once; earlier links stop working.

    Raises:
        Conflict: the person is deactivated.
    """
    tokens.revoke_all(session, person, TokenKind.SIGN_IN)
    secret = tokens.issue(session, person, TokenKind.SIGN_IN, "link", lifetime)
    audit.note(session, Action.LINK_MADE, actor, f"person {person.id}")
    return f"/sign-in/{secret}"


def end_trust(session: Session, person: User, *, but_for_this_machine: bool = False) -> None:
    """End a person's sign-ins, links and API tokens.

    The token that `up` keeps for this machine's command line stays: anyone who can read it can
    read the database anyway.
    """
    sign_ins.end_all(session, person.id)
    tokens = delete(Token).where(Token.user_id == person.id)
    if but_for_this_machine:
        tokens = tokens.where(Token.kind != TokenKind.MACHINE)
    session.execute(tokens)


def _person(session: Session, user_id: int) -> User:
    person = session.get(User, user_id)
    if person is None:
        raise NotFound("There is no such person.")
    return person


def _role(role: str) -> RoleName:
    try:
        return RoleName(role)
    except ValueError as error:
        raise BadInput(f"Choose one of these roles: {', '.join(RoleName)}.") from error


def _roles(session: Session, name: RoleName) -> list[Role]:
    return list(session.scalars(select(Role).where(Role.name == name.value)))


def _first_password_end() -> dt.datetime:
    return utcnow() + dt.timedelta(days=FIRST_PASSWORD_DAYS)
