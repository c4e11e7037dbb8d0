"""What a worker's parent process does beside Celery's work: it frees the leases of its dead
children, and notices when it no longer hears its broker.

After a broker was killed, Celery's consumer sometimes neither reconnects nor ends: messages wait,
no process is busy, and nothing comes in any more. Then the worker ends itself. Whatever supervises
it (`up`, a container's restart policy) starts a new one; SQL has lost nothing.
"""

from __future__ import annotations

import logging
import os
import signal
import threading
import time
from typing import Any

from billiard.exceptions import WorkerLostError
from celery import Celery
from celery.worker import state
from celery.worker.request import Request

from core.db import Database
from core.states import Lane
from worker.app import settings_of
from worker.freeing import free, process_name

# The parent feeds the children: it must not wait long for a database that is away.
_PATIENCE_SECONDS = 5.0
# Longer than the pause between a message and a free process, shorter than a person's patience.
DEAF_SECONDS = 10.0
_LOOK_SECONDS = 2.0
_STOP_SECONDS = 5.0

log = logging.getLogger(__name__)


class LeasedRequest(Request):  # type: ignore[misc]  # Celery is not typed
    """A message whose process frees its leases when it dies, not only when they run out."""

    def on_failure(
        self, exc_info: Any, send_failed_event: bool = True, return_ok: bool = False
    ) -> None:
        """Free the leases before the message goes back, so that its next taker finds them free."""
        error = exc_info.exception
        if isinstance(getattr(error, "exc", error), WorkerLostError):
            self._free()
        super().on_failure(exc_info, send_failed_event=send_failed_event, return_ok=return_ok)

    def on_timeout(self, soft: bool, timeout: float) -> None:
        """Free the leases of a process that is killed for taking too long."""
        if not soft:
            self._free()
        super().on_timeout(soft, timeout)

    def _free(self) -> None:
        """Free everything that the process held, whatever its message was for.

        The connection is closed again: the parent must hold none when it forks the next process.
        """
        if self.worker_pid:
            settings = settings_of(self.app)
            database = Database(settings.database, statement_seconds=_PATIENCE_SECONDS)
            free(database, process_name(self.worker_pid), settings.max_attempts)
            database.dispose()


class Hearing:
    """Whether the parent still hears its broker; times are those of `time.monotonic`."""

    def __init__(self, now: float) -> None:
        self._fine_at = now

    def note(self, now: float, *, waiting: int, busy: bool) -> bool:
        """Note one check; True if messages have waited `DEAF_SECONDS` while processes were idle."""
        if busy or not waiting:
            self._fine_at = now
        return now - self._fine_at > DEAF_SECONDS

    def heard(self, now: float) -> None:
        """Note that a message came in."""
        self._fine_at = now


def watch_broker(app: Celery) -> Hearing:
    """Start to check every few seconds, in a separate thread; return the `Hearing` it updates."""
    hearing = Hearing(time.monotonic())
    threading.Thread(target=_watch, args=(app, hearing), name="hearing", daemon=True).start()
    return hearing


def _watch(app: Celery, hearing: Hearing) -> None:
    while True:
        time.sleep(_LOOK_SECONDS)
        waiting = _count_messages(app)
        if hearing.note(time.monotonic(), waiting=waiting, busy=bool(state.reserved_requests)):
            log.error("No message comes in though %d wait: the worker ends itself.", waiting)
            os.kill(os.getpid(), signal.SIGTERM)
            time.sleep(_STOP_SECONDS)
            os._exit(1)


def _count_messages(app: Celery) -> int:
    """Return how many messages wait on all lanes; 0 if the broker does not answer."""
    try:
        with app.connection_for_read() as connection:
            client: Any = connection.default_channel.client
            return sum(client.llen(lane.value) for lane in Lane)
    except Exception:
        # Any error of redis, kombu or the system means that there is nothing to hear.
        return 0
