"""A shard under a lease: it is claimed, renewed and recorded once, and may end its job."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from dataclasses import dataclass
from typing import Any

from sqlalchemy import bindparam, func, select, update
from sqlalchemy.orm import Session

from core import leases
from core.db import clock, insert_new_rows, update_rows, utcnow
from core.errors import LeaseLost
from core.jobs.lock import LIVE
from core.jobs.queries import alive
from core.jobs.tallies import Result, count_again, tally
from core.leases import Claim
from core.states import LIVE_SHARDS, ImageState, JobState, Lane, ModelState, ShardState
from core.tables import VERDICT_FIELDS, Image, Job, Model, Prediction, Shard
from lexicon.verdicts import Verdict


@dataclass(frozen=True, slots=True)
class Work:
    """One image to classify: its id, the hash its bytes are kept under, and its size in pixels."""

    image_id: int
    sha256: str
    pixels: int = 0


@dataclass(frozen=True, slots=True)
class ShardClaim(Claim):
    """A lease on a shard, and what is to be done under it.

    ``model_digest`` is the model that classifies all images of the job.
    """

    job_id: int
    work: tuple[Work, ...]
    model_digest: str
    lane: Lane = Lane.BATCH


@dataclass(frozen=True, slots=True)
class Failure:
    """Why an image could not be classified: a stable code and a sentence for people."""

    code: str
    message: str


# Statements that run for every shard are put together once.
_CLAIMED_JOB = (
    select(Job.id, Job.state, Job.model_digest, Shard.lane)
    .join(Shard, Job.id == Shard.job_id)
    .where(Shard.id == bindparam("shard"), leases.free(Shard), Job.state.in_(LIVE))
)
_WORK = (
    select(Image.id, Image.sha256, Image.width * Image.height)
    .where(Image.shard_id == bindparam("shard"))
    .order_by(Image.position)
)


def claim(
    session: Session,
    shard_id: int,
    worker: str,
    seconds: float,
    lacking: Collection[str] = (),
) -> ShardClaim | None:
    """Take the shard for ``seconds``, or return None if it is done, dropped or another's.

    One conditional UPDATE decides, so that of any number of deliveries one worker wins. While no
    model is known, which a job could be given to, nothing of it is taken: each worker would judge
    by its own. Nor is a job of one of the models that this worker is ``lacking``.
    """
    job = session.execute(_CLAIMED_JOB, {"shard": shard_id}).first()
    if job is None:
        return None
    job_id, state, model, lane = job
    model = model or _pin(session, job_id)
    if model is None or model in lacking:
        return None
    # The job before the shard, as everywhere; only the first claims of a run find it queued.
    if state is JobState.QUEUED:
        session.execute(
            update(Job)
            .where(Job.id == job_id, Job.state == JobState.QUEUED)
            .values(state=JobState.RUNNING, started_at=utcnow())
        )
    fence = leases.take(session, Shard, shard_id, worker, seconds)
    if fence is None:
        return None
    return ShardClaim(Shard, shard_id, fence, job_id, work_of(session, shard_id), model, lane)


def _pin(session: Session, job_id: int) -> str | None:
    """Let the active model judge a job submitted before any model existed; return its digest."""
    active = select(Model.digest).where(Model.state == ModelState.ACTIVE).scalar_subquery()
    session.execute(
        update(Job).where(Job.id == job_id, Job.model_digest.is_(None)).values(model_digest=active),
        execution_options={"synchronize_session": False},
    )
    return session.scalar(select(Job.model_digest).where(Job.id == job_id))


def work_of(session: Session, shard_id: int) -> tuple[Work, ...]:
    """Return the images of a shard, in the order they came.

    All of them must be judged: a shard is recorded whole. They may already have a verdict from an
    earlier run.
    """
    rows = session.execute(_WORK, {"shard": shard_id})
    return tuple(Work(id_, sha256 or "", pixels or 0) for id_, sha256, pixels in rows)


def pass_on(session: Session, claim: ShardClaim) -> bool:
    """Give back a shard whose model this worker can't get; another worker may have it.

    False if as many have given it back as there are; then there is nobody to wait for.
    """
    workers = select(func.count()).where(alive()).scalar_subquery()
    return leases.write(
        session,
        claim,
        Shard.passed < workers,
        state=ShardState.WAITING,
        passed=Shard.passed + 1,
        attempt=Shard.attempt - 1,
        fence=Shard.fence + 1,
        lease_until=None,
    )


def known_verdicts(session: Session, claim: ShardClaim, model_digest: str) -> dict[str, Verdict]:
    """Return what this model has already said of any of these images' bytes, by hash."""
    hashes = [work.sha256 for work in claim.work]
    rows = session.execute(
        select(Image.sha256, *VERDICT_FIELDS)
        .join(Prediction, Prediction.image_id == Image.id)
        .where(Image.sha256.in_(hashes), Prediction.model_digest == model_digest)
    )
    return {sha256: Verdict.of(*columns) for sha256, *columns in rows if sha256}


