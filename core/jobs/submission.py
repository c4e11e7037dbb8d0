"""A job from its first announced file to the moment its shards wait, and back again by a retry."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from sqlalchemy import Select, delete, func, select, update
from sqlalchemy.orm import Session, aliased

from core.db import utcnow
from core.errors import Conflict, Refused
from core.intake import REASONS, Accepted, clean_name
from core.models import Image, Job, Shard
from core.settings import Settings
from core.states import ImageState, JobState, Lane, ShardState

_CLOSED = (JobState.FINISHED, JobState.FAILED, JobState.CANCELLED)
_LIVE_SHARDS = (ShardState.WAITING, ShardState.PUBLISHED, ShardState.LEASED)


@dataclass(frozen=True, slots=True)
class Entry:
    """One line of a manifest: the file's name, size in bytes, and SHA-256 where it is known."""

    name: str
    size: int
    sha256: str | None = None


def create(session: Session, owner_id: int, name: str, reference: str = "") -> Job:
    """Open an empty job that receives files."""
    job = Job(owner_id=owner_id, name=name.strip()[:200] or "Untitled", reference=reference[:200])
    session.add(job)
    session.flush()
    return job


def announce(
    session: Session, job: Job, entries: Sequence[Entry], most: int
) -> list[tuple[Image, bool]]:
    """Add a manifest to a job; return its images in order, each with whether its bytes are needed.

    An entry that was announced before (same name, size and hash) is not added again, so sending a
    manifest twice is how an upload is resumed. Bytes that the same person sent before are not
    needed again; of several entries with one hash only the first is.

    Raises:
        Conflict: the job no longer receives files, or would hold more than ``most``.
    """
    _require(job, JobState.RECEIVING, "This job no longer receives files. Start a new one.")
    known = _announced(session, job, entries)
    found = [_find(known, entry) for entry in entries]
    fresh = [entry for entry, image in zip(entries, found, strict=True) if image is None]
    total = sum(_count(session, job).values())
    if total + len(fresh) > most:
        raise Conflict(f"A job holds at most {most:,} files. Split the batch into several jobs.")
    held = _held(session, job.owner_id, [e.sha256 for e in fresh if e.sha256])
    for entry in fresh:
        if _find(known, entry) is None:
            one = _expected(job, total, entry, held)
            known.setdefault((one.name, entry.size), []).append(one)
            session.add(one)
            total += 1
    session.flush()
    announced = (_find(known, entry) for entry in entries)
    return _with_need([image for image in announced if image is not None])


_Announced = dict[tuple[str, int], list[Image]]


def _announced(session: Session, job: Job, entries: Sequence[Entry]) -> _Announced:
    names = sorted({clean_name(entry.name) for entry in entries})
    known: _Announced = {}
    for start in range(0, len(names), 500):
        part = names[start : start + 500]
        for image in session.scalars(
            select(Image).where(Image.job_id == job.id, Image.name.in_(part))
        ):
            known.setdefault((image.name, image.size), []).append(image)
    return known


def _find(known: _Announced, entry: Entry) -> Image | None:
    """Return the image an entry was announced as; without a hash, name and size have to do."""
    for image in known.get((clean_name(entry.name), entry.size), ()):
        if not (image.sha256 and entry.sha256) or image.sha256 == entry.sha256:
            return image
    return None


def _expected(job: Job, position: int, entry: Entry, held: dict[str, Accepted]) -> Image:
    image = Image(
        job_id=job.id,
        position=position,
        name=clean_name(entry.name),
        size=entry.size,
        sha256=entry.sha256,
        state=ImageState.EXPECTED,
    )
    if entry.sha256 in held:
        _arrive(image, held[entry.sha256])
    return image


def _with_need(images: list[Image]) -> list[tuple[Image, bool]]:
    asked: set[str] = set()
    answer = []
    for image in images:
        needed = image.state is ImageState.EXPECTED and image.sha256 not in asked
        if image.sha256:
            asked.add(image.sha256)
        answer.append((image, needed))
    return answer


