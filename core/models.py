"""The tables. `core.jobs` alone writes the states that stand in them."""

from __future__ import annotations

import datetime as dt
from enum import StrEnum
from typing import Any

from sqlalchemy import (
    JSON,
    BigInteger,
    Column,
    Double,
    ForeignKey,
    Index,
    Integer,
    MetaData,
    String,
    Table,
    UniqueConstraint,
)
from sqlalchemy import Enum as SqlEnum
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column, relationship

from core.db import UtcDateTime, utcnow
from core.states import ImageState, JobState, Lane, ReportState, ShardState, TokenKind


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
        list[str]: JSON,
        list[float]: JSON,
    }


def _enum(kind: type[StrEnum]) -> SqlEnum:
    """Store the values as plain strings: a new state then needs no change of a database type."""
    return SqlEnum(
        kind, native_enum=False, length=16, values_callable=lambda k: [member.value for member in k]
    )


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
    """A person. ``password`` is an argon2 hash; ``fs_uniquifier`` changes to end all sessions."""

    __tablename__ = "user"

    id: Mapped[int] = mapped_column(primary_key=True)
    email: Mapped[str] = mapped_column(String(255), unique=True)
    password: Mapped[str | None] = mapped_column(String(255))
    active: Mapped[bool] = mapped_column(default=True)
    fs_uniquifier: Mapped[str] = mapped_column(String(64), unique=True)
    created_at: Mapped[dt.datetime] = mapped_column(default=utcnow)
    roles: Mapped[list[Role]] = relationship(secondary=roles_users, lazy="selectin")


class Token(Base):
    """A secret that stands for a user. Only its SHA-256 is kept; ``hint`` are its first letters."""

    __tablename__ = "token"

    id: Mapped[int] = mapped_column(primary_key=True)
    user_id: Mapped[int] = mapped_column(ForeignKey("user.id", ondelete="CASCADE"), index=True)
    kind: Mapped[TokenKind] = mapped_column(_enum(TokenKind))
    name: Mapped[str] = mapped_column(String(120))
    digest: Mapped[str] = mapped_column(String(64), unique=True)
    hint: Mapped[str] = mapped_column(String(12))
    created_at: Mapped[dt.datetime] = mapped_column(default=utcnow)
    used_at: Mapped[dt.datetime | None]
    expires_at: Mapped[dt.datetime | None]
    user: Mapped[User] = relationship()


class Model(Base):
    """A model bundle that has worked here. ``classes`` in the order of the probabilities."""

    __tablename__ = "model"

    digest: Mapped[str] = mapped_column(String(64), primary_key=True)
    name: Mapped[str] = mapped_column(String(120))
    version: Mapped[str] = mapped_column(String(40))
    classes: Mapped[list[str]]
    first_used_at: Mapped[dt.datetime] = mapped_column(default=utcnow)


class Job(Base):
    """What a person submitted at once. Its intake counts are fixed when it is submitted.

    ``settled_before`` is how many images had their verdict before the present run began.
    """

    __tablename__ = "job"

    id: Mapped[int] = mapped_column(primary_key=True)
    owner_id: Mapped[int] = mapped_column(ForeignKey("user.id"))
    name: Mapped[str] = mapped_column(String(200))
    reference: Mapped[str] = mapped_column(String(200), default="")
    state: Mapped[JobState] = mapped_column(_enum(JobState), default=JobState.RECEIVING)
    lane: Mapped[Lane] = mapped_column(_enum(Lane), default=Lane.BATCH)
    received: Mapped[int] = mapped_column(default=0)
    duplicates: Mapped[int] = mapped_column(default=0)
    refused: Mapped[int] = mapped_column(default=0)
    settled_before: Mapped[int] = mapped_column(default=0)
    created_at: Mapped[dt.datetime] = mapped_column(default=utcnow)
    submitted_at: Mapped[dt.datetime | None]
    started_at: Mapped[dt.datetime | None]
    finished_at: Mapped[dt.datetime | None]
    owner: Mapped[User] = relationship()

    __table_args__ = (
        Index(None, "created_at", "id"),
        Index(None, "owner_id", "created_at", "id"),
        Index(None, "state", "created_at", "id"),
    )


class Shard(Base):
    """Some dozens of a job's images, done by one worker in one transaction.

    ``fence`` rises with every lease: a worker that lost its lease can record nothing.
    ``lease_until`` and ``published_at`` are seconds by the database's clock.
    """

    __tablename__ = "shard"

    id: Mapped[int] = mapped_column(primary_key=True)
    job_id: Mapped[int] = mapped_column(ForeignKey("job.id", ondelete="CASCADE"))
    lane: Mapped[Lane] = mapped_column(_enum(Lane))
    state: Mapped[ShardState] = mapped_column(_enum(ShardState), default=ShardState.WAITING)
    size: Mapped[int]
    classified: Mapped[int] = mapped_column(default=0)
    failed: Mapped[int] = mapped_column(default=0)
    attempt: Mapped[int] = mapped_column(default=0)
    fence: Mapped[int] = mapped_column(default=0)
    worker: Mapped[str | None] = mapped_column(String(120))
    published_at: Mapped[float | None] = mapped_column(Double)
    lease_until: Mapped[float | None] = mapped_column(Double)

    # A worker holds on to the id of a shard that may be deleted under it: no other shard may ever
    # go by that id. PostgreSQL promises that, SQLite only if asked.
    __table_args__ = (
        Index(None, "job_id", "state"),
        Index(None, "lane", "state", "job_id", "id"),
        {"sqlite_autoincrement": True},
    )


