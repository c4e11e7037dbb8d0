"""People as Flask-Security and the command line need them: password rules, adding, signing in.

core may not know Flask, so `Account` wraps a person of `core.models` in what Flask-Security asks
for, and `People` is its datastore over core's sessions.
"""

from __future__ import annotations

import re
import secrets
import unicodedata
from typing import Any

from argon2 import PasswordHasher
from flask_login import current_user
from flask_security import MailUtil, RoleMixin, UserMixin
from flask_security.datastore import UserDatastore
from sqlalchemy import func, select, update

from core import accounts
from core.accounts import RoleName
from core.db import Database
from core.errors import Conflict
from core.intake import one_line
from core.models import Role, User
from web.errors import BadInput, NotSignedIn

SHORTEST_PASSWORD = 10
_LONGEST_PASSWORD = 200
_ADDRESS = re.compile(r"[^@\s<>,;\"]+@[^@\s<>,;\"]+")


def normal_email(email: str) -> str:
    """Return an address as it is kept: trimmed, in lower case.

    Host names without a dot are fine, since a laboratory's own network may have such.

    Raises:
        BadInput: it is not an address.
    """
    normal = unicodedata.normalize("NFKC", email).strip().lower()
    # What can't be seen has no place in an address, and PostgreSQL keeps no NUL.
    if one_line(normal) != normal or len(normal) > 255 or not _ADDRESS.fullmatch(normal):
        raise BadInput("This is not an e-mail address. Write it as name@laboratory.org.")
    return normal


def check_password(password: str) -> None:
    """Raise `BadInput` for a password that is too short, or absurdly long."""
    if len(unicodedata.normalize("NFKD", password)) < SHORTEST_PASSWORD:
        raise BadInput(f"A password has at least {SHORTEST_PASSWORD} characters.")
    if len(password) > _LONGEST_PASSWORD:
        raise BadInput(f"A password has at most {_LONGEST_PASSWORD} characters.")


def add_user(database: Database, email: str, password: str, role: RoleName | str) -> User:
    """Add a person who may sign in with this password at once.

    Raises:
        BadInput: the address, the password or the role can't be used.
        Conflict: somebody has this address already.
    """
    normal, wanted = normal_email(email), _role(role)
    check_password(password)
    hashed = _hash(password)
    with database.writing() as session:
        accounts.ensure_roles(session)
        if accounts.person_or_none(session, normal):
            raise Conflict(f"Somebody with the address {normal} is known already.")
        roles = list(session.scalars(select(Role).where(Role.name == wanted.value)))
        person = User(
            email=normal, password=hashed, fs_uniquifier=secrets.token_hex(32), roles=roles
        )
        session.add(person)
    return person


def set_password(database: Database, email: str, password: str) -> None:
    """Give a person a new password, which ends all their sessions.

    Raises:
        BadInput: the password can't be used.
        NotFound: nobody has this address.
    """
    check_password(password)
    hashed = _hash(password)
    with database.writing() as session:
        person = accounts.find_person(session, normal_email(email))
        person.password, person.fs_uniquifier = hashed, secrets.token_hex(32)


def _role(role: RoleName | str) -> RoleName:
    try:
        return RoleName(role)
    except ValueError as error:
        raise BadInput(f"A role is one of {', '.join(RoleName)}.") from error


def _hash(password: str) -> str:
    """Hash with argon2 as Flask-Security is set to: it checks the NFKD form."""
    normal = unicodedata.normalize("NFKD", password)
    return PasswordHasher().hash(normal)


class AccountRole(RoleMixin):
    """A role by name."""

    def __init__(self, name: str) -> None:
        self.name = name


class Account(UserMixin):
    """What Flask-Security knows of a person; ``user`` is the person, detached, roles loaded."""

    fs_uniquifier = ""

    def __init__(self, user: User) -> None:
        self.user = user
        self.id, self.email, self.active = user.id, user.email, user.active
        self.password, self.fs_uniquifier = user.password, user.fs_uniquifier
        self.roles = [AccountRole(role.name) for role in user.roles]


class People(UserDatastore):
    """Flask-Security's view of the user table: short sessions, nothing left open."""

    def __init__(self, database: Database) -> None:
        super().__init__(Account, AccountRole)
        self._database = database

    def find_user(self, case_insensitive: bool = False, **wanted: Any) -> Account | None:
        """Return the person whose one attribute has this value."""
        ((name, value),) = wanted.items()
        column = getattr(User, name)
        condition = (
            func.lower(column) == str(value).lower() if case_insensitive else column == value
        )
        with self._database.reading() as session:
            user = session.scalars(select(User).where(condition)).first()
        return Account(user) if user else None

    def find_role(self, role: str) -> AccountRole | None:
        """Return the role of this name."""
        return AccountRole(role) if role in set(RoleName) else None

    def put(self, account: Account) -> Account:
        """Keep a password that was hashed anew because the hash's cost has changed."""
        with self._database.writing() as session:
            session.execute(
                update(User).where(User.id == account.id).values(password=account.password)
            )
        return account

    def commit(self) -> None:
        """Do nothing: `put` has committed."""


class Addresses(MailUtil):
    """Reads an address on the sign-in form as `normal_email` does; sends nothing."""

    def normalize(self, email: str) -> str:
        """Return the address as it is kept. Raises ValueError, as Flask-Security expects."""
        try:
            return normal_email(email)
        except BadInput as error:
            raise ValueError(str(error)) from error


def person() -> User:
    """Return who is signed in, detached from any session. Raises `NotSignedIn`."""
    account = current_user._get_current_object()
    if not isinstance(account, Account):
        raise NotSignedIn("Please sign in.")
    return account.user
