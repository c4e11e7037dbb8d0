"""The tables of people: who they are, their roles, and the tokens that stand for them."""

from __future__ import annotations

import datetime as dt

from sqlalchemy import Column, ForeignKey, String, Table
from sqlalchemy.orm import Mapped, mapped_column, relationship

from core.db import utcnow
from core.states import TokenKind
from core.tables import Base, enum_of

roles_users = Table(
    "roles_users",
    Base.metadata,
    Column("user_id", ForeignKey("user.id", ondelete="CASCADE"), primary_key=True),
    Column("role_id", ForeignKey("role.id", ondelete="CASCADE"), primary_key=True),
)


class Role(Base):
    """A role by name; what it allows is said in `core.accounts`."""

    __tablename__ = "role"

    id: Mapped[int] = mapped_column(primary_key=True)
    name: Mapped[str] = mapped_column(String(80), unique=True)
    description: Mapped[str] = mapped_column(String(255), default="")


class User(Base):
    """A person. ``password`` is an argon2 hash; ``fs_uniquifier`` changes to end all sessions.

    One who was deleted is erased at ``erase_at``, and their jobs go to the person ``heir_id``, or
    are deleted where that is None: see `core.erasure`.
    """

    __tablename__ = "user"

    id: Mapped[int] = mapped_column(primary_key=True)
    email: Mapped[str] = mapped_column(String(255), unique=True)
    password: Mapped[str | None] = mapped_column(String(255))
    active: Mapped[bool] = mapped_column(default=True)
    fs_uniquifier: Mapped[str] = mapped_column(String(64), unique=True)
    created_at: Mapped[dt.datetime] = mapped_column(default=utcnow)
    erase_at: Mapped[dt.datetime | None]
    erased_at: Mapped[dt.datetime | None]
    heir_id: Mapped[int | None] = mapped_column(ForeignKey("user.id"))
    roles: Mapped[list[Role]] = relationship(secondary=roles_users, lazy="selectin")


class Token(Base):
    """A secret that stands for a user. Only its SHA-256 is kept; ``hint`` are its first letters."""

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
