"""The list of workers: one row per worker process, kept fresh by a thread of that process."""

from __future__ import annotations

import logging
import threading
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from sqlalchemy import delete, update
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.orm import Session

from core.db import Database, clock
from core.tables import Worker

BEAT_SECONDS = 5.0
# A killed process leaves its row; it is shown as silent for this long, then removed.
FORGET_SECONDS = 600
_RECENT_SHARDS = 20

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Badge:
    """What one worker process is: its host and process id, its device and its backend."""

    name: str
    device: str
    backend: str


class Throughput:
    """What one process has done: its images in total, and its speed over the last shards."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._images = 0
        self._recent: deque[tuple[int, float]] = deque(maxlen=_RECENT_SHARDS)

    def add(self, images: int, seconds: float) -> None:
        """Record a shard, with its number of images and the time that it took."""
        with self._lock:
            self._images += images
            self._recent.append((images, seconds))

    @property
    def images(self) -> int:
        """Images done since the process started."""
        return self._images

    @property
    def images_per_second(self) -> float | None:
        """Speed while working, without idle time; None before the first shard."""
        with self._lock:
            images, seconds = (sum(part) for part in zip(*self._recent or [(0, 0.0)], strict=True))
        return images / seconds if seconds else None


def beat(session: Session, badge: Badge, throughput: Throughput, models: Sequence[str]) -> None:
    """Record that this process is alive, its speed, and its models, the last used first.

    Processes that have been silent for long are removed.
    """
    values: dict[str, object] = {
        "images": throughput.images,
        "images_per_second": throughput.images_per_second,
        "model_digest": models[0] if models else "",
        "models": list(models),
    }
    name = session.scalar(
        update(Worker)
        .where(Worker.name == badge.name)
        .values(seen_at=clock(), **values)
        .returning(Worker.name)
    )
    if name is None:
        session.add(
            Worker(
                name=badge.name,
                device=badge.device,
                backend=badge.backend,
                seen_at=clock(),
                **values,
            )
        )
    session.execute(delete(Worker).where(Worker.seen_at < clock() - FORGET_SECONDS))


def leave(session: Session, name: str) -> None:
    """Take this process off the list."""
    session.execute(delete(Worker).where(Worker.name == name))


class Heartbeat:
    """A thread that sends a heartbeat every `BEAT_SECONDS` until it is stopped."""

    def __init__(
        self,
        database: Database,
        badge: Badge,
        throughput: Throughput,
        models: Callable[[], Sequence[str]],
    ) -> None:
        self._database, self._models = database, models
        self._badge, self._throughput = badge, throughput
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="heartbeat", daemon=True)

    def start(self) -> None:
        """Send one heartbeat and continue in the background."""
        self._thread.start()

    def stop(self) -> None:
        """End the thread and take the row away."""
        self._stop.set()
        self._thread.join(timeout=2)
        try:
            with self._database.writing() as session:
                leave(session, self._badge.name)
        except SQLAlchemyError:
            log.warning("The database does not answer; this worker's row will age out.")

    def _run(self) -> None:
        while True:
            try:
                with self._database.writing() as session:
                    beat(session, self._badge, self._throughput, self._models())
            except SQLAlchemyError:
                log.warning("The database does not answer; the heartbeat goes on trying.")
            if self._stop.wait(BEAT_SECONDS):
                return
