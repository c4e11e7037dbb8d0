"""A shard of images → decoded, classified, recorded. No Celery in it.

What is done here may be done twice, or by two workers at once: the lease and its fence decide
whose results count, and they are written in one transaction.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress

import numpy as np
from sqlalchemy.exc import SQLAlchemyError

from core import jobs
from core.errors import LeaseLost, QueueUnavailable
from core.jobs import Claim, Failure, Verdict, Work
from ml.images import Pixels
from ml.inference import predictions
from worker.decoding import Decoder, ahead
from worker.lease import Lease, kept
from worker.process import WorkerProcess

# Small enough to overlap decoding with the network within one shard and to notice a lost lease
# soon; larger batches are no faster on a CPU.
BATCH = 16

log = logging.getLogger(__name__)
Results = dict[int, Verdict | Failure]


def classify_shard(here: WorkerProcess, shard_id: int) -> None:
    """Classify one shard's images and record them, unless it is done, dropped or another's."""
    seconds = here.settings.lease_seconds
    with here.database.writing() as session:
        claim = jobs.claim(session, shard_id, here.name, seconds)
    if claim is None:
        return
    started = time.monotonic()
    try:
        with kept(lambda: _renew(here, claim), seconds) as lease:
            results = classify(here, claim, lease)
        _record(here, claim, results)
    except LeaseLost:
        log.warning("Shard %d is another worker's now, or cancelled: results dropped.", shard_id)
        return
    except (OSError, SQLAlchemyError) as error:
        log.warning("Shard %d is tried again later: %s.", shard_id, type(error).__name__)
        _forgive(here, claim)
        return
    _note(here, claim, results, time.monotonic() - started)
    _go_on(here, claim)


def _forgive(here: WorkerProcess, claim: Claim) -> None:
    """The store or the database is away; if it is the database, the attempt stays counted."""
    with suppress(SQLAlchemyError), here.database.writing() as session:
        jobs.forgive(session, claim)


def classify(here: WorkerProcess, claim: Claim, lease: Lease) -> Results:
    """Return what became of each of the claim's images, by image id.

    Raises:
        LeaseLost: another worker has the shard; the rest is not worth doing.
    """
    results, fresh = _known(here, claim)
    read = Decoder(here.blobs, here.classifier.bundle.metadata.shape, here.settings.max_pixels)
    with ThreadPoolExecutor(here.decoders, thread_name_prefix="decode") as pool:
        for batch in ahead(pool, read, fresh, BATCH):
            lease.check()
            results |= _judge(here, batch)
    return results


def _known(here: WorkerProcess, claim: Claim) -> tuple[Results, list[Work]]:
    """Part the images whose bytes this model has judged before from those that are new to it."""
    with here.database.reading() as session:
        known = jobs.known_verdicts(session, claim, here.classifier.bundle.digest)
    results: Results = {w.image_id: known[w.sha256] for w in claim.work if w.sha256 in known}
    return results, [work for work in claim.work if work.sha256 not in known]


def _judge(here: WorkerProcess, batch: Sequence[tuple[Work, Pixels | Failure]]) -> Results:
    results: Results = {}
    readable: list[tuple[Work, Pixels]] = []
    for work, read in batch:
        if isinstance(read, Failure):
            results[work.image_id] = read
        else:
            readable.append((work, read))
    if readable:
        pixels = np.stack([image for _, image in readable])
        said = predictions(here.classifier, here.classifier.classify(pixels))
        for (work, _), one in zip(readable, said, strict=True):
            results[work.image_id] = Verdict(
                one.label, one.confidence, str(one.outcome), one.probabilities
            )
    return results


def _renew(here: WorkerProcess, claim: Claim) -> bool:
    with here.database.writing() as session:
        return jobs.renew(session, claim, here.settings.lease_seconds)


def _record(here: WorkerProcess, claim: Claim, results: Results) -> None:
    with here.database.writing() as session:
        jobs.record(session, claim, here.classifier.bundle.digest, results)


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
    with here.database.writing() as session:
        ended = jobs.settle(session, claim.job_id)
    if ended:
        log.info("Job %d has ended.", claim.job_id)
    try:
        jobs.dispatch(here.database, here.queue, here.settings)
    except QueueUnavailable:
        log.warning("The queue does not answer; the sweep rings once it does.")
