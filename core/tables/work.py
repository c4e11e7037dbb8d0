"""The tables of work. `core.jobs`, `core.made` and `core.registry` alone write their states."""

from __future__ import annotations

import datetime as dt
from typing import TYPE_CHECKING, Any

from sqlalchemy import (
    JSON,
    BigInteger,
    Double,
    ForeignKey,
    Index,
    Integer,
    String,
    TextClause,
    UniqueConstraint,
    text,
)
from sqlalchemy.orm import Mapped, mapped_column, relationship

from core.db import utcnow
from core.states import ImageState, JobState, Lane, MakingState, ModelState, ShardState
from core.tables.base import Base, enum_of
from core.tables.people import User
from lexicon.verdicts import FIELDS


class Model(Base):
    """A model bundle that is known here. ``classes`` in the order of the probabilities.

    ``scores`` are as the bundle says them, ``facts`` what else pages show of it: see
    `core.registry.BundleFacts`. ``added_at`` is when its bundle came into the store, and None for
    one of which only the results are known. ``activated_at`` is None for one that never was active,
    or that was rolled back from. ``signed_by`` is the public key of who vouches for it, "" for
    nobody.
    """

    __tablename__ = "model"

    digest: Mapped[str] = mapped_column(String(64), primary_key=True)
    name: Mapped[str] = mapped_column(String(120))
    version: Mapped[str] = mapped_column(String(40))
    classes: Mapped[list[str]]
    state: Mapped[ModelState] = mapped_column(enum_of(ModelState), default=ModelState.CANDIDATE)
    scores: Mapped[dict[str, Any]] = mapped_column(default=dict)
    facts: Mapped[dict[str, Any]] = mapped_column(default=dict)
    first_used_at: Mapped[dt.datetime] = mapped_column(default=utcnow)
    added_at: Mapped[dt.datetime | None]
    activated_at: Mapped[dt.datetime | None]
    signed_by: Mapped[str] = mapped_column(String(64), default="", server_default="")

    __table_args__ = (
        Index(
            "uq_model_active",
            "state",
            unique=True,
            sqlite_where=text("state = 'active'"),
            postgresql_where=text("state = 'active'"),
        ),
    )


def _of_those_with(column: str, *columns: str) -> Index:
    """Return an index over the rows in which a column is not NULL.

    An image is written three times, and every index costs a write each time. A query takes this one
    only if it says that the column is not NULL, or compares it.
    """
    return _partial(text(f"{column} IS NOT NULL"), *columns)


def _of_those_without(unknown: str, *columns: str) -> Index:
    """Return an index over the rows in which a column is NULL, for queries that say so."""
    return _partial(text(f"{unknown} IS NULL"), *columns)


def _partial(rows: TextClause, *columns: str) -> Index:
    return Index(None, *columns, sqlite_where=rows, postgresql_where=rows)


class Job(Base):
    """What a person submitted at once. Its intake counts are fixed when it is submitted.

    ``settled_before`` is how many accepted images are no part of the present run, of which
    ``started_at`` and ``finished_at`` tell. ``model_digest`` is the model that judges in this run,
    pinned when it is submitted; None where no model was known then, until a worker takes its first
    shard. Verdicts of an earlier run, perhaps under another model, stand until this one replaces
    them.

    ``bytes`` is what its owner keeps on its account: see `intake.quotas`. The rest is the business
    of `jobs.deletion`: a job that was deleted stays until ``purge_at``, then its files go, and the
    bare row is left, without name and reference (``purged_at``). Its pictures alone stay until
    ``pictures_until`` if that is set, and were deleted at ``pictures_gone_at``.
    """

    __tablename__ = "job"

    id: Mapped[int] = mapped_column(primary_key=True)
    owner_id: Mapped[int] = mapped_column(ForeignKey("user.id"))
    name: Mapped[str] = mapped_column(String(200))
    reference: Mapped[str] = mapped_column(String(200), default="")
    state: Mapped[JobState] = mapped_column(enum_of(JobState), default=JobState.RECEIVING)
    lane: Mapped[Lane] = mapped_column(enum_of(Lane), default=Lane.BATCH)
    received: Mapped[int] = mapped_column(default=0)
    duplicates: Mapped[int] = mapped_column(default=0)
    refused: Mapped[int] = mapped_column(default=0)
    settled_before: Mapped[int] = mapped_column(default=0)
    created_at: Mapped[dt.datetime] = mapped_column(default=utcnow)
    submitted_at: Mapped[dt.datetime | None]
    started_at: Mapped[dt.datetime | None]
    finished_at: Mapped[dt.datetime | None]
    model_digest: Mapped[str | None] = mapped_column(ForeignKey("model.digest"))
    bytes: Mapped[int] = mapped_column(BigInteger, default=0, server_default="0")
    deleted_at: Mapped[dt.datetime | None]
    purge_at: Mapped[dt.datetime | None]
    purged_at: Mapped[dt.datetime | None]
    restored_at: Mapped[dt.datetime | None]
    pictures_until: Mapped[dt.datetime | None]
    pictures_gone_at: Mapped[dt.datetime | None]
    owner: Mapped[User] = relationship()
    model: Mapped[Model | None] = relationship()

    __table_args__ = (
        Index(None, "created_at", "id"),
        Index(None, "owner_id", "created_at", "id"),
        Index(None, "state", "created_at", "id"),
        Index(None, "owner_id", "bytes"),
        _of_those_with("purge_at", "purge_at"),
        _of_those_with("pictures_until", "pictures_until"),
        _of_those_without("deleted_at", "finished_at", "restored_at"),
        _of_those_without("pictures_gone_at", "finished_at", "pictures_until"),
    )


