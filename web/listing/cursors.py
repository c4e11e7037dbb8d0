"""The cursors of long lists: where a page ends, as a short text in a URL.

A cursor holds the last row's place in the order, never a row number: if rows are added or removed
between two pages, no other row is skipped or shown twice.
"""

from __future__ import annotations

import datetime as dt

from core.errors import BadInput
from core.tables import Image, Job
from lexicon.names import one_line

_EPOCH = dt.datetime(1970, 1, 1, tzinfo=dt.UTC)
_MALFORMED = "The page cursor can't be read. Start again from the first page."
# The largest integer and big integer of the databases; they reject larger numbers.
LARGEST = 2**31 - 1
LARGEST_BIG = 2**63 - 1


def after_job(job: Job) -> str:
    """Return the cursor that follows this job in a list by time of creation."""
    return f"{(job.created_at - _EPOCH) // dt.timedelta(microseconds=1)}_{job.id}"


def read_job_cursor(text: str) -> tuple[dt.datetime, int]:
    """Return time and id. Raises `BadInput`."""
    moment, id_ = _halves(text)
    try:
        return _EPOCH + dt.timedelta(microseconds=int(moment)), _whole(id_)
    except (ValueError, OverflowError) as error:
        raise BadInput(_MALFORMED) from error


def after_image(image: Image, *, by_outcome: bool = False) -> str:
    """Return the cursor that follows this image in a list by confidence, or by outcome first."""
    cursor = f"{image.confidence!r}_{image.id}"
    return f"{image.outcome}_{cursor}" if by_outcome else cursor


def read_image_cursor(text: str, *, by_outcome: bool = False) -> tuple[str | float | int, ...]:
    """Return confidence and id, after the outcome if it comes first. Raises `BadInput`."""
    outcome, rest = _halves(text) if by_outcome else ("", text)
    confidence, id_ = _halves(rest)
    try:
        key = (float(confidence), _whole(id_, LARGEST_BIG))
    except ValueError as error:
        raise BadInput(_MALFORMED) from error
    return (one_line(outcome)[:16], *key) if by_outcome else key


def _whole(text: str, largest: int = LARGEST) -> int:
    number = int(text)
    if not 0 <= number <= largest:
        raise ValueError(text)
    return number


def _halves(text: str) -> tuple[str, str]:
    first, _, second = text.partition("_")
    return first, second


def read_position(text: str) -> int:
    """Return a position within a job. Raises `BadInput`."""
    try:
        return _whole(text)
    except ValueError as error:
        raise BadInput(_MALFORMED) from error
