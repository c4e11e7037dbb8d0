"""How many worker processes a batch needs to finish in time, from speeds measured here."""

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

# The share of a process's own speed that is left when all cores and the database are busy.
_SUSTAINED = 0.9
# Bytes per image in tables and indexes (`benchmarks.pages`, a million images).
ROW_BYTES = {"sqlite": 1000, "postgresql": 1400}
_RECENT_IMAGES = 1000
_CLOCK = re.compile(r"([01]?\d|2[0-3]):([0-5]\d)")
_SPAN = re.compile(r"(?:(\d+)h)?(?:(\d+)m)?")


class NotMeasured(HematoVisionError):
    """No worker has measured its speed here yet."""


class NoSuchTime(HematoVisionError):
    """A time that is neither a time of day nor a length of time."""


@dataclass(frozen=True, slots=True)
class Measured:
    """What is known here: the images/s of one worker process, how many processes are running, how
    many images are waiting, and the mean file size in bytes (None before there is any file)."""

    speed: float
    processes: int
    waiting: int
    file_bytes: float | None
    row_bytes: int


@dataclass(frozen=True, slots=True)
class Plan:
    """The answer. ``seconds`` is how long the running processes will take; None if none runs."""

    rate: float
    processes: int
    seconds: float | None
    store_bytes: float | None
    database_bytes: int


def measure(session: Session, speed: float | None = None) -> Measured:
    """Read what is known here; ``speed`` replaces the speed that workers have measured.

    Raises:
        NotMeasured: no worker has measured its speed, and no speed is given.
    """
    rate = speed or _median_speed(session)
    if not rate:
        raise NotMeasured(
            "No worker has measured its speed yet. Run a job first, or use --speed to give the "
            "images/s of one worker process."
        )
    waits = select(func.sum(Shard.size)).where(Shard.state.in_(LIVE_SHARDS))
    newest = select(Image.size).order_by(Image.id.desc()).limit(_RECENT_IMAGES).subquery()
    size = session.scalar(select(func.avg(newest.c.size)))
    return Measured(
        speed=rate,
        processes=jobs.live_workers(session),
        waiting=session.scalar(waits) or 0,
        file_bytes=float(size) if size else None,
        row_bytes=ROW_BYTES[session.get_bind().dialect.name],
    )


def _median_speed(session: Session) -> float | None:
    """The median speed of all workers on record, running or not."""
    query = select(Worker.images_per_second).where(Worker.images_per_second.is_not(None))
    speeds = [speed for speed in session.scalars(query) if speed]
    return statistics.median(speeds) if speeds else None


def plan(images: int, seconds: float, measured: Measured) -> Plan:
    """Return what it takes to classify ``images``, and those waiting, within ``seconds``."""
    rate = (images + measured.waiting) / seconds
    each = measured.speed * _SUSTAINED
    return Plan(
        rate=rate,
        processes=math.ceil(rate / each),
        seconds=(images + measured.waiting) / (measured.processes * each)
        if measured.processes
        else None,
        store_bytes=images * measured.file_bytes if measured.file_bytes else None,
        database_bytes=images * measured.row_bytes,
    )


def moment(text: str, now: dt.datetime) -> dt.datetime:
    """Return the time that ``text`` means: the next 06:30, or now plus a span such as 1h30m.

    Raises:
        NoSuchTime: it is neither a time of day nor a span, or the span is zero.
    """
    wanted = text.strip().lower()
    if clock := _CLOCK.fullmatch(wanted):
        hour, minute = (int(part) for part in clock.groups())
        at = now.replace(hour=hour, minute=minute, second=0, microsecond=0)
        return at if at > now else at + dt.timedelta(days=1)
    span = _SPAN.fullmatch(wanted)
    hours, minutes = (int(part or 0) for part in span.groups()) if span else (0, 0)
    if not hours and not minutes:
        raise NoSuchTime(f"{text!r} is not a time. Write it like 06:30, 90m, 8h or 1h30m.")
    return now + dt.timedelta(hours=hours, minutes=minutes)