class Leased(Base):
    """What one of many workers does under a lease: see `core.leases`.

    ``fence`` rises with every lease, ``attempt`` with each that counts. ``lease_until`` and
    ``published_at``, when it was last rung for, are seconds by the database's clock.
    """

    __abstract__ = True

    if TYPE_CHECKING:
        state: Mapped[Any]

    id: Mapped[int] = mapped_column(primary_key=True)
    attempt: Mapped[int] = mapped_column(default=0)
    fence: Mapped[int] = mapped_column(default=0)
    worker: Mapped[str | None] = mapped_column(String(120))
    lease_until: Mapped[float | None] = mapped_column(Double)
    published_at: Mapped[float | None] = mapped_column(Double)


class Shard(Leased):
    """Up to some hundred of a job's images, done by one worker in one transaction.

    It counts the results of its images that stand, those of an earlier run until its own are
    recorded: ``accepted`` by class, which with ``uncertain`` and ``unfamiliar`` sum up to
    ``classified``, and so does ``judged_by``, by the model's digest. ``kept`` are those of them
    that this run could not judge, so that their earlier verdict stands. Pages add shards up instead
    of counting images. ``passed`` is how many workers gave it back because they lack its model.

    ``done_at`` is seconds by the database's clock.
    """

    __tablename__ = "shard"

    job_id: Mapped[int] = mapped_column(ForeignKey("job.id", ondelete="CASCADE"))
    lane: Mapped[Lane] = mapped_column(enum_of(Lane))
    state: Mapped[ShardState] = mapped_column(enum_of(ShardState), default=ShardState.WAITING)
    size: Mapped[int]
    classified: Mapped[int] = mapped_column(default=0)
    failed: Mapped[int] = mapped_column(default=0)
    accepted: Mapped[dict[str, int]] = mapped_column(default=dict, server_default="{}")
    uncertain: Mapped[int] = mapped_column(default=0, server_default="0")
    unfamiliar: Mapped[int] = mapped_column(default=0, server_default="0")
    judged_by: Mapped[dict[str, int]] = mapped_column(default=dict, server_default="{}")
    kept: Mapped[int] = mapped_column(default=0, server_default="0")
    passed: Mapped[int] = mapped_column(default=0, server_default="0")
    done_at: Mapped[float | None] = mapped_column(Double)

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
    the job, never logged. ``format`` is known while the store keeps the file's bytes for this row:
    not before they are accepted, nor after they are deleted. ``label``, ``confidence``, ``outcome``
    and ``model_digest`` repeat the prediction that counts, so that the gallery reads one table by
    one index; ``reason`` is why it was not accepted, or why there is none. A classified image has a
    ``message`` if a later run could not judge it anew: why.
    """

    __tablename__ = "image"

    id: Mapped[int] = mapped_column(BigInteger().with_variant(Integer, "sqlite"), primary_key=True)
    job_id: Mapped[int] = mapped_column(ForeignKey("job.id", ondelete="CASCADE"))
    shard_id: Mapped[int | None] = mapped_column(ForeignKey("shard.id", ondelete="SET NULL"))
    duplicate_of_id: Mapped[int | None] = mapped_column(ForeignKey("image.id", ondelete="SET NULL"))
    position: Mapped[int]
    name: Mapped[str] = mapped_column(String(1024))
    state: Mapped[ImageState] = mapped_column(enum_of(ImageState), default=ImageState.EXPECTED)
    reason: Mapped[str | None] = mapped_column(String(40))
    message: Mapped[str | None] = mapped_column(String(400))
    sha256: Mapped[str | None] = mapped_column(String(64))
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
        Index(None, "sha256", "job_id"),
        _of_those_with("confidence", "job_id", "state", "outcome", "label", "confidence", "id"),
        _of_those_with("confidence", "job_id", "state", "outcome", "confidence", "id"),
        _of_those_with("confidence", "job_id", "state", "confidence", "id"),
        Index(None, "shard_id"),
        _of_those_with("duplicate_of_id", "duplicate_of_id"),
        # Images are deleted with their job, and no other may ever go by the number of one.
        {"sqlite_autoincrement": True},
    )


class Skipped(Base):
    """A file that was among a job's images and is no part of it: its name, and why.

    ``reason`` is one of `lexicon.folders.SKIPS`.
    """

    __tablename__ = "skipped"

    id: Mapped[int] = mapped_column(BigInteger().with_variant(Integer, "sqlite"), primary_key=True)
    job_id: Mapped[int] = mapped_column(ForeignKey("job.id", ondelete="CASCADE"))
    name: Mapped[str] = mapped_column(String(1024))
    reason: Mapped[str] = mapped_column(String(40))

    __table_args__ = (UniqueConstraint("job_id", "name"),)


class Prediction(Base):
    """One model's verdict on one image, recorded once for ever, with the fields of `Verdict`."""

    __tablename__ = "prediction"

    image_id: Mapped[int] = mapped_column(
        ForeignKey("image.id", ondelete="CASCADE"), primary_key=True
    )
    model_digest: Mapped[str] = mapped_column(ForeignKey("model.digest"), primary_key=True)
    label: Mapped[str] = mapped_column(String(40))
    confidence: Mapped[float] = mapped_column(Double)
    outcome: Mapped[str] = mapped_column(String(16))
    candidates: Mapped[list[str]]
    reason: Mapped[str] = mapped_column(String(40), default="")
    familiarity: Mapped[float | None] = mapped_column(Double)
    box: Mapped[list[float] | None] = mapped_column(JSON(none_as_null=True))
    probabilities: Mapped[list[float]]
    created_at: Mapped[dt.datetime] = mapped_column(default=utcnow)

    # For comparing two models over the images that both have judged.
    __table_args__ = (Index(None, "model_digest"),)


