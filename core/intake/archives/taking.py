"""An archive's images hashed, looked at and kept, some at a time, and handed on in batches.

One thread unpacks, which is a matter of order; the others hash, write and wait for the disk
meanwhile. What is in memory is a few small files; a large one is read piece by piece.
"""

from __future__ import annotations

import io
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import closing
from dataclasses import dataclass, field, replace
from functools import partial
from typing import BinaryIO

from core.blobs import BlobStore, image_key
from core.errors import HematoVisionError, Refused
from core.intake.archives.member import Member
from core.intake.archives.names import NAMES_ASKED, Encoding, guess, is_undecoded
from core.intake.door import Accepted, Arrival, Limits, accept, refusal, refused_by_name
from lexicon.folders import Skip, leads_outside, skipped_for
from lexicon.names import clean_name

BATCH = 250
# Large files over a slow line: what has come is written down by then, and seen on the job's page.
_BATCH_SECONDS = 2.0
# Bytes that are kept before it is known whether there is room for them.
_BATCH_BYTES = 64 * 2**20
SHOWN = 100
_SIDE_BY_SIDE = 4
_SMALL = 512 * 1024
# So many files wait until enough names say how those are encoded that are not UTF-8.
_MOST_HELD = 2000

Take = Callable[[BinaryIO], Accepted]
FileOutcome = Arrival | Skip
Write = Callable[[Sequence[Arrival], Sequence[Skip]], None]


@dataclass(slots=True)
class ArchiveCounts:
    """The counts of an archive's files: each is accepted, refused or skipped.

    ``refusals`` and ``skips`` list the first few of them.
    """

    accepted: int = 0
    refused: int = 0
    skipped: int = 0
    refusals: list[tuple[str, Refused]] = field(default_factory=list)
    skips: list[Skip] = field(default_factory=list)

    def note(self, arrivals: Sequence[Arrival], skips: Sequence[Skip]) -> None:
        """Count what was written down."""
        refused = [(a.name, a.result) for a in arrivals if isinstance(a.result, Refused)]
        self.refused += len(refused)
        self.accepted += len(arrivals) - len(refused)
        self.skipped += len(skips)
        self.refusals += refused[: SHOWN - len(self.refusals)]
        self.skips += skips[: SHOWN - len(self.skips)]


def take_in(
    members: Iterable[Member], blobs: BlobStore, limits: Limits, write: Write, counts: ArchiveCounts
) -> None:
    """Take in the images among ``members``, ``write`` them down in batches, and count them.

    What a folder's upload skips is skipped, and so is a file that comes a second time.

    Raises:
        BadArchive: as drawing the members does, after what came before is written.
    """
    problems: list[HematoVisionError] = []

    def write_down(batch: list[FileOutcome]) -> None:
        arrivals = [outcome for outcome in batch if isinstance(outcome, Arrival)]
        skips = [outcome for outcome in batch if isinstance(outcome, Skip)]
        write(arrivals, skips)
        counts.note(arrivals, skips)

    with (
        blobs.flushing() as flush,
        ThreadPoolExecutor(_SIDE_BY_SIDE) as pool,
        ThreadPoolExecutor(1) as disk,
    ):
        take = partial(accept, blobs=blobs, limits=limits, lasting=False)
        under_way = _under_way(members, pool, take, limits, problems)
        outcomes = _distinct(_named(_in_order(under_way)))
        _write_flushed(_batches(outcomes), lambda keys: disk.submit(flush, keys), write_down)
    if problems:
        raise problems[0]


def _write_flushed(
    batches: Iterator[list[FileOutcome]],
    flush: Callable[[list[str]], Future[None]],
    write_down: Callable[[list[FileOutcome]], None],
) -> None:
    """Write batches down that are on the disk: each is flushed, in one go, while the next is read.

    At an error what came before is still written down.
    """
    waiting: deque[tuple[list[FileOutcome], Future[None]]] = deque()

    def finish_one() -> None:
        batch, flushed = waiting.popleft()
        flushed.result()
        write_down(batch)

    try:
        for batch in batches:
            waiting.append((batch, flush(_keys(batch))))
            if len(waiting) > 1:
                finish_one()
    finally:
        while waiting:
            finish_one()


def _keys(batch: Sequence[FileOutcome]) -> list[str]:
    """Return the keys of the images that are kept."""
    results = [outcome.result for outcome in batch if isinstance(outcome, Arrival)]
    return [image_key(result.sha256) for result in results if isinstance(result, Accepted)]


