"""The sweep in the foreground: every few seconds it repairs what crashes left behind."""

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
from worker.watchdog import guarded

_LONGEST_PAUSE = 30.0
# A sweep that hangs on a dead connection is given up after this time.
_LAST_SECONDS = 0.5
# A round takes a few milliseconds. A statement that takes longer than the first limit is given up;
# a round that takes longer than the second ends the process, which is then restarted.
_STATEMENT_SECONDS, ROUND_SECONDS = 15.0, 90.0
_UNHEARD = "The queue does not answer. Workers find in the database what waits."

log = logging.getLogger(__name__)


def serve(settings: Settings) -> None:
    """Sweep until SIGTERM or SIGINT; ends within a second of either."""
    set_up(settings)
    stop = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stop.set())
    database = Database(settings.database, statement_seconds=_STATEMENT_SECONDS)
    queue = CeleryQueue(settings.redis_url)
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
    round_seconds: float = ROUND_SECONDS,
) -> None:
    """Sweep until ``stop``; the pause doubles while the database is away.

    While the queue is away, the sweep goes on as usual and only sends no messages.
    """
    pause, heard, said = settings.sweep_seconds, True, None
    while not stop.is_set():
        try:
            with guarded(round_seconds):
                hears = sweep_once(database, queue, settings)
                trouble = purge_once(database, blobs, settings)
            pause = settings.sweep_seconds
            if hears != heard:
                heard = hears
                log.warning("The queue answers again." if heard else _UNHEARD)
            if trouble != said:
                said = trouble
                log.warning(said or "What is deleted can be removed again.")
        except SQLAlchemyError as error:
            pause = min(pause * 2, _LONGEST_PAUSE)
            sentence = trouble_of(error) or f"The database fails ({type(error).__name__})."
            log.warning("%s Trying again in %.0f s.", sentence, pause)
        stop.wait(pause)


def sweep_once(database: Database, queue: TaskQueue, settings: Settings) -> bool:
    """Sweep once; False if the queue does not answer.

    Raises:
        SQLAlchemyError: the database does not answer.
    """
    try:
        swept = jobs.sweep(database, queue, settings)
    except QueueUnavailable:
        return False
    if swept.lost or swept.ended:
        log.info(
            "Took back %d lost leases, rang %d times, ended %d jobs.",
            swept.lost,
            swept.rung,
            swept.ended,
        )
    return True
