"""A job that is receiving: files are announced, and each one arrives or is refused.

Files that were skipped among them are not part of the job, but are listed with it.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, replace

from sqlalchemy import and_, bindparam, func, select
from sqlalchemy.orm import Session

from core import registry
from core.db import in_parts, insert_new_rows
from core.errors import Conflict, Refused
from core.intake import Accepted, Arrival, refusal
from core.jobs.holdings import holds_bytes
from core.jobs.lock import lock_bytes, require_receiving
from core.jobs.queries import image_states
from core.states import ImageState, JobState
from core.tables import Image, Job, Skipped
from lexicon.folders import Skip
from lexicon.names import clean_name, name_apart, one_line

_TOO_LATE = "This job no longer receives files. Start a new one."
# Nothing takes back what has been accepted.
_UNDECIDED = (ImageState.EXPECTED, ImageState.REFUSED)
# Those that a file's bytes decide about, locked; put together once, since every file asks for them.
_TO_DECIDE = (
    select(Image)
    .where(Image.state.in_(_UNDECIDED))
    .order_by(Image.id)
    .with_for_update()
    .execution_options(populate_existing=True)
)
_ITSELF = _TO_DECIDE.where(Image.id == bindparam("image"))
_ALIKE = _TO_DECIDE.where(Image.job_id == bindparam("job"), Image.sha256 == bindparam("sha256"))

# Tells whether the store keeps the bytes with this hash.
IsStored = Callable[[Accepted], bool]


def _all_stored(_accepted: Accepted) -> bool:
    return True


@dataclass(frozen=True, slots=True)
class Entry:
    """One line of a manifest: the file's name, size in bytes, and SHA-256 where it is known."""

    name: str
    size: int
    sha256: str | None = None


