"""The base of all tables: naming of constraints, and columns for enums."""

from __future__ import annotations

import datetime as dt
from enum import StrEnum
from typing import Any

from sqlalchemy import JSON, MetaData
from sqlalchemy import Enum as SqlEnum
from sqlalchemy.orm import DeclarativeBase

from core.db import UtcDateTime


class Base(DeclarativeBase):
    """Names every constraint, so that Alembic can drop it on both databases."""

    metadata = MetaData(
        naming_convention={
            "ix": "ix_%(table_name)s_%(column_0_N_name)s",
            "uq": "uq_%(table_name)s_%(column_0_N_name)s",
            "ck": "ck_%(table_name)s_%(constraint_name)s",
            "fk": "fk_%(table_name)s_%(column_0_N_name)s",
            "pk": "pk_%(table_name)s",
        }
    )
    type_annotation_map = {  # noqa: RUF012 - SQLAlchemy reads it from the class
        dt.datetime: UtcDateTime,
        dict[str, Any]: JSON,
        dict[str, int]: JSON,
        list[str]: JSON,
        list[float]: JSON,
    }


def enum_of(kind: type[StrEnum]) -> SqlEnum:
    """Store the values as plain strings: a new state then needs no change of a database type."""
    return SqlEnum(
        kind, native_enum=False, length=16, values_callable=lambda k: [member.value for member in k]
    )
