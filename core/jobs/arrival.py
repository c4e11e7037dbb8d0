"""A job while it receives: files are announced, and each arrives or is refused."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from sqlalchemy import and_, select
from sqlalchemy.orm import Session

from core import registry
from core.errors import Conflict, Refused
from core.intake import Accepted, Arrival, clean_name, one_line
from core.jobs.lock import require_receiving
from core.jobs.queries import image_states
from core.models import Image, Job
from core.states import ImageState, JobState

_TOO_LATE = "This job no longer receives files. Start a new one."
# SQLite takes some thousands of variables in a statement; PostgreSQL plans short lists faster.
_PART = 500
# Nothing takes back what has been accepted.
_UNDECIDED = (ImageState.EXPECTED, ImageState.REFUSED)


@dataclass(frozen=True, slots=True)
class Entry:
    """One line of a manifest: the file's name, size in bytes, and SHA-256 where it is known."""

    name: str
    size: int
    sha256: str | None = None


def create(session: Session, owner_id: int, name: str, reference: str = "", model: str = "") -> Job:
    """Open an empty job that receives files.

    ``model`` is the start of the digest of the one that is to judge, kept until the job is
    submitted, however often its upload is interrupted; empty leaves it to the submission.

    Raises:
        Conflict: the model can't be chosen.
        NotFound: there is no such model.
    """
    title = one_line(name)[:200] or "Untitled"
    job = Job(owner_id=owner_id, name=title, reference=one_line(reference)[:200])
    job.model_digest = registry.choose(session, model) if model else None
    session.add(job)
    session.flush()
    return job


def announce(
    session: Session,
    job: Job,
    entries: Sequence[Entry],
    most: int,
    kept: Callable[[Accepted], bool] = lambda _accepted: True,
) -> list[tuple[Image, bool]]:
    """Add a manifest to a job; return its images in order, each with whether its bytes are needed.

    An entry that was announced before (same name, size and hash) is not added again, so sending a
    manifest twice is how an upload is resumed. Bytes that the same person sent before are not
    needed again, unless ``kept`` says that the store has lost them; of several entries with one
    hash only the first is.

    Raises:
        Conflict: the job no longer receives files, or would hold more than ``most``.
    """
    images, fresh = _entered(session, job, entries, most)
    held = _held(session, job.owner_id, fresh, kept)
    for image in fresh:
        if image.sha256 in held:
            _arrive(image, held[image.sha256])
    session.add_all(fresh)
    session.flush()
    return _with_need(images)


def take(session: Session, job: Job, arrivals: Sequence[Arrival], most: int) -> None:
    """Announce files that have come already, and note what became of each, in one go.

    Which of them were announced before is told as `announce` tells it, so that taking the same
    files twice changes nothing. Files of the same bytes that are still expected have come too.

    Raises:
        Conflict: as `announce`.
    """
    images, fresh = _entered(session, job, [_entry(one) for one in arrivals], most)
    session.add_all(fresh)
    for image, arrival in zip(images, arrivals, strict=True):
        if image.state in _UNDECIDED:
            _settle(image, arrival.result)
    kept = {one.result.sha256: one.result for one in arrivals if isinstance(one.result, Accepted)}
    same = and_(Image.job_id == job.id, Image.sha256.in_(sorted(kept)))
    for twin in session.scalars(select(Image).where(same, Image.state.in_(_UNDECIDED))):
        _arrive(twin, kept[twin.sha256 or ""])


def _entry(arrival: Arrival) -> Entry:
    if isinstance(arrival.result, Accepted):
        return Entry(arrival.name, arrival.result.size, arrival.result.sha256)
    return Entry(arrival.name, arrival.size)


def require_open(job: Job) -> None:
    """Raise `Conflict` for a job that, as it was read, receives no more: before bytes are taken."""
    if job.state is not JobState.RECEIVING:
        raise Conflict(_TOO_LATE)


_Announced = dict[tuple[str, int], list[Image]]


def _entered(
    session: Session, job: Job, entries: Sequence[Entry], most: int
) -> tuple[list[Image], list[Image]]:
    """Lock a job for more files; return the image of each entry, and those that are new."""
    require_receiving(session, job, _TOO_LATE)
    before = sum(image_states(session, job.id).values())
    images, fresh = _matched(session, job, entries, before)
    if before + len(fresh) > most:
        raise Conflict(f"A job holds at most {most:,} files. Split the batch into several jobs.")
    return images, fresh


def _matched(
    session: Session, job: Job, entries: Sequence[Entry], before: int
) -> tuple[list[Image], list[Image]]:
    """Return the image of each entry, and those among them that are new."""
    known = _announced(session, job, entries)
    images: list[Image] = []
    fresh: list[Image] = []
    taken: set[Image] = set()
    for entry in entries:
        image = _find(known, entry, taken)
        if image is None:
            image = _expected(job, before + len(fresh), entry)
            known.setdefault((image.name, image.size), []).append(image)
            fresh.append(image)
        taken.add(image)
        images.append(image)
    return images, fresh