def _held(session: Session, owner_id: int, hashes: list[str]) -> dict[str, Accepted]:
    """Return what this person has sent before: a hash alone must not open another's images."""
    held: dict[str, Accepted] = {}
    for start in range(0, len(hashes), 500):
        rows = session.scalars(
            select(Image)
            .join(Job)
            .where(
                Job.owner_id == owner_id,
                Image.sha256.in_(hashes[start : start + 500]),
                Image.format.is_not(None),
            )
        )
        held |= {image.sha256: _accepted(image) for image in rows if image.sha256}
    return held


def _accepted(image: Image) -> Accepted:
    return Accepted(
        image.sha256 or "", image.size, image.format or "", image.width or 0, image.height or 0
    )


def _arrive(image: Image, accepted: Accepted) -> None:
    image.state = ImageState.RECEIVED
    image.sha256, image.size = accepted.sha256, accepted.size
    image.format, image.width, image.height = accepted.format, accepted.width, accepted.height


def receive(session: Session, job: Job, image: Image, accepted: Accepted) -> None:
    """Note that an image's bytes are kept; its twins of the same announced hash have come too."""
    _require(job, JobState.RECEIVING, "This job no longer receives files. Start a new one.")
    for one in _twins(session, image):
        _arrive(one, accepted)


def refuse(session: Session, job: Job, image: Image, refused: Refused) -> None:
    """Note that a file was not accepted, and why. The job goes on."""
    _require(job, JobState.RECEIVING, "This job no longer receives files. Start a new one.")
    for one in _twins(session, image):
        one.state = ImageState.REFUSED
        one.reason, one.message = refused.code, str(refused)


def _twins(session: Session, image: Image) -> list[Image]:
    waiting = [image] if image.state in (ImageState.EXPECTED, ImageState.REFUSED) else []
    if image.sha256 is None:
        return waiting
    others = session.scalars(
        select(Image).where(
            Image.job_id == image.job_id,
            Image.sha256 == image.sha256,
            Image.state == ImageState.EXPECTED,
            Image.id != image.id,
        )
    )
    return [*waiting, *others]


def submit(session: Session, job: Job, settings: Settings, *, without_missing: bool) -> None:
    """Close the intake and cut the shards. Commit, then dispatch.

    Raises:
        Conflict: it was submitted before, holds no file, or files are still missing and
            ``without_missing`` is not set.
    """
    _require(job, JobState.RECEIVING, "This job was submitted before.")
    _settle_missing(session, job, without_missing)
    _set_duplicates_aside(session, job)
    counts = _count(session, job)
    job.received = sum(counts.values())
    if not job.received:
        raise Conflict("The job holds no file yet. Add images, then submit it.")
    job.duplicates = counts.get(ImageState.DUPLICATE, 0)
    job.refused = counts.get(ImageState.REFUSED, 0)
    job.submitted_at = utcnow()
    _cut(session, job, settings)


def _settle_missing(session: Session, job: Job, without_missing: bool) -> None:
    missing = update(Image).where(Image.job_id == job.id, Image.state == ImageState.EXPECTED)
    if not without_missing:
        count = _count(session, job).get(ImageState.EXPECTED, 0)
        if count:
            raise Conflict(f"{count:,} announced files have not arrived. Send them, or go without.")
    session.execute(
        missing.values(
            state=ImageState.REFUSED, reason="not_received", message=REASONS["not_received"]
        )
    )


def _set_duplicates_aside(session: Session, job: Job) -> None:
    """Of equal bytes within the job, the first file is the cell; the rest point to it."""
    first = aliased(Image)
    earliest = (
        select(func.min(first.id))
        .where(
            first.job_id == job.id,
            first.sha256 == Image.sha256,
            first.state == ImageState.RECEIVED,
        )
        .scalar_subquery()
    )
    session.execute(
        update(Image)
        .where(Image.job_id == job.id, Image.state == ImageState.RECEIVED, Image.id != earliest)
        .values(state=ImageState.DUPLICATE, duplicate_of_id=earliest),
        execution_options={"synchronize_session": False},
    )


