"""The tables of people: who they are, their roles, their sign-ins and tokens."""

from __future__ import annotations

import datetime as dt

from sqlalchemy import BigInteger, Column, Double, ForeignKey, Index, String, Table
from sqlalchemy.orm import Mapped, mapped_column, relationship

from core.db import utcnow
from core.states import TokenKind
from core.tables.base import Base, enum_of

LONGEST_KEY = 255

roles_users = Table(
    "roles_users",
    Base.metadata,
    Column("user_id", ForeignKey("user.id", ondelete="CASCADE"), primary_key=True),
    Column("role_id", ForeignKey("role.id", ondelete="CASCADE"), primary_key=True),
)


class Role(Base):
    """A role by name; `core.people.accounts` defines what it allows."""

    __tablename__ = "role"

    id: Mapped[int] = mapped_column(primary_key=True)
    name: Mapped[str] = mapped_column(String(80), unique=True)
    description: Mapped[str] = mapped_column(String(255), default="")


class User(Base):
    """A person. ``password`` is an argon2 hash.

    ``first_password_until`` is set while the password was made by somebody else: it must be changed
    at the first sign-in, and stops working after that time. ``totp_secret`` is encrypted by
    `web.security.second_factor`; ``totp_step`` is the time step of the last code that was accepted.

    A deleted person is erased at ``erase_at``. Their jobs then go to the person ``heir_id`` or, if
    that is None, are deleted: see `core.people.erasure`.
    """

    __tablename__ = "user"

    id: Mapped[int] = mapped_column(primary_key=True)
    email: Mapped[str] = mapped_column(String(255), unique=True)
    password: Mapped[str | None] = mapped_column(String(255))
    active: Mapped[bool] = mapped_column(default=True)
    first_password_until: Mapped[dt.datetime | None]
    totp_secret: Mapped[str | None] = mapped_column(String(255))
    totp_step: Mapped[int | None]
    created_at: Mapped[dt.datetime] = mapped_column(default=utcnow)
    erase_at: Mapped[dt.datetime | None]
    erased_at: Mapped[dt.datetime | None]
    heir_id: Mapped[int | None] = mapped_column(ForeignKey("user.id"))
    roles: Mapped[list[Role]] = relationship(secondary=roles_users, lazy="selectin")

    # The audit trail names people by their ids, so an id is never given to a second person.
    __table_args__ = ({"sqlite_autoincrement": True},)


class SignIn(Base):
    """A browser in which a person is signed in, until they sign out or it is ended.

    Only the SHA-256 of the secret in its cookie is kept. ``seen_at`` is the time of the person's
    last action there, to the minute. ``how`` names what opened it, such as ``password``.
    """

    __tablename__ = "sign_in"

    id: Mapped[int] = mapped_column(primary_key=True)
    user_id: Mapped[int] = mapped_column(ForeignKey("user.id", ondelete="CASCADE"))
    digest: Mapped[str] = mapped_column(String(64), unique=True)
    how: Mapped[str] = mapped_column(String(40))
    address: Mapped[str] = mapped_column(String(64))
    browser: Mapped[str] = mapped_column(String(200))
    created_at: Mapped[dt.datetime] = mapped_column(default=utcnow)
    seen_at: Mapped[dt.datetime] = mapped_column(default=utcnow)
    ended_at: Mapped[dt.datetime | None]
    user: Mapped[User] = relationship()

    __table_args__ = (Index(None, "user_id", "created_at"), {"sqlite_autoincrement": True})


class RecoveryCode(Base):
    """A recovery code: it replaces, once, the second factor of a person who has lost it."""

    __tablename__ = "recovery_code"

    digest: Mapped[str] = mapped_column(String(64), primary_key=True)
    user_id: Mapped[int] = mapped_column(ForeignKey("user.id", ondelete="CASCADE"), index=True)


class Guesses(Base):
    """How often something secret was guessed wrong, such as the password of one account.

    ``blocked_until`` and ``last_at`` are seconds by the database's clock.
    """

    __tablename__ = "guesses"

    key: Mapped[str] = mapped_column(String(120), primary_key=True)
    failures: Mapped[int] = mapped_column(default=0)
    blocked_until: Mapped[float] = mapped_column(Double, default=0.0)
    last_at: Mapped[float] = mapped_column(Double, default=0.0)


class Token(Base):
    """A secret that acts for a user. Only its SHA-256 is kept; ``hint`` is its first letters."""

    __tablename__ = "token"

    id: Mapped[int] = mapped_column(primary_key=True)
    user_id: Mapped[int] = mapped_column(ForeignKey("user.id", ondelete="CASCADE"), index=True)
    kind: Mapped[TokenKind] = mapped_column(enum_of(TokenKind))
    name: Mapped[str] = mapped_column(String(120))
    digest: Mapped[str] = mapped_column(String(64), unique=True)
    hint: Mapped[str] = mapped_column(String(12))
    created_at: Mapped[dt.datetime] = mapped_column(default=utcnow)
    used_at: Mapped[dt.datetime | None]
    expires_at: Mapped[dt.datetime | None]
    user: Mapped[User] = relationship()

    __table_args__ = ({"sqlite_autoincrement": True},)


class Intention(Base):
    """A key that somebody sent, and the id of what was made for it.

    ``noted_at`` is seconds by the database's clock.
    """

    __tablename__ = "intention"

    user_id: Mapped[int] = mapped_column(
        ForeignKey("user.id", ondelete="CASCADE"), primary_key=True
    )
    key: Mapped[str] = mapped_column(String(LONGEST_KEY), primary_key=True)
    fingerprint: Mapped[str] = mapped_column(String(64))
    made_id: Mapped[int | None] = mapped_column(BigInteger)
    noted_at: Mapped[float] = mapped_column(Double, index=True)