def _announced(session: Session, job: Job, entries: Sequence[Entry]) -> _Announced:
    names = sorted({clean_name(entry.name) for entry in entries})
    known: _Announced = {}
    for start in range(0, len(names), _PART):
        part = names[start : start + _PART]
        of_these = select(Image).where(Image.job_id == job.id, Image.name.in_(part))
        for image in session.scalars(of_these.order_by(Image.position)):
            known.setdefault((image.name, image.size), []).append(image)
    return known


def _find(known: _Announced, entry: Entry, taken: set[Image]) -> Image | None:
    """Return the image an entry was announced as.

    Without a hash, name and size have to do; then two such lines of one manifest are two files,
    such as crops of one size and name from two folders, and must not be taken for one.
    """
    for image in known.get((clean_name(entry.name), entry.size), ()):
        if image.sha256 and entry.sha256:
            if image.sha256 == entry.sha256:
                return image
        elif image not in taken:
            return image
    return None


def _expected(job: Job, position: int, entry: Entry) -> Image:
    return Image(
        job_id=job.id,
        position=position,
        name=clean_name(entry.name),
        size=entry.size,
        sha256=entry.sha256,
        state=ImageState.EXPECTED,
    )


def _with_need(images: list[Image]) -> list[tuple[Image, bool]]:
    asked: set[str] = set()
    answer = []
    for image in images:
        needed = _lacks_bytes(image) and image.sha256 not in asked
        if image.sha256:
            asked.add(image.sha256)
        answer.append((image, needed))
    return answer


def _lacks_bytes(image: Image) -> bool:
    """Say whether to send it: bytes that were damaged on their way are worth another try."""
    damaged = image.state is ImageState.REFUSED and image.reason == "changed"
    return image.state is ImageState.EXPECTED or damaged


def _held(
    session: Session, owner_id: int, images: list[Image], kept: Callable[[Accepted], bool]
) -> dict[str, Accepted]:
    """Return what this person has sent before: a hash alone must not open another's images."""
    hashes = sorted({image.sha256 for image in images if image.sha256})
    held: dict[str, Accepted] = {}
    for start in range(0, len(hashes), _PART):
        rows = session.execute(
            select(Image.sha256, Image.size, Image.format, Image.width, Image.height)
            .join(Job, Job.id == Image.job_id)
            .where(Job.owner_id == owner_id, Image.sha256.in_(hashes[start : start + _PART]))
            .where(Image.format.is_not(None))
            .distinct()
        )
        for sha256, size, kind, width, height in rows:
            held[sha256 or ""] = Accepted(sha256 or "", size, kind or "", width or 0, height or 0)
    return {sha256: accepted for sha256, accepted in held.items() if kept(accepted)}


def _arrive(image: Image, accepted: Accepted) -> None:
    image.state = ImageState.RECEIVED
    image.reason = image.message = None
    image.sha256, image.size = accepted.sha256, accepted.size
    image.format, image.width, image.height = accepted.format, accepted.width, accepted.height


def _settle(image: Image, result: Accepted | Refused) -> None:
    if isinstance(result, Refused):
        image.state = ImageState.REFUSED
        image.reason, image.message = result.code, str(result)
    else:
        _arrive(image, result)


def receive(session: Session, job: Job, image: Image, accepted: Accepted) -> None:
    """Note that an image's bytes are kept; its twins of the same announced hash have come too.

    Raises:
        Conflict: the job no longer receives files.
    """
    require_receiving(session, job, _TOO_LATE, shared=True)
    for one in _twins(session, image):
        _arrive(one, accepted)


def refuse(session: Session, job: Job, image: Image, refused: Refused) -> None:
    """Note that a file was not accepted, and why. The job goes on.

    Raises:
        Conflict: the job no longer receives files.
    """
    require_receiving(session, job, _TOO_LATE, shared=True)
    for one in _twins(session, image):
        _settle(one, refused)


def _twins(session: Session, image: Image) -> Sequence[Image]:
    """Lock and return the files this upload speaks for: itself and those of the same hash.

    One that has been accepted is not among them; nothing takes that back. ``image`` may have been
    read in another session: it is as it stands now.
    """
    same = Image.id == image.id
    if image.sha256 is not None:
        same = and_(Image.job_id == image.job_id, Image.sha256 == image.sha256)
    found = session.scalars(
        select(Image)
        .where(same, Image.state.in_(_UNDECIDED))
        .order_by(Image.id)
        .with_for_update()
        .execution_options(populate_existing=True)
    ).all()
    if image not in found:
        session.refresh(image)
    return found