def _cut(session: Session, job: Job, settings: Settings) -> None:
    """Put the images that wait into new shards and the job into the queue that fits its size."""
    ids = session.scalars(_waiting(job)).all()
    job.lane = Lane.INTERACTIVE if len(ids) <= settings.interactive_limit else Lane.BATCH
    job.state = JobState.QUEUED if ids else JobState.FAILED
    job.finished_at = None if ids else utcnow()
    pieces = [ids[i : i + settings.shard_size] for i in range(0, len(ids), settings.shard_size)]
    shards = [Shard(job_id=job.id, lane=job.lane, size=len(piece)) for piece in pieces]
    session.add_all(shards)
    session.flush()
    for shard, piece in zip(shards, pieces, strict=True):
        session.execute(update(Image).where(Image.id.in_(piece)).values(shard_id=shard.id))


def _waiting(job: Job) -> Select[int]:
    return (
        select(Image.id)
        .where(Image.job_id == job.id, Image.state == ImageState.RECEIVED)
        .order_by(Image.position)
    )


def cancel(session: Session, job: Job) -> None:
    """Stop a job: what has not started never will, what is running records nothing more.

    Raises:
        Conflict: the job has already ended.
    """
    if job.state in _CLOSED:
        raise Conflict("This job has already ended; there is nothing to cancel.")
    session.execute(
        update(Shard)
        .where(Shard.job_id == job.id, Shard.state.in_(_LIVE_SHARDS))
        .values(state=ShardState.DROPPED, fence=Shard.fence + 1, lease_until=None)
    )
    job.state, job.finished_at = JobState.CANCELLED, utcnow()


def retry_failed(session: Session, job: Job, settings: Settings) -> int:
    """Queue the images that failed once more; return how many.

    Raises:
        Conflict: the job has not ended, or nothing in it failed.
    """
    if job.state not in (JobState.FINISHED, JobState.FAILED):
        raise Conflict("Only a job that has ended can be retried.")
    count = _put_back(session, job, (ImageState.FAILED,))
    if not count:
        raise Conflict("No image of this job failed; there is nothing to retry.")
    session.execute(
        update(Shard).where(Shard.job_id == job.id).values(failed=0, size=Shard.classified)
    )
    _cut(session, job, settings)
    return count


def run_again(session: Session, job: Job, settings: Settings) -> int:
    """Queue every accepted image once more, under the model that is in use now; return how many.

    What this model has said of an image before is taken over, not computed again. A cancelled job
    takes up where it stopped.

    Raises:
        Conflict: the job has not ended, or holds no accepted image.
    """
    if job.state not in _CLOSED or job.submitted_at is None:
        raise Conflict("Only a job that was submitted and has ended can be run again.")
    _put_back(session, job, (ImageState.FAILED, ImageState.CLASSIFIED))
    count = _count(session, job).get(ImageState.RECEIVED, 0)
    if not count:
        raise Conflict("No file of this job was accepted; there is nothing to run.")
    session.execute(delete(Shard).where(Shard.job_id == job.id))
    _cut(session, job, settings)
    return count


def _put_back(session: Session, job: Job, states: tuple[ImageState, ...]) -> int:
    done = session.execute(
        update(Image)
        .where(Image.job_id == job.id, Image.state.in_(states))
        .values(
            state=ImageState.RECEIVED,
            shard_id=None,
            reason=None,
            message=None,
            label=None,
            confidence=None,
            outcome=None,
            model_digest=None,
        ),
        execution_options={"synchronize_session": False},
    )
    return int(getattr(done, "rowcount", 0))


def _count(session: Session, job: Job) -> dict[ImageState, int]:
    rows = session.execute(
        select(Image.state, func.count()).where(Image.job_id == job.id).group_by(Image.state)
    )
    return {state: count for state, count in rows}


def _require(job: Job, state: JobState, otherwise: str) -> None:
    if job.state is not state:
        raise Conflict(otherwise)