def record(
    session: Session, claim: ShardClaim, model_digest: str, results: dict[int, Verdict | Failure]
) -> None:
    """Write all results of a shard, by image id, and close it. Commit, then `settle` the job.

    An image that has a verdict of an earlier run keeps it unless there is a new one.

    Raises:
        ValueError: an image of the claim has no result, or one that is not of it has.
        LeaseLost: another worker holds the shard now, or the job was cancelled; write nothing.
    """
    if results.keys() != {work.image_id for work in claim.work}:
        raise ValueError(f"The results of shard {claim.id} are not those of its images.")
    verdicts = {i: r for i, r in results.items() if isinstance(r, Verdict)}
    failures = {i: r for i, r in results.items() if isinstance(r, Failure)}
    closed = leases.write(
        session,
        claim,
        state=ShardState.DONE,
        lease_until=None,
        done_at=clock(),
        **tally(_results(results, model_digest)),
    )
    if not closed:
        raise LeaseLost(f"{claim} belongs to another worker now.")
    _write_predictions(session, model_digest, verdicts)
    update_rows(session, Image, [_judged(id_, v, model_digest) for id_, v in verdicts.items()])
    if write_failures(session, failures):
        count_again(session, [claim.id])


def _results(results: dict[int, Verdict | Failure], model_digest: str) -> Iterator[Result]:
    for result in results.values():
        if isinstance(result, Verdict):
            yield Result(ImageState.CLASSIFIED, result.outcome.value, result.label, model_digest)
        else:
            yield Result(ImageState.FAILED)


def write_failures(session: Session, failures: dict[int, Failure]) -> bool:
    """Note why images could not be judged, by image id; those that have a verdict keep it.

    True if there are any of those: what their shard counts is then not what was recorded.
    """
    judged = select(Image.id).where(Image.id.in_(failures), Image.state == ImageState.CLASSIFIED)
    keeping = set(session.scalars(judged)) if failures else set()
    update_rows(session, Image, [_not_anew(id_, failures[id_]) for id_ in keeping])
    others = failures.keys() - keeping
    update_rows(session, Image, [_failed(id_, failures[id_]) for id_ in others])
    return bool(keeping)


def record_shadow(session: Session, model_digest: str, verdicts: dict[int, Verdict]) -> None:
    """Store a shadow model's verdicts, by image id, beside the verdicts that count."""
    _write_predictions(session, model_digest, verdicts)


def _write_predictions(session: Session, model_digest: str, verdicts: dict[int, Verdict]) -> None:
    now = utcnow()
    rows = [
        {"image_id": id_, "model_digest": model_digest, **verdict.columns(), "created_at": now}
        for id_, verdict in verdicts.items()
    ]
    insert_new_rows(session, Prediction, rows)


def _judged(id_: int, verdict: Verdict, model_digest: str) -> dict[str, Any]:
    """Return the new column values of an image that has a verdict."""
    return {
        "id": id_,
        "state": ImageState.CLASSIFIED,
        "label": verdict.label,
        "confidence": verdict.confidence,
        "outcome": verdict.outcome.value,
        "model_digest": model_digest,
        "reason": verdict.reason or None,
        "message": None,
    }


def _failed(id_: int, failure: Failure) -> dict[str, Any]:
    """Return the new column values of an image without a verdict."""
    return {
        "id": id_,
        "state": ImageState.FAILED,
        "reason": failure.code[:40],
        "message": failure.message[:400],
    }


def _not_anew(id_: int, failure: Failure) -> dict[str, Any]:
    """Return the new column values of an image that keeps its earlier verdict."""
    return {"id": id_, "message": f"Could not be judged again. {failure.message}"[:400]}


def settle(session: Session, job_id: int) -> bool:
    """End the job if it has no shards left; True if this call ended it.

    Runs in a transaction of its own after the shard's: whoever commits last then sees all shards
    done, and the job's lock lets one of several win.
    """
    if _is_at_work(session, job_id):
        return False
    job = session.scalars(
        select(Job)
        .where(Job.id == job_id, Job.state.in_(LIVE))
        .with_for_update(key_share=True)
        .execution_options(populate_existing=True)
    ).first()
    # A retry may have come before the lock did: what counts is what stands there under it.
    if job is None or _is_at_work(session, job_id):
        return False
    job.state = JobState.FINISHED if _has_classified(session, job_id) else JobState.FAILED
    job.finished_at = utcnow()
    session.flush()
    return True


def _is_at_work(session: Session, job_id: int) -> bool:
    query = select(Shard.id).where(Shard.job_id == job_id, Shard.state.in_(LIVE_SHARDS))
    return session.scalar(query.limit(1)) is not None


def _has_classified(session: Session, job_id: int) -> bool:
    query = select(Image.id).where(Image.job_id == job_id, Image.state == ImageState.CLASSIFIED)
    return session.scalar(query.limit(1)) is not None
