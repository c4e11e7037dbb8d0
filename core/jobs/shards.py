"""A shard under a lease: claimed, renewed, recorded once, or split when it kills its workers."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import ColumnElement, and_, or_, select, update
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.orm import Session

from core.db import clock, utcnow
from core.errors import LeaseLost
from core.models import Image, Job, Prediction, Shard
from core.states import ImageState, JobState, ShardState

KILLER = "stopped_worker"
_KILLER_MESSAGE = "Reading this image stopped the worker each time. Check the file, then try again."


@dataclass(frozen=True, slots=True)
class Work:
    """One image to classify: its id and the hash its bytes are kept under."""

    image_id: int
    sha256: str


@dataclass(frozen=True, slots=True)
class Claim:
    """A lease on a shard. Only the holder of this ``fence`` may record."""

    shard_id: int
    job_id: int
    fence: int
    work: tuple[Work, ...]


@dataclass(frozen=True, slots=True)
class Verdict:
    """What a model said: probabilities in the order of its classes, summing to 1."""

    label: str
    confidence: float
    outcome: str
    probabilities: tuple[float, ...]


@dataclass(frozen=True, slots=True)
class Failure:
    """Why an image could not be classified: a stable code and a sentence for people."""

    code: str
    message: str


def claim(session: Session, shard_id: int, worker: str, seconds: float) -> Claim | None:
    """Take the shard for ``seconds``, or return None if it is done, dropped or another's.

    One conditional UPDATE decides, so that of any number of deliveries one worker wins.
    """
    fence = session.scalar(
        update(Shard)
        .where(Shard.id == shard_id, _free())
        .values(
            state=ShardState.LEASED,
            worker=worker,
            attempt=Shard.attempt + 1,
            fence=Shard.fence + 1,
            lease_until=clock() + seconds,
        )
        .returning(Shard.fence)
        .execution_options(synchronize_session=False)
    )
    if fence is None:
        return None
    job_id = session.scalars(select(Shard.job_id).where(Shard.id == shard_id)).one()
    session.execute(
        update(Job)
        .where(Job.id == job_id, Job.state == JobState.QUEUED)
        .values(state=JobState.RUNNING, started_at=utcnow())
    )
    return Claim(shard_id, job_id, fence, _work(session, shard_id))


def _free() -> ColumnElement[bool]:
    return or_(
        Shard.state.in_((ShardState.WAITING, ShardState.PUBLISHED)),
        and_(Shard.state == ShardState.LEASED, Shard.lease_until < clock()),
    )


def _work(session: Session, shard_id: int) -> tuple[Work, ...]:
    rows = session.execute(
        select(Image.id, Image.sha256)
        .where(Image.shard_id == shard_id, Image.state == ImageState.RECEIVED)
        .order_by(Image.position)
    )
    return tuple(Work(id_, sha256 or "") for id_, sha256 in rows)


def renew(session: Session, claim: Claim, seconds: float) -> bool:
    """Lengthen the lease; False if it is no longer ours."""
    renewed = session.scalar(
        update(Shard)
        .where(Shard.id == claim.shard_id, Shard.fence == claim.fence)
        .where(Shard.state == ShardState.LEASED)
        .values(lease_until=clock() + seconds)
        .returning(Shard.id)
        .execution_options(synchronize_session=False)
    )
    return renewed is not None


def known_verdicts(session: Session, claim: Claim, model_digest: str) -> dict[str, Verdict]:
    """Return what this model has already said of any of these images' bytes, by hash."""
    hashes = [work.sha256 for work in claim.work]
    rows = session.execute(
        select(
            Image.sha256,
            Prediction.label,
            Prediction.confidence,
            Prediction.outcome,
            Prediction.probabilities,
        )
        .join(Prediction, Prediction.image_id == Image.id)
        .where(Image.sha256.in_(hashes), Prediction.model_digest == model_digest)
    )
    return {
        sha256: Verdict(label, confidence, outcome, tuple(probabilities))
        for sha256, label, confidence, outcome, probabilities in rows
        if sha256
    }


