"""One row of each table of `benchmarks.history.population`, as the product would have left it."""

from __future__ import annotations

import datetime as dt
from collections.abc import Sequence
from dataclasses import dataclass
from random import Random

from benchmarks.history.loading import Row
from core.jobs.tallies import tally
from core.states import ImageState, JobState, Lane, MakingState, ShardState
from lexicon.refusals import SENTENCES

BEGAN = dt.datetime(2025, 1, 1, 8, tzinfo=dt.UTC)
DIGESTS = ("a" * 64, "b" * 64)
LABORATORY = 36
_INTERACTIVE = 16
_REFUSED = ("not_an_image", SENTENCES["not_an_image"])


@dataclass(frozen=True, slots=True)
class Fate:
    """How far a job came: ``submitted`` or still receiving, and the part of its shards done."""

    state: JobState
    submitted: bool = True
    done: float = 1.0


def job_row(rng: Random, number: int, states: Sequence[ImageState], fate: Fate) -> Row:
    """Return a job with its intake counts; half of all are one person's."""
    owner = 1 if rng.random() < 0.5 else rng.randrange(1, LABORATORY + 1)
    opened = BEGAN + dt.timedelta(minutes=50 * number + rng.randrange(50))
    started = fate.submitted and fate.state is not JobState.QUEUED
    ended = fate.state in (JobState.FINISHED, JobState.FAILED, JobState.CANCELLED)
    took = dt.timedelta(seconds=2 + len(states) / 100)
    work = states.count(ImageState.RECEIVED)
    fixed = states if fate.submitted else []
    return {
        "id": number + 1,
        "owner_id": owner,
        "name": f"Slide {number + 1}",
        "reference": f"{opened:%y}-{rng.randrange(10_000):04}",
        "state": fate.state,
        "lane": Lane.INTERACTIVE if work <= _INTERACTIVE else Lane.BATCH,
        "received": len(fixed),
        "duplicates": fixed.count(ImageState.DUPLICATE),
        "refused": fixed.count(ImageState.REFUSED),
        "settled_before": 0,
        "created_at": opened,
        "submitted_at": opened + dt.timedelta(minutes=1) if fate.submitted else None,
        "started_at": opened + dt.timedelta(minutes=2) if started else None,
        "finished_at": opened + dt.timedelta(minutes=2) + took if ended else None,
        "model_digest": DIGESTS[rng.random() < 0.7] if fate.submitted else None,
    }


def image_row(rng: Random, id_: int, job: Row, position: int, state: ImageState) -> Row:
    """Return a file as it arrived, was refused, or is still expected."""
    reason, message = _REFUSED if state is ImageState.REFUSED else (None, None)
    came = state in (ImageState.RECEIVED, ImageState.DUPLICATE)
    return {
        "id": id_,
        "job_id": job["id"],
        "shard_id": None,
        "duplicate_of_id": None,
        "position": position,
        "name": f"smear-{job['id']}/cell_{position:06}.png",
        "state": state,
        "reason": reason,
        "message": message,
        "sha256": rng.randbytes(32).hex(),
        "size": rng.randrange(8_000, 90_000),
        "format": "PNG" if came else None,
        "width": 360 if came else None,
        "height": 363 if came else None,
        "label": None,
        "confidence": None,
        "outcome": None,
        "model_digest": None,
    }


def point_duplicates_back(images: Sequence[Row]) -> None:
    """Give each duplicate the bytes of the last file before it that is none."""
    first = images[0]
    for image in images:
        if image["state"] is ImageState.RECEIVED:
            first = image
        elif image["state"] is ImageState.DUPLICATE:
            image["duplicate_of_id"], image["sha256"] = first["id"], first["sha256"]


def shard_state(index: int, done: int, fate: Fate) -> ShardState:
    """Return the state of a job's shard by its index, the first ``done`` being done."""
    if index < done:
        return ShardState.DONE
    if fate.state is JobState.CANCELLED:
        return ShardState.DROPPED
    return ShardState.LEASED if done and index < done + 2 else ShardState.WAITING


def shard_row(id_: int, job: Row, size: int, state: ShardState) -> Row:
    """Return a shard of which nothing is counted yet."""
    return {
        "id": id_,
        "job_id": job["id"],
        "lane": job["lane"],
        "state": state,
        "size": size,
        **tally(()),
        "attempt": int(state is not ShardState.WAITING),
        "fence": int(state is not ShardState.WAITING),
        "worker": None if state is ShardState.WAITING else "worker-1",
        "published_at": None,
        "lease_until": 4e9 if state is ShardState.LEASED else None,
        "done_at": 1.0 if state is ShardState.DONE else None,
    }


def made_row(id_: int, job: Row, key: str) -> Row:
    """Return what a report and an explanation that were made have in common."""
    return {
        "id": id_,
        "state": MakingState.READY,
        "attempt": 1,
        "fence": 1,
        "lease_until": None,
        "published_at": None,
        "blob_key": key,
        "message": None,
        "created_at": job["finished_at"] or job["created_at"],
        "finished_at": job["finished_at"] or job["created_at"],
    }
