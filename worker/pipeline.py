"""Decodes, classifies and records a shard of images, without Celery.

A shard may be done twice, or by two workers at once: the lease and its fence decide whose results
count, and they are written in one transaction. Shadow models run after that; no failure of theirs
affects the job.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import replace

from sqlalchemy.exc import SQLAlchemyError

from core import jobs, leases, registry
from core.errors import LeaseLost
from core.jobs import Failure, ShardClaim, Work
from core.outages import trouble_of
from core.states import Lane
from lexicon.verdicts import Verdict
from ml.reading import Reading
from ml.serving import classify_readings
from worker.decoding import Decoder, readings
from worker.deriving import complete_copies
from worker.lease import Lease, holding
from worker.limits import OutOfTime
from worker.models import LoadedModel
from worker.packing import ModelUnusable
from worker.process import WorkerProcess

# A batch of this size stays within a core's cache; larger batches are slower on a CPU
# (`benchmarks.layouts`). A GPU needs larger ones; the best size has not been measured yet.
BATCH, _GPU_BATCH = 8, 64
# How often a worker in the middle of a big job looks for a small job that somebody is waiting for,
# and how many such shards it then does before it goes on.
_LOOK_SECONDS, _MOST_ASIDE = 0.1, 4

log = logging.getLogger(__name__)
Results = dict[int, Verdict | Failure]


def classify_shard(process: WorkerProcess, shard_id: int) -> bool:
    """Classify and record a shard: this one, or for big jobs the one whose turn it is.

    False if all shards that were rung for are done or taken by other workers.
    """
    claim = _claim(process, shard_id)
    if claim is None:
        return False
    _classify(process, claim)
    return True


def _claim(process: WorkerProcess, shard_id: int) -> ShardClaim | None:
    """Claim the shard whose turn it is; None if all that were rung for are done or taken."""
    passed: list[int] = []
    while True:
        with process.database.writing() as session:
            turn = jobs.in_turn(session, shard_id, passed)
            seconds, lacking = process.settings.lease_seconds, process.lacking.now()
            claim = jobs.claim(session, turn, process.name, seconds, lacking)
        if claim or turn in passed:
            return claim
        # Another worker was quicker; the shard of its own message must not be forgotten.
        passed.append(turn)


def _classify(process: WorkerProcess, claim: ShardClaim) -> None:
    started = time.monotonic()
    try:
        with holding(process, claim) as lease:
            digest, results = _results(process, claim, lease)
        with process.database.writing() as session:
            jobs.record(session, claim, digest, results)
            shadows = registry.shadows_of(session, claim.model_digest)
    except LeaseLost as error:
        log.warning("Shard %d is dropped here. %s", claim.id, error)
        return
    except (OSError, SQLAlchemyError) as error:
        reason = trouble_of(error) or type(error).__name__
        log.warning("Shard %d is tried again later: %s", claim.id, reason)
        _forgive(process, claim)
        return
    except OutOfTime:
        _give_back(process, claim)
        raise
    _note(process, claim, results, time.monotonic() - started)
    if jobs.go_on(process.database, process.settings, claim.job_id):
        log.info("Job %d has ended.", claim.job_id)
    judged = tuple(work for work in claim.work if isinstance(results[work.image_id], Verdict))
    complete_copies(process, judged)
    _run_shadows(process, replace(claim, work=judged), shadows)


def _results(process: WorkerProcess, claim: ShardClaim, lease: Lease) -> tuple[str, Results]:
    """Return the digest of the job's model and the result of each image.

    If no worker can have the model, the images fail with a message that says what to do.

    Raises:
        LeaseLost: another worker has the shard, or it was given back for one that has the model.
    """
    digest = claim.model_digest
    try:
        model = process.models.get(digest)
    except ModelUnusable as error:
        log.error("Shard %d: %s", claim.id, error)
        with process.database.writing() as session:
            passed_on = jobs.pass_on(session, claim)
        if passed_on:
            process.lacking.note(digest)
            raise LeaseLost("Another worker may have its model.") from error
        failure = Failure("model", str(error)[:400])
        return digest, {work.image_id: failure for work in claim.work}
    between = _nothing if claim.lane is Lane.INTERACTIVE else _SmallJobs(process).let_pass
    return digest, classify(process, model, claim, lease, between)


def _nothing() -> None:
    """Do nothing between batches: a small job is not interrupted."""


class _SmallJobs:
    """Does waiting shards of small jobs between two batches of a big job."""

    def __init__(self, process: WorkerProcess) -> None:
        self._process = process
        self._looked = time.monotonic()

    def let_pass(self) -> None:
        """Do the waiting shards of small jobs, if it is time to look for them."""
        if time.monotonic() - self._looked < _LOOK_SECONDS:
            return
        # If the database does not answer, the big job just goes on.
        with suppress(SQLAlchemyError):
            with self._process.database.reading() as session:
                waiting = jobs.waiting_interactive(session, _MOST_ASIDE)
            for shard_id in waiting:
                classify_shard(self._process, shard_id)
        self._looked = time.monotonic()


def _forgive(process: WorkerProcess, claim: ShardClaim) -> None:
    """Take the attempt back after an outage; it stays counted if the database is away."""
    with suppress(SQLAlchemyError), process.database.writing() as session:
        leases.excuse(session, claim)


def _give_back(process: WorkerProcess, claim: ShardClaim) -> None:
    """End the lease now, with the attempt counted, as if the worker had died over the shard."""
    with suppress(SQLAlchemyError), process.database.writing() as session:
        jobs.release(session, claim.id, process.name, process.settings.max_attempts)


def classify(
    process: WorkerProcess,
    model: LoadedModel,
    claim: ShardClaim,
    lease: Lease,
    between: Callable[[], None] = _nothing,
) -> Results:
    """Return the result of each of the claim's images under ``model``, by image id.

    ``between`` is called after every batch.

    Raises:
        LeaseLost: another worker has the shard, so the rest need not be done.
    """
    with process.database.reading() as session:
        # What this model has judged before, of the same bytes, is taken over.
        known_verdicts = jobs.known_verdicts(session, claim, model.digest)
    results: Results = {}
    new_work: list[Work] = []
    for work in claim.work:
        if work.sha256 in known_verdicts:
            results[work.image_id] = known_verdicts[work.sha256]
        else:
            new_work.append(work)
    decoder = Decoder(process.blobs, model.bundle.metadata, process.settings.max_pixels)
    size = _GPU_BATCH if model.classifier.device == "gpu" else BATCH
    for batch in readings(decoder, new_work, size, process.decoders):
        lease.check()
        results |= _judge(model, batch)
        between()
    return results


def _judge(model: LoadedModel, batch: Sequence[tuple[Work, Reading | Failure]]) -> Results:
    results: Results = {}
    readable: list[tuple[Work, Reading]] = []
    for work, reading in batch:
        if isinstance(reading, Failure):
            results[work.image_id] = reading
        else:
            readable.append((work, reading))
    verdicts = classify_readings(model.classifier, [reading for _, reading in readable])
    for (work, _), verdict in zip(readable, verdicts, strict=True):
        results[work.image_id] = verdict
    return results


def _note(process: WorkerProcess, claim: ShardClaim, results: Results, seconds: float) -> None:
    process.throughput.add(len(results), seconds)
    failed = sum(isinstance(result, Failure) for result in results.values())
    log.info(
        "Job %d, shard %d: %d images in %.2f s, %d failed.",
        claim.job_id,
        claim.id,
        len(results),
        seconds,
        failed,
    )


def _run_shadows(process: WorkerProcess, claim: ShardClaim, shadows: Sequence[str]) -> None:
    """Run the shadow models on the claim's images; failures are only logged."""
    try:
        for digest in shadows if claim.work else ():
            results = classify(process, process.models.get(digest), claim, Lease())
            verdicts = {id_: r for id_, r in results.items() if isinstance(r, Verdict)}
            with process.database.writing() as session:
                jobs.record_shadow(session, digest, verdicts)
    except Exception as error:
        # What goes wrong with a new model concerns that model, not the job.
        log.warning("Shard %d: a shadow failed: %s.", claim.id, type(error).__name__)