def record(
    session: Session, claim: Claim, model_digest: str, results: dict[int, Verdict | Failure]
) -> None:
    """Write all results of a shard, by image id, and close it. Commit, then `settle` the job.

    Raises:
        LeaseLost: another worker holds the shard now, or the job was cancelled; write nothing.
    """
    verdicts = {i: r for i, r in results.items() if isinstance(r, Verdict)}
    closed = session.scalar(
        update(Shard)
        .where(Shard.id == claim.shard_id, Shard.fence == claim.fence)
        .where(Shard.state == ShardState.LEASED)
        .values(
            state=ShardState.DONE,
            lease_until=None,
            classified=len(verdicts),
            failed=len(results) - len(verdicts),
        )
        .returning(Shard.id)
        .execution_options(synchronize_session=False)
    )
    if closed is None:
        raise LeaseLost(f"Shard {claim.shard_id} belongs to another worker now.")
    _write_predictions(session, model_digest, verdicts)
    rows = [_image_row(id_, result, model_digest) for id_, result in results.items()]
    if rows:
        session.execute(update(Image), rows)


def _write_predictions(session: Session, model_digest: str, verdicts: dict[int, Verdict]) -> None:
    if not verdicts:
        return
    dialect = postgresql if session.get_bind().dialect.name == "postgresql" else sqlite
    rows = [
        {
            "image_id": id_,
            "model_digest": model_digest,
            "label": verdict.label,
            "confidence": verdict.confidence,
            "outcome": verdict.outcome,
            "probabilities": list(verdict.probabilities),
            "created_at": utcnow(),
        }
        for id_, verdict in verdicts.items()
    ]
    session.execute(dialect.insert(Prediction).on_conflict_do_nothing(), rows)


def _image_row(id_: int, result: Verdict | Failure, model_digest: str) -> dict[str, Any]:
    verdict = result if isinstance(result, Verdict) else None
    failure = result if isinstance(result, Failure) else None
    return {
        "id": id_,
        "state": ImageState.CLASSIFIED if verdict else ImageState.FAILED,
        "label": verdict and verdict.label,
        "confidence": verdict and verdict.confidence,
        "outcome": verdict and verdict.outcome,
        "model_digest": verdict and model_digest,
        "reason": failure and failure.code,
        "message": failure and failure.message,
    }


def settle(session: Session, job_id: int) -> bool:
    """End the job if no shard of it is left; True if this call ended it.

    Runs in a transaction of its own after the shard's: whoever commits last then sees all shards
    done, and the conditional UPDATE lets one of several win.
    """
    left = select(Shard.id).where(
        Shard.job_id == job_id,
        Shard.state.in_((ShardState.WAITING, ShardState.PUBLISHED, ShardState.LEASED)),
    )
    any_classified = select(Image.id).where(
        Image.job_id == job_id, Image.state == ImageState.CLASSIFIED
    )
    for state, condition in (
        (JobState.FINISHED, any_classified.exists()),
        (JobState.FAILED, ~any_classified.exists()),
    ):
        ended = session.scalar(
            update(Job)
            .where(Job.id == job_id, Job.state.in_((JobState.QUEUED, JobState.RUNNING)))
            .where(~left.exists(), condition)
            .values(state=state, finished_at=utcnow())
            .returning(Job.id)
            .execution_options(synchronize_session=False)
        )
        if ended is not None:
            return True
    return False


def break_up(session: Session, shard: Shard) -> None:
    """Halve a shard that lost its workers too often; an image that stands alone is failed."""
    work: Sequence[Work] = _work(session, shard.id)
    shard.fence, shard.lease_until = shard.fence + 1, None
    if len(work) <= 1:
        _fail_alone(session, shard, work)
        return
    shard.state, shard.size = ShardState.SPLIT, 0
    middle = len(work) // 2
    for half in (work[:middle], work[middle:]):
        piece = Shard(job_id=shard.job_id, lane=shard.lane, size=len(half))
        session.add(piece)
        session.flush()
        session.execute(
            update(Image)
            .where(Image.id.in_([one.image_id for one in half]))
            .values(shard_id=piece.id)
        )


def _fail_alone(session: Session, shard: Shard, work: Sequence[Work]) -> None:
    shard.state, shard.failed = ShardState.DONE, len(work)
    rows = [_image_row(one.image_id, Failure(KILLER, _KILLER_MESSAGE), "") for one in work]
    if rows:
        session.execute(update(Image), rows)
