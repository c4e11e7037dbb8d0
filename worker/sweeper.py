"""The sweep in the foreground: every few seconds it mends what crashes left behind."""

from __future__ import annotations

import logging
import signal
import threading

from sqlalchemy.exc import SQLAlchemyError

from core import jobs
from core.blobs import LocalBlobs
from core.db import Database
from core.errors import QueueUnavailable
from core.installation import open_store
from core.outages import trouble_of
from core.queue import CeleryQueue, TaskQueue
from core.settings import Settings
from worker.logs import set_up
from worker.tidying import purge_once, sweep_staging

_LONGEST_PAUSE = 30.0
# A sweep that hangs on a dead connection is left behind after this long.
_LAST_SECONDS = 0.5

log = logging.getLogger(__name__)


def serve(settings: Settings) -> None:
    """Sweep until SIGTERM or SIGINT; ends within a second of either."""
    set_up(settings)
    stop = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stop.set())
    database, queue = Database(settings.database), CeleryQueue(settings.redis_url)
    blobs = open_store(settings, database)
    arguments = (database, queue, blobs, settings, stop)
    sweeping = threading.Thread(target=run, args=arguments, name="sweep", daemon=True)
    sweeping.start()
    threading.Thread(target=sweep_staging, args=(blobs, stop), name="tidy", daemon=True).start()
    log.info("The sweep runs every %g s.", settings.sweep_seconds)
    stop.wait()
    sweeping.join(_LAST_SECONDS)
    log.info("The sweep has ended.")


def run(
    database: Database,
    queue: TaskQueue,
    blobs: LocalBlobs,
    settings: Settings,
    stop: threading.Event,
) -> None:
    """Sweep until ``stop``; the pause doubles while the database or the queue is away."""
    pause = settings.sweep_seconds
    while not stop.is_set():
        troubles = (sweep_once(database, queue, settings), purge_once(database, blobs, settings))
        trouble = " ".join(filter(None, troubles))
        if trouble:
            pause = min(pause * 2, _LONGEST_PAUSE)
            log.warning("%s Trying again in %.0f s.", trouble, pause)
        else:
            pause = settings.sweep_seconds
        stop.wait(pause)


def sweep_once(database: Database, queue: TaskQueue, settings: Settings) -> str | None:
    """Sweep, and return a sentence about what was in the way, if anything."""
    try:
        swept = jobs.sweep(database, queue, settings)
    except QueueUnavailable as error:
        return str(error)
    except SQLAlchemyError as error:
        return str(trouble_of(error) or f"The database fails ({type(error).__name__}).")
    if swept.lost or swept.ended:
        log.info(
            "Took back %d lost leases, rang %d times, ended %d jobs.",
            swept.lost,
            swept.rung,
            swept.ended,
        )
    return None