def _under_way(
    members: Iterable[Member],
    pool: ThreadPoolExecutor,
    take: Take,
    limits: Limits,
    problems: list[HematoVisionError],
) -> Iterator[Future[FileOutcome]]:
    """Begin each member; at an error end, and leave it in ``problems`` until all else is done."""
    try:
        for member in members:
            yield _begin(member, pool, take, limits)
    except HematoVisionError as problem:
        problems.append(problem)


def _in_order(futures: Iterator[Future[FileOutcome]]) -> Iterator[FileOutcome]:
    """Yield the result of each member, some steps behind those that are begun."""
    under_way: deque[Future[FileOutcome]] = deque()
    for future in futures:
        under_way.append(future)
        if len(under_way) > 2 * _SIDE_BY_SIDE:
            yield under_way.popleft().result()
    while under_way:
        yield under_way.popleft().result()


def _begin(
    member: Member, pool: ThreadPoolExecutor, take: Take, limits: Limits
) -> Future[FileOutcome]:
    """Start taking a small file in, or do so at once where it is large, refused or skipped."""
    done: Future[FileOutcome] = Future()
    if outcome := _outcome_by_header(member, limits):
        done.set_result(outcome)
        return done
    try:
        with closing(member.open()) as stream:
            if member.size <= _SMALL:
                return pool.submit(_take, member, io.BytesIO(stream.read(_SMALL)), take)
            done.set_result(_take(member, stream, take))
    except Refused as problem:
        done.set_result(Arrival(member.name, member.size, problem))
    return done


def _outcome_by_header(member: Member, limits: Limits) -> FileOutcome | None:
    """Return the result for a file that can be decided without reading it."""
    if leads_outside(member.name):
        return Arrival(member.name, member.size, refusal("outside"))
    if reason := skipped_for(member.name):
        return Skip(member.name, reason)
    refused = refused_by_name(member.name) or member.refused
    if member.size > limits.max_bytes:
        refused = refused or refusal("too_large", limits.max_bytes / 2**20)
    return Arrival(member.name, member.size, refused) if refused else None


def _take(member: Member, stream: BinaryIO, take: Take) -> Arrival:
    try:
        return Arrival(member.name, member.size, take(stream))
    except Refused as refused:
        return Arrival(member.name, member.size, refused)


def _named(outcomes: Iterator[FileOutcome]) -> Iterator[FileOutcome]:
    """Decode the names of a tar that are not UTF-8, all alike, once enough of them say how.

    Whether a file is taken in does not depend on it. What waits is bounded in number, not in time:
    the same archive must be read alike when it is sent again.
    """
    held: list[FileOutcome] = []
    unknown: list[bytes] = []
    encoding: Encoding | None = None
    for outcome in outcomes:
        if encoding is None and is_undecoded(outcome.name):
            unknown.append(outcome.name.encode("utf-8", "surrogateescape"))
        if encoding is not None or not unknown:
            yield _renamed(outcome, encoding)
            continue
        held.append(outcome)
        if len(unknown) == NAMES_ASKED or len(held) == _MOST_HELD:
            encoding = guess(unknown, dos=False)
            yield from (_renamed(outcome, encoding) for outcome in held)
            held.clear()
    encoding = guess(unknown, dos=False)
    yield from (_renamed(outcome, encoding) for outcome in held)


def _renamed(outcome: FileOutcome, encoding: Encoding | None) -> FileOutcome:
    if encoding is None or outcome.name.isascii():
        return outcome
    return replace(outcome, name=encoding.restore(outcome.name))


def _distinct(outcomes: Iterator[FileOutcome]) -> Iterator[FileOutcome]:
    """Skip a file whose name and bytes an earlier one had; a job would hold the two as one."""
    met: set[int] = set()
    for outcome in outcomes:
        if isinstance(outcome, Arrival):
            result = outcome.result
            what = result.sha256 if isinstance(result, Accepted) else result.code
            key = hash((clean_name(outcome.name), outcome.size, what))
            if key in met:
                outcome = Skip(outcome.name, "repeated")
            met.add(key)
        yield outcome


def _batches(outcomes: Iterator[FileOutcome]) -> Iterator[list[FileOutcome]]:
    batch: list[FileOutcome] = []
    began, size = time.monotonic(), 0
    for outcome in outcomes:
        batch.append(outcome)
        result = outcome.result if isinstance(outcome, Arrival) else None
        size += result.size if isinstance(result, Accepted) else 0
        late = time.monotonic() - began > _BATCH_SECONDS
        if len(batch) == BATCH or size > _BATCH_BYTES or late:
            yield batch
            batch, began, size = [], time.monotonic(), 0
    if batch:
        yield batch
