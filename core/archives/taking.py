"""An archive's images hashed, looked at and kept, some at a time, and handed on in batches.

One thread unpacks, which is a matter of order; the others hash, write and wait for the disk
meanwhile. What is in memory is a few small files; a large one is read piece by piece.
"""

from __future__ import annotations

import io
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import closing
from dataclasses import dataclass, field
from functools import partial
from typing import BinaryIO

from core.archives.reading import Member, is_archive_name
from core.blobs import BlobStore
from core.errors import HematoVisionError, Refused
from core.intake import Accepted, Arrival, Limits, accept, is_image_name, refusal

BATCH = 250
# Large files over a slow line: what has come is written down by then, and seen on the job's page.
_BATCH_SECONDS = 2.0
# Bytes that are kept before it is known whether there is room for them.
_BATCH_BYTES = 64 * 2**20
SHOWN_REFUSALS = 100
_SIDE_BY_SIDE = 4
_SMALL = 512 * 1024

Take = Callable[[BinaryIO], Accepted]


@dataclass(slots=True)
class Taken:
    """What became of an archive's files; ``refusals`` are the first names refused, and why."""

    accepted: int = 0
    refused: int = 0
    skipped: int = 0
    refusals: list[tuple[str, Refused]] = field(default_factory=list)

    def note(self, batch: list[Arrival]) -> None:
        """Count what was written down."""
        refused = [(one.name, one.result) for one in batch if isinstance(one.result, Refused)]
        self.refused += len(refused)
        self.accepted += len(batch) - len(refused)
        self.refusals += refused[: SHOWN_REFUSALS - len(self.refusals)]


def take_in(
    members: Iterable[Member],
    blobs: BlobStore,
    limits: Limits,
    write: Callable[[list[Arrival]], None],
    taken: Taken,
) -> None:
    """Take in the images among ``members``, ``write`` them down in batches, and count in ``taken``.

    Files that a folder's upload leaves out are skipped.

    Raises:
        BadArchive: as drawing the members does, after what came before is written.
    """
    with ThreadPoolExecutor(_SIDE_BY_SIDE) as pool:
        wanted = _wanted(members, taken)
        take = partial(accept, blobs=blobs, limits=limits)
        for batch in _batches(_arrivals(wanted, pool, take, limits)):
            write(batch)
            taken.note(batch)


def _wanted(members: Iterable[Member], taken: Taken) -> Iterator[Member]:
    for member in members:
        if is_image_name(member.name) or _refused_by_name(member.name):
            yield member
        else:
            taken.skipped += 1


def _refused_by_name(name: str) -> Refused | None:
    parts = name.replace("\\", "/").split("/")
    if ".." in parts or parts[0] == "" or parts[0].endswith(":"):
        return refusal("outside")
    hidden = any(part.startswith(".") for part in parts)
    return refusal("nested") if is_archive_name(name) and not hidden else None


def _arrivals(
    members: Iterator[Member], pool: ThreadPoolExecutor, take: Take, limits: Limits
) -> Iterator[Arrival]:
    """Yield what becomes of each member, in order; an error comes after what came before it."""
    under_way: deque[Future[Arrival]] = deque()
    problem: HematoVisionError | None = None
    try:
        for member in members:
            if len(under_way) >= 2 * _SIDE_BY_SIDE:
                yield under_way.popleft().result()
            under_way.append(_begin(member, pool, take, limits))
    except HematoVisionError as error:
        problem = error
    while under_way:
        yield under_way.popleft().result()
    if problem:
        raise problem


def _begin(member: Member, pool: ThreadPoolExecutor, take: Take, limits: Limits) -> Future[Arrival]:
    """Start taking a small file in, or do so at once where it is large or refused."""
    done: Future[Arrival] = Future()
    refused = _refused_by_name(member.name) or member.refused
    if member.size > limits.max_bytes:
        refused = refused or refusal("too_large", limits.max_bytes / 2**20)
    if refused:
        done.set_result(Arrival(member.name, member.size, refused))
        return done
    try:
        with closing(member.open()) as stream:
            if member.size <= _SMALL:
                return pool.submit(_take, member, io.BytesIO(stream.read(_SMALL)), take)
            done.set_result(_take(member, stream, take))
    except Refused as problem:
        done.set_result(Arrival(member.name, member.size, problem))
    return done


def _take(member: Member, stream: BinaryIO, take: Take) -> Arrival:
    try:
        return Arrival(member.name, member.size, take(stream))
    except Refused as refused:
        return Arrival(member.name, member.size, refused)


def _batches(arrivals: Iterator[Arrival]) -> Iterator[list[Arrival]]:
    batch: list[Arrival] = []
    problem: HematoVisionError | None = None
    began, size = time.monotonic(), 0
    try:
        for arrival in arrivals:
            batch.append(arrival)
            size += arrival.result.size if isinstance(arrival.result, Accepted) else 0
            late = time.monotonic() - began > _BATCH_SECONDS
            if len(batch) == BATCH or size > _BATCH_BYTES or late:
                yield batch
                batch, began, size = [], time.monotonic(), 0
    except HematoVisionError as error:
        problem = error
    if batch:
        yield batch
    if problem:
        raise problem
