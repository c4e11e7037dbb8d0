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

from core import jobs, registry
from core.errors import LeaseLost
from core.jobs import Claim, Failure, Work
from core.outages import trouble_of
from core.states import Lane
from lexicon.verdicts import Verdict
from ml.reading import Reading
from ml.serving import classify_readings
from worker.decoding import Decoder, readings
from worker.lease import Lease, kept
from worker.limit import OutOfTime
from worker.models import Model
from worker.packing import ModelUnusable
from worker.process import WorkerProcess
from worker.showing import complete_copies

# A batch of this size stays within a core's cache; larger batches are slower on a CPU
# (`benchmarks.layouts`). A GPU needs larger ones; the best size has not been measured yet.
BATCH, _GPU_BATCH = 8, 64
# How often a worker in the middle of a big job looks for a small job that somebody is waiting for,
# and how many such shards it then does before it goes on.
_LOOK_SECONDS, _MOST_ASIDE = 0.1, 4

log = logging.getLogger(__name__)
Results = dict[int, Verdict | Failure]


def classify_shard(here: WorkerProcess, shard_id: int) -> bool:
    """Classify and record a shard: this one, or for big jobs the one whose turn it is.

    False if all shards that were rung for are done or taken by other workers.
    """
    claim = _claim(here, shard_id)
    if claim is None:
        return False
    _classify(here, claim)
    return True


def _claim(here: WorkerProcess, shard_id: int) -> Claim | None:
    """Claim the shard whose turn it is; None if all that were rung for are done or taken."""
    passed: list[int] = []
    while True:
        with here.database.writing() as session:
            turn = jobs.in_turn(session, shard_id, passed)
            seconds, lacking = here.settings.lease_seconds, here.lacking.now()
            claim = jobs.claim(session, turn, here.name, seconds, lacking)
        if claim or turn in passed:
            return claim
        # Another worker was quicker; the shard of its own message must not be forgotten.
        passed.append(turn)


def _classify(here: WorkerProcess, claim: Claim) -> None:
    seconds = here.settings.lease_seconds
    started = time.monotonic()
    try:
        with kept(lambda: _renew(here, claim), seconds) as lease:
            digest, results = _results(here, claim, lease)
        shadows = _record(here, claim, digest, results)
    except LeaseLost as error:
        log.warning("Shard %d is dropped here. %s", claim.shard_id, error)
        return
    except (OSError, SQLAlchemyError) as error:
        reason = trouble_of(error) or type(error).__name__
        log.warning("Shard %d is tried again later: %s", claim.shard_id, reason)
        _forgive(here, claim)
        return
    except OutOfTime:
        _give_back(here, claim)
        raise
    _note(here, claim, results, time.monotonic() - started)
    _go_on(here, claim)
    complete_copies(here, [w for w in claim.work if isinstance(results[w.image_id], Verdict)])
    _follow(here, claim, results, shadows)


def _results(here: WorkerProcess, claim: Claim, lease: Lease) -> tuple[str, Results]:
    """Return the digest of the job's model and the result of each image.

    If no worker can have the model, the images fail with a message that says what to do.

    Raises:
        LeaseLost: another worker has the shard, or it was given back for one that has the model.
    """
    digest = claim.model_digest
    try:
        model = here.models.get(digest)
    except ModelUnusable as error:
        log.error("Shard %d: %s", claim.shard_id, error)
        with here.database.writing() as session:
            passed_on = jobs.pass_on(session, claim)
        if passed_on:
            here.lacking.note(digest)
            raise LeaseLost("Another worker may have its model.") from error
        failure = Failure("model", str(error)[:400])
        return digest, {work.image_id: failure for work in claim.work}
    return digest, classify(here, model, claim, lease, _between_batches(here, claim))


def _between_batches(here: WorkerProcess, claim: Claim) -> Callable[[], None]:
    return _nothing if claim.lane is Lane.INTERACTIVE else _Door(here).hold_open


def _nothing() -> None:
    """Do nothing between batches: a small job is not interrupted."""


class _Door:
    """Does waiting shards of small jobs between two batches of a big job."""

    def __init__(self, here: WorkerProcess) -> None:
        self._here = here
        self._looked = time.monotonic()

    def hold_open(self) -> None:
        """Do the waiting shards of small jobs, if it is time to look for them."""
        if time.monotonic() - self._looked < _LOOK_SECONDS:
            return
        # If the database does not answer, the big job just goes on.
        with suppress(SQLAlchemyError):
            with self._here.database.reading() as session:
                waiting = jobs.waiting_interactive(session, _MOST_ASIDE)
            for shard_id in waiting:
                classify_shard(self._here, shard_id)
        self._looked = time.monotonic()