# A verdict's fields, in its order.
VERDICT_FIELDS = tuple(getattr(Prediction, name) for name in FIELDS)


class Made(Leased):
    """Anything requested that a worker makes under a lease: see `core.made.making`."""

    __abstract__ = True

    state: Mapped[MakingState] = mapped_column(
        enum_of(MakingState), default=MakingState.WAITING, index=True
    )
    blob_key: Mapped[str | None] = mapped_column(String(200))
    message: Mapped[str | None] = mapped_column(String(400))
    created_at: Mapped[dt.datetime] = mapped_column(default=utcnow)
    finished_at: Mapped[dt.datetime | None]


class Report(Made):
    """A PDF that was asked for, and where it is."""

    __tablename__ = "report"

    job_id: Mapped[int] = mapped_column(ForeignKey("job.id", ondelete="CASCADE"), index=True)
    paper: Mapped[str] = mapped_column(String(8))

    # Its number is part of its blob's key, which must never be another's.
    __table_args__ = ({"sqlite_autoincrement": True},)


class Explanation(Made):
    """Why one model judged an image as it did: once for ever. ``blob_key`` is where its pictures
    lie, ``findings`` are those of `core.made.explanations`."""

    __tablename__ = "explanation"

    image_id: Mapped[int] = mapped_column(ForeignKey("image.id", ondelete="CASCADE"))
    model_digest: Mapped[str] = mapped_column(ForeignKey("model.digest"))
    findings: Mapped[dict[str, Any] | None] = mapped_column(JSON(none_as_null=True))

    __table_args__ = (
        UniqueConstraint("image_id", "model_digest"),
        # Its number is part of its blobs' keys, which must never be another's.
        {"sqlite_autoincrement": True},
    )


class LooseBlob(Base):
    """A key of the blob store that some row has let go of; the sweep deletes what no row needs."""

    __tablename__ = "loose_blob"

    key: Mapped[str] = mapped_column(String(200), primary_key=True)


class Derivative(Made):
    """The wish for an image's copies, which were missing: see `core.made.derivatives`."""

    __tablename__ = "derivative"

    image_id: Mapped[int] = mapped_column(ForeignKey("image.id", ondelete="CASCADE"), unique=True)


class Worker(Base):
    """One worker process's heartbeat. ``seen_at`` is seconds by the database's clock.

    ``model_digest`` is the model it used last, ``models`` are all it holds loaded.
    """

    __tablename__ = "worker"

    name: Mapped[str] = mapped_column(String(120), primary_key=True)
    device: Mapped[str] = mapped_column(String(16))
    backend: Mapped[str] = mapped_column(String(24))
    model_digest: Mapped[str] = mapped_column(String(64))
    models: Mapped[list[str]] = mapped_column(default=list)
    images: Mapped[int] = mapped_column(default=0)
    images_per_second: Mapped[float | None] = mapped_column(Double)
    started_at: Mapped[dt.datetime] = mapped_column(default=utcnow)
    seen_at: Mapped[float] = mapped_column(Double)


class Store(Base):
    """The image store that belongs to this database, by what its mark says: one row at most."""

    __tablename__ = "store"

    mark: Mapped[str] = mapped_column(String(64), primary_key=True)
    adopted_at: Mapped[dt.datetime] = mapped_column(default=utcnow)
