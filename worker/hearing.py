"""Notices that this worker no longer hears its broker, and ends it so that it is restarted.

After a broker was killed, Celery's consumer sometimes neither reconnects nor ends: messages wait,
no process is busy, and nothing comes in any more. Whatever supervises the worker (`up`, a
container's restart policy) starts a new one; SQL has lost nothing.
"""

from __future__ import annotations

import logging
import os
import signal
import threading
import time
from typing import Any

from celery import Celery
from celery.worker import state

from core.states import Lane

# Longer than the pause between a message and a free process, shorter than a person's patience.
DEAF_SECONDS = 10.0
_LOOK_SECONDS = 2.0
_STOP_SECONDS = 5.0

log = logging.getLogger(__name__)


class Hearing:
    """Whether the parent process still hears its broker; times are those of `time.monotonic`."""

    def __init__(self, now: float) -> None:
        self._fine = now

    def note(self, now: float, *, waiting: int, busy: bool) -> bool:
        """Note one check; True if messages have waited `DEAF_SECONDS` while processes were idle."""
        if busy or not waiting:
            self._fine = now
        return now - self._fine > DEAF_SECONDS

    def heard(self, now: float) -> None:
        """Note that a message came in."""
        self._fine = now


def watch(app: Celery) -> Hearing:
    """Start to check every few seconds, in a separate thread; return the `Hearing` it updates."""
    hearing = Hearing(time.monotonic())
    threading.Thread(target=_look, args=(app, hearing), name="hearing", daemon=True).start()
    return hearing


def _look(app: Celery, hearing: Hearing) -> None:
    while True:
        time.sleep(_LOOK_SECONDS)
        waiting = messages(app)
        if hearing.note(time.monotonic(), waiting=waiting, busy=bool(state.reserved_requests)):
            log.error("No message comes in though %d wait: the worker ends itself.", waiting)
            os.kill(os.getpid(), signal.SIGTERM)
            time.sleep(_STOP_SECONDS)
            os._exit(1)


def messages(app: Celery) -> int:
    """Return how many messages wait on all lanes; 0 if the broker does not answer."""
    try:
        with app.connection_for_read() as connection:
            client: Any = connection.default_channel.client
            return sum(client.llen(lane.value) for lane in Lane)
    except Exception:
        # Any error of redis, kombu or the system means that there is nothing to hear.
        return 0