def create(session: Session, owner_id: int, name: str, reference: str = "", model: str = "") -> Job:
    """Open an empty job that receives files.

    ``model`` is the start of the digest of the model that shall judge. It is kept until the job is
    submitted, however often the upload is interrupted; empty leaves the choice to the submission.

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
    is_stored: IsStored = _all_stored,
    hopeless: Callable[[Image], bool] = lambda _image: False,
) -> list[tuple[Image, bool]]:
    """Add a manifest to a job; return its images in order, and for each whether to send its bytes.

    An entry that was announced before (same name, size and hash) is not added again, so sending a
    manifest twice is how an upload is resumed. Bytes that the same person sent before are not
    needed again, unless ``is_stored`` says that the store has lost them; of several entries with
    one hash only the first is. What is ``hopeless`` will be refused however it comes, and needs no
    room.

    Raises:
        Conflict: the job no longer receives files, or would hold more than ``most``.
    """
    images, fresh = _entered(session, job, entries, most)
    held = _held(session, job.owner_id, fresh, is_stored)
    job.bytes += _added_bytes([image for image in fresh if not hopeless(image)], held)
    for image in fresh:
        if image.sha256 in held:
            _arrive(image, held[image.sha256])
    session.add_all(fresh)
    session.flush()
    return _with_need(images)


def take(
    session: Session,
    job: Job,
    arrivals: Sequence[Arrival],
    most: int,
    is_stored: IsStored = _all_stored,
) -> None:
    """Announce files that have already arrived, and record the result of each, in one go.

    Which of them were announced before is told as `announce` tells it, so that taking the same
    files twice changes nothing. Files of the same bytes that are still expected have come too.
    ``is_stored`` is as for `receive`.

    Raises:
        Conflict: as `announce`.
    """
    images, fresh = _entered(session, job, [_entry(arrival) for arrival in arrivals], most)
    arrivals = [
        replace(arrival, result=_if_stored(arrival.result, is_stored)) for arrival in arrivals
    ]
    pairs = list(zip(images, arrivals, strict=True))
    come = {image for image, arrival in pairs if isinstance(arrival.result, Accepted)}
    held = _held(session, job.owner_id, fresh, _all_stored)
    job.bytes += _added_bytes([image for image in fresh if image in come], held)
    session.add_all(fresh)
    for image, arrival in pairs:
        if image.state in _UNDECIDED:
            _apply(image, arrival.result)
    accepted = {a.result.sha256: a.result for a in arrivals if isinstance(a.result, Accepted)}
    same = and_(Image.job_id == job.id, Image.sha256.in_(sorted(accepted)))
    for twin in session.scalars(select(Image).where(same, Image.state.in_(_UNDECIDED))):
        _arrive(twin, accepted[twin.sha256 or ""])


def _entry(arrival: Arrival) -> Entry:
    if isinstance(arrival.result, Accepted):
        return Entry(arrival.name, arrival.result.size, arrival.result.sha256)
    return Entry(arrival.name, arrival.size)


def require_open(job: Job) -> None:
    """Raise `Conflict` before any bytes are taken, if the job no longer receives files."""
    if job.state is not JobState.RECEIVING:
        raise Conflict(_TOO_LATE)


_Announced = dict[str, list[Image]]


def _entered(
    session: Session, job: Job, entries: Sequence[Entry], most: int
) -> tuple[list[Image], list[Image]]:
    """Lock a job for more files; return the image of each entry, and those that are new."""
    require_receiving(session, job, _TOO_LATE)
    lock_bytes(session, shared=True)
    before = sum(image_states(session, job.id).values())
    images, fresh = _matched(session, job, entries, before)
    if before + len(fresh) > most:
        raise Conflict(f"A job can hold at most {most:,} files. Split the batch into several jobs.")
    return images, fresh


def _matched(
    session: Session, job: Job, entries: Sequence[Entry], before: int
) -> tuple[list[Image], list[Image]]:
    """Return the image of each entry, and those among them that are new."""
    names = [clean_name(entry.name) for entry in entries]
    announced = _announced(session, job, names)
    apart = _names_apart(names, entries, announced)
    announced |= _announced(session, job, list(apart.values()))
    images: list[Image] = []
    fresh: list[Image] = []
    matched: set[Image] = set()
    for index, (name, entry) in enumerate(zip(names, entries, strict=True)):
        other = apart.get(index, name)
        namesakes = [*announced.get(name, ()), *(announced.get(other, ()) if other != name else ())]
        image = _announced_as(namesakes, entry, matched)
        if image is None:
            free = name if name not in announced else other
            image = _expected(job, before + len(fresh), free, entry)
            announced.setdefault(image.name, []).append(image)
            fresh.append(image)
        matched.add(image)
        images.append(image)
    return images, fresh


def _announced(session: Session, job: Job, names: Sequence[str]) -> _Announced:
    announced: _Announced = {}
    for part in in_parts(sorted(set(names))):
        of_these = select(Image).where(Image.job_id == job.id, Image.name.in_(part))
        for image in session.scalars(of_these.order_by(Image.position)):
            announced.setdefault(image.name, []).append(image)
    return announced


def _names_apart(
    names: Sequence[str], entries: Sequence[Entry], announced: _Announced
) -> dict[int, str]:
    """Return the other name under which an entry is kept if another file already has its name.

    The name shows what tells the files apart, and stays the same if the entry is announced again.
    """
    met: Counter[str] = Counter()
    apart: dict[int, str] = {}
    for index, (name, entry) in enumerate(zip(names, entries, strict=True)):
        met[name] += 1
        hashes = {image.sha256 for image in announced.get(name, ())}
        if (hashes or met[name] > 1) and (entry.sha256 is None or entry.sha256 not in hashes):
            nth = f", {met[name]}" if met[name] > 1 else ""
            mark = entry.sha256[:8] if entry.sha256 else f"{entry.size} bytes{nth}"
            apart[index] = name_apart(name, mark)
    return apart


def _announced_as(namesakes: Sequence[Image], entry: Entry, matched: set[Image]) -> Image | None:
    """Return the image that an entry was announced as, among the images with its name.

    Without a hash, name and size have to do; then two such lines of one manifest are two files,
    such as crops of one size and name from two folders, and must not be taken for one.
    """
    for image in namesakes:
        if image.sha256 and entry.sha256:
            if image.sha256 == entry.sha256:
                return image
        elif image.size == entry.size and image not in matched:
            return image
    return None


def _expected(job: Job, position: int, name: str, entry: Entry) -> Image:
    return Image(
        job_id=job.id,
        position=position,
        name=name,
        size=entry.size,
        sha256=entry.sha256,
        state=ImageState.EXPECTED,
    )


def _with_need(images: list[Image]) -> list[tuple[Image, bool]]:
    asked: set[str] = set()
    images_and_needs = []
    for image in images:
        needed = _lacks_bytes(image) and image.sha256 not in asked
        if image.sha256:
            asked.add(image.sha256)
        images_and_needs.append((image, needed))
    return images_and_needs


def _lacks_bytes(image: Image) -> bool:
    """Return whether to send the file: bytes lost on the way are worth another try."""
    lost = image.state is ImageState.REFUSED and image.reason in ("changed", "let_go")
    return image.state is ImageState.EXPECTED or lost


def _added_bytes(images: Sequence[Image], held: Collection[str]) -> int:
    """Add up the bytes that new files will keep: equal bytes once, bytes already held never."""
    sizes = {image.sha256 or image: image.size for image in images if image.sha256 not in held}
    return sum(sizes.values())


def _if_stored(result: Accepted | Refused, is_stored: IsStored) -> Accepted | Refused:
    """Refuse bytes that were deleted with another job while they arrived."""
    if isinstance(result, Accepted) and not is_stored(result):
        return refusal("let_go")
    return result


def _held(
    session: Session, owner_id: int, images: list[Image], is_stored: IsStored
) -> dict[str, Accepted]:
    """Return what this person has sent before: a hash alone must not open other people's images."""
    hashes = {image.sha256 for image in images if image.sha256}
    held: dict[str, Accepted] = {}
    for part in in_parts(sorted(hashes)):
        rows = session.execute(
            select(Image.sha256, Image.size, Image.format, Image.width, Image.height)
            .join(Job, Job.id == Image.job_id)
            .where(Job.owner_id == owner_id, Image.sha256.in_(part), holds_bytes())
            .distinct()
        )
        for sha256, size, kind, width, height in rows:
            held[sha256 or ""] = Accepted(sha256 or "", size, kind or "", width or 0, height or 0)
    return {sha256: accepted for sha256, accepted in held.items() if is_stored(accepted)}


