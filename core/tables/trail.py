"""The tables of the audit trail. `core.audit` alone writes them."""

from __future__ import annotations

import datetime as dt
from typing import Any

from sqlalchemy import BigInteger, Index, Integer, String
from sqlalchemy.orm import Mapped, mapped_column

from core.tables.base import Base

_NUMBER = BigInteger().with_variant(Integer, "sqlite")


class AuditEntry(Base):
    """Who did what to which object, when and from where; ``digest`` chains it to the entry before.

    It refers to nobody by a foreign key: what it says outlives the person and the object. Triggers
    on both databases refuse to change or delete a row; a migration that rebuilds the table on
    SQLite must make them anew.
    """

    __tablename__ = "audit"

    number: Mapped[int] = mapped_column(_NUMBER, primary_key=True, autoincrement=False)
    at: Mapped[dt.datetime]
    action: Mapped[str] = mapped_column(String(40))
    person_id: Mapped[int | None]
    actor: Mapped[str] = mapped_column(String(255))
    address: Mapped[str] = mapped_column(String(64))
    session: Mapped[str] = mapped_column(String(40))
    request: Mapped[str] = mapped_column(String(64))
    subject: Mapped[str] = mapped_column(String(120))
    detail: Mapped[dict[str, Any]]
    previous: Mapped[str] = mapped_column(String(64))
    digest: Mapped[str] = mapped_column(String(64))

    __table_args__ = (Index(None, "subject", "number"), Index(None, "person_id", "number"))


class AuditHead(Base):
    """The chain's newest entry, in one row. Its lock puts writers in order, and it tells if the
    end of the chain was cut off."""

    __tablename__ = "audit_head"

    chain: Mapped[str] = mapped_column(String(16), primary_key=True)
    number: Mapped[int] = mapped_column(_NUMBER)
    digest: Mapped[str] = mapped_column(String(64))