def _forgive(here: WorkerProcess, claim: Claim) -> None:
    """Take the attempt back after an outage; it stays counted if the database is away."""
    with suppress(SQLAlchemyError), here.database.writing() as session:
        jobs.forgive(session, claim)


def _give_back(here: WorkerProcess, claim: Claim) -> None:
    """End the lease now, with the attempt counted, as if the worker had died over the shard."""
    with suppress(SQLAlchemyError), here.database.writing() as session:
        jobs.release(session, claim.shard_id, here.name, here.settings.max_attempts)


def classify(
    here: WorkerProcess,
    model: Model,
    claim: Claim,
    lease: Lease,
    between: Callable[[], None] = _nothing,
) -> Results:
    """Return the result of each of the claim's images under ``model``, by image id.

    ``between`` is called after every batch.

    Raises:
        LeaseLost: another worker has the shard, so the rest need not be done.
    """
    results, fresh = _known(here, model, claim)
    decoder = Decoder(here.blobs, model.bundle.metadata, here.settings.max_pixels)
    size = _GPU_BATCH if model.classifier.device == "gpu" else BATCH
    for batch in readings(decoder, fresh, size, here.decoders):
        lease.check()
        results |= _judge(model, batch)
        between()
    return results


def _known(here: WorkerProcess, model: Model, claim: Claim) -> tuple[Results, list[Work]]:
    """Separate the images whose bytes this model has already judged from the new ones."""
    with here.database.reading() as session:
        known = jobs.known_verdicts(session, claim, model.digest)
    results: Results = {w.image_id: known[w.sha256] for w in claim.work if w.sha256 in known}
    return results, [work for work in claim.work if work.sha256 not in known]


def _judge(model: Model, batch: Sequence[tuple[Work, Reading | Failure]]) -> Results:
    results: Results = {}
    readable: list[tuple[Work, Reading]] = []
    for work, read in batch:
        if isinstance(read, Failure):
            results[work.image_id] = read
        else:
            readable.append((work, read))
    said = classify_readings(model.classifier, [reading for _, reading in readable])
    for (work, _), one in zip(readable, said, strict=True):
        results[work.image_id] = one
    return results


def _renew(here: WorkerProcess, claim: Claim) -> bool:
    with here.database.writing() as session:
        return jobs.renew(session, claim, here.settings.lease_seconds)


def _record(here: WorkerProcess, claim: Claim, digest: str, results: Results) -> Sequence[str]:
    """Record the results; return the digests of the shadow models to run on the same images."""
    with here.database.writing() as session:
        jobs.record(session, claim, digest, results)
        return registry.shadows_of(session, claim.model_digest)


def _note(here: WorkerProcess, claim: Claim, results: Results, seconds: float) -> None:
    here.tally.add(len(results), seconds)
    failed = sum(isinstance(result, Failure) for result in results.values())
    log.info(
        "Job %d, shard %d: %d images in %.2f s, %d failed.",
        claim.job_id,
        claim.shard_id,
        len(results),
        seconds,
        failed,
    )


def _go_on(here: WorkerProcess, claim: Claim) -> None:
    """End the job if this was its last shard, and ring for the next ones."""
    if jobs.go_on(here.database, here.settings, claim.job_id):
        log.info("Job %d has ended.", claim.job_id)


def _follow(here: WorkerProcess, claim: Claim, results: Results, shadows: Sequence[str]) -> None:
    """Run the shadow models on the images just classified; failures are only logged."""
    judged = tuple(w for w in claim.work if isinstance(results[w.image_id], Verdict))
    try:
        for digest in shadows if judged else ():
            said = classify(here, here.models.get(digest), replace(claim, work=judged), Lease())
            verdicts = {i: one for i, one in said.items() if isinstance(one, Verdict)}
            with here.database.writing() as session:
                jobs.record_shadow(session, digest, verdicts)
    except Exception as error:
        # What goes wrong with a new model concerns that model, not the job.
        log.warning("Shard %d: a shadow failed: %s.", claim.shard_id, type(error).__name__)