def _arrive(image: Image, accepted: Accepted) -> None:
    image.state = ImageState.RECEIVED
    image.reason = image.message = None
    image.sha256, image.size = accepted.sha256, accepted.size
    image.format, image.width, image.height = accepted.format, accepted.width, accepted.height


def _apply(image: Image, result: Accepted | Refused) -> None:
    if isinstance(result, Refused):
        image.state = ImageState.REFUSED
        image.reason, image.message = result.code, str(result)
    else:
        _arrive(image, result)


def receive(
    session: Session, job: Job, image: Image, accepted: Accepted, is_stored: IsStored = _all_stored
) -> None:
    """Note that an image's bytes are kept; its twins of the same announced hash have come too.

    ``is_stored`` says whether the store still has them: equal bytes that lay there before may have
    been deleted since. Then the image is refused, and asked for again.

    Raises:
        Conflict: the job no longer receives files.
    """
    require_receiving(session, job, _TOO_LATE, shared=True)
    lock_bytes(session, shared=True)
    result = _if_stored(accepted, is_stored)
    for twin in _twins(session, image):
        _apply(twin, result)


def refuse(session: Session, job: Job, image: Image, refused: Refused) -> None:
    """Record that a file was not accepted, and why. The job goes on.

    Raises:
        Conflict: the job no longer receives files.
    """
    require_receiving(session, job, _TOO_LATE, shared=True)
    for twin in _twins(session, image):
        _apply(twin, refused)


def _twins(session: Session, image: Image) -> Sequence[Image]:
    """Lock and return the files this upload speaks for: itself and those of the same hash.

    One that has been accepted is not among them; nothing takes that back. ``image`` may have been
    read in another session: it is as it stands now.
    """
    query = _ITSELF if image.sha256 is None else _ALIKE
    values = {"image": image.id, "job": image.job_id, "sha256": image.sha256}
    twins = session.scalars(query, values).all()
    if image not in twins:
        session.refresh(image)
    return twins


def skip(session: Session, job: Job, skips: Sequence[Skip], most: int) -> None:
    """Record skipped files, each name once, and at most ``most`` per job.

    Raises:
        Conflict: the job no longer receives files.
    """
    if not skips:
        return
    require_receiving(session, job, _TOO_LATE)
    left = max(0, most - count_skipped(session, job.id))
    rows = [
        {"job_id": job.id, "name": clean_name(file.name), "reason": file.reason} for file in skips
    ]
    insert_new_rows(session, Skipped, rows[:left])


def skipped(session: Session, job: Job, size: int, after: int = 0) -> list[tuple[int, Skip]]:
    """Return up to ``size`` skipped files whose id is beyond ``after``, each with its id."""
    rows = session.execute(
        select(Skipped.id, Skipped.name, Skipped.reason)
        .where(Skipped.job_id == job.id, Skipped.id > after)
        .order_by(Skipped.id)
        .limit(size)
    )
    return [(id_, Skip(name, reason)) for id_, name, reason in rows]


def count_skipped(session: Session, job_id: int) -> int:
    """Return how many files of a job were skipped."""
    count = select(func.count()).select_from(Skipped).where(Skipped.job_id == job_id)
    return session.scalar(count) or 0