class Image(Base):
    """One submitted file, and what is now known of it.

    ``name`` is the file's name as given, which may hold patient data: shown to those who may see
    the job, never logged. ``label``, ``confidence``, ``outcome`` and ``model_digest`` repeat the
    prediction that counts, so that the gallery reads one table by one index.
    """

    __tablename__ = "image"

    id: Mapped[int] = mapped_column(BigInteger().with_variant(Integer, "sqlite"), primary_key=True)
    job_id: Mapped[int] = mapped_column(ForeignKey("job.id", ondelete="CASCADE"))
    shard_id: Mapped[int | None] = mapped_column(ForeignKey("shard.id", ondelete="SET NULL"))
    duplicate_of_id: Mapped[int | None] = mapped_column(ForeignKey("image.id", ondelete="SET NULL"))
    position: Mapped[int]
    name: Mapped[str] = mapped_column(String(1024))
    state: Mapped[ImageState] = mapped_column(_enum(ImageState), default=ImageState.EXPECTED)
    reason: Mapped[str | None] = mapped_column(String(40))
    message: Mapped[str | None] = mapped_column(String(400))
    sha256: Mapped[str | None] = mapped_column(String(64), index=True)
    size: Mapped[int] = mapped_column(BigInteger)
    format: Mapped[str | None] = mapped_column(String(8))
    width: Mapped[int | None]
    height: Mapped[int | None]
    label: Mapped[str | None] = mapped_column(String(40))
    confidence: Mapped[float | None] = mapped_column(Double)
    outcome: Mapped[str | None] = mapped_column(String(16))
    model_digest: Mapped[str | None] = mapped_column(ForeignKey("model.digest"))

    __table_args__ = (
        UniqueConstraint("job_id", "position"),
        Index(None, "job_id", "state", "position"),
        Index(None, "job_id", "sha256"),
        Index(None, "job_id", "state", "label", "confidence", "id"),
        Index(None, "job_id", "state", "confidence", "id"),
        Index(None, "shard_id"),
        Index(None, "duplicate_of_id"),
    )


class Prediction(Base):
    """What one model said of one image: once for ever. ``probabilities`` sum to 1."""

    __tablename__ = "prediction"

    image_id: Mapped[int] = mapped_column(
        ForeignKey("image.id", ondelete="CASCADE"), primary_key=True
    )
    model_digest: Mapped[str] = mapped_column(ForeignKey("model.digest"), primary_key=True)
    label: Mapped[str] = mapped_column(String(40))
    confidence: Mapped[float] = mapped_column(Double)
    outcome: Mapped[str] = mapped_column(String(16))
    probabilities: Mapped[list[float]]
    created_at: Mapped[dt.datetime] = mapped_column(default=utcnow)


class Report(Base):
    """A PDF that was asked for, and where it is."""

    __tablename__ = "report"

    id: Mapped[int] = mapped_column(primary_key=True)
    job_id: Mapped[int] = mapped_column(ForeignKey("job.id", ondelete="CASCADE"), index=True)
    paper: Mapped[str] = mapped_column(String(8))
    state: Mapped[ReportState] = mapped_column(_enum(ReportState), default=ReportState.WAITING)
    attempt: Mapped[int] = mapped_column(default=0)
    fence: Mapped[int] = mapped_column(default=0)
    lease_until: Mapped[float | None] = mapped_column(Double)
    published_at: Mapped[float | None] = mapped_column(Double)
    blob_key: Mapped[str | None] = mapped_column(String(200))
    message: Mapped[str | None] = mapped_column(String(400))
    created_at: Mapped[dt.datetime] = mapped_column(default=utcnow)
    finished_at: Mapped[dt.datetime | None]


class Worker(Base):
    """One worker process's heartbeat. ``seen_at`` is seconds by the database's clock."""

    __tablename__ = "worker"

    name: Mapped[str] = mapped_column(String(120), primary_key=True)
    device: Mapped[str] = mapped_column(String(16))
    backend: Mapped[str] = mapped_column(String(24))
    model_digest: Mapped[str] = mapped_column(String(64))
    images: Mapped[int] = mapped_column(default=0)
    images_per_second: Mapped[float | None] = mapped_column(Double)
    started_at: Mapped[dt.datetime] = mapped_column(default=utcnow)
    seen_at: Mapped[float] = mapped_column(Double)
