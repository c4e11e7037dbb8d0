"""How many worker processes a batch needs by a certain time, from what was measured here."""

from __future__ import annotations

import datetime as dt
import math
import re
import statistics
from dataclasses import dataclass

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from core import jobs
from core.errors import HematoVisionError
from core.states import LIVE_SHARDS
from core.tables import Image, Shard, Worker

# Of a process's speed while it is at work, this share is left when all cores and SQL are busy.
_SUSTAINED = 0.9
# Bytes of an image's rows and their places in indexes (`benchmarks.pages`, a million images).
ROW_BYTES = {"sqlite": 1000, "postgresql": 1400}
_RECENT_IMAGES = 1000
_CLOCK = re.compile(r"([01]?\d|2[0-3]):([0-5]\d)")
_SPAN = re.compile(r"(?:(\d+)h)?(?:(\d+)m)?")


class NotMeasured(HematoVisionError):
    """Nothing is known yet of how fast a worker is here."""


class NoSuchTime(HematoVisionError):
    """A time that is neither a clock's nor a span."""


@dataclass(frozen=True, slots=True)
class Measured:
    """What is known here: images/s of one worker process, how many processes live, how many images
    wait already, and the bytes of an image's file; None before there is any."""

    speed: float
    processes: int
    waiting: int
    file_bytes: float | None
    row_bytes: int


@dataclass(frozen=True, slots=True)
class Plan:
    """An answer. ``seconds`` is how long the processes that live will take; None without any."""

    rate: float
    processes: int
    seconds: float | None
    store_bytes: float | None
    database_bytes: int


def measured(session: Session, speed: float | None = None) -> Measured:
    """Read what is known here; ``speed`` takes the place of what workers have measured.

    Raises:
        NotMeasured: no worker has measured its speed, and none is given.
    """
    found = speed or _median_speed(session)
    if not found:
        raise NotMeasured(
            "No worker has measured its speed yet. Run a job first, or give the images/s of one "
            "worker process with --speed."
        )
    waits = select(func.sum(Shard.size)).where(Shard.state.in_(LIVE_SHARDS))
    newest = select(Image.size).order_by(Image.id.desc()).limit(_RECENT_IMAGES).subquery()
    size = session.scalar(select(func.avg(newest.c.size)))
    return Measured(
        speed=found,
        processes=jobs.live_workers(session),
        waiting=session.scalar(waits) or 0,
        file_bytes=float(size) if size else None,
        row_bytes=ROW_BYTES[session.get_bind().dialect.name],
    )


def _median_speed(session: Session) -> float | None:
    """The middle one of the workers' speeds, whether they live or were seen lately."""
    query = select(Worker.images_per_second).where(Worker.images_per_second.is_not(None))
    speeds = [speed for speed in session.scalars(query) if speed]
    return statistics.median(speeds) if speeds else None


def plan(images: int, seconds: float, known: Measured) -> Plan:
    """What it takes to do so many images, after those that wait already, in so many seconds."""
    rate = (images + known.waiting) / seconds
    each = known.speed * _SUSTAINED
    return Plan(
        rate=rate,
        processes=math.ceil(rate / each),
        seconds=(images + known.waiting) / (known.processes * each) if known.processes else None,
        store_bytes=images * known.file_bytes if known.file_bytes else None,
        database_bytes=images * known.row_bytes,
    )


def moment(text: str, now: dt.datetime) -> dt.datetime:
    """When ``text`` is: the next time a clock shows 06:30, or after a span such as 90m or 1h30m.

    Raises:
        NoSuchTime: it is neither, or no time at all.
    """
    wanted = text.strip().lower()
    if clock := _CLOCK.fullmatch(wanted):
        hour, minute = (int(part) for part in clock.groups())
        at = now.replace(hour=hour, minute=minute, second=0, microsecond=0)
        return at if at > now else at + dt.timedelta(days=1)
    span = _SPAN.fullmatch(wanted)
    hours, minutes = (int(part or 0) for part in span.groups()) if span else (0, 0)
    if not hours and not minutes:
        raise NoSuchTime(f"{text!r} is no time. Give one such as 06:30, 90m, 8h or 1h30m.")
    return now + dt.timedelta(hours=hours, minutes=minutes)
