"""The sweep in the foreground: every few seconds it repairs what crashes left behind.

It also removes what was deleted, and what killed processes left in the staging place.
"""

from __future__ import annotations

import logging
import signal
import threading

from sqlalchemy.exc import SQLAlchemyError

from core import jobs
from core.blobs import BlobStore
from core.errors import StoreAway
from core.installation import Installation, open_installation
from core.outages import trouble_of
from core.people.erasure import erase_due
from core.settings import Settings
from worker.limits import guarded
from worker.logs import set_up

_LONGEST_PAUSE = 30.0
# A sweep that hangs on a dead connection is given up after this time.
_LAST_SECONDS = 0.5
# A round takes a few milliseconds. A statement that takes longer than the first limit is given up;
# a round that takes longer than the second ends the process, which is then restarted.
_STATEMENT_SECONDS, ROUND_SECONDS = 15.0, 90.0
# No working process leaves a file unlocked for this long.
_LEFT_OVER_SECONDS = 3600.0
_STAGING_PAUSE_SECONDS = 600.0

log = logging.getLogger(__name__)


def serve(settings: Settings) -> None:
    """Sweep until SIGTERM or SIGINT; ends within a second of either."""
    set_up(settings)
    stop = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stop.set())
    opened = open_installation(settings, statement_seconds=_STATEMENT_SECONDS)
    sweeping = threading.Thread(target=run, args=(opened, stop), name="sweep", daemon=True)
    sweeping.start()
    threading.Thread(
        target=sweep_staging, args=(opened.blobs, stop), name="tidy", daemon=True
    ).start()
    log.info("The sweep runs every %g s.", settings.sweep_seconds)
    stop.wait()
    sweeping.join(_LAST_SECONDS)
    log.info("The sweep has ended.")


def run(opened: Installation, stop: threading.Event, round_seconds: float = ROUND_SECONDS) -> None:
    """Sweep until ``stop``; the pause doubles while the database is away.

    While the queue is away, the sweep goes on as usual and only sends no messages.
    """
    usual = pause = opened.settings.sweep_seconds
    trouble_before: str | None = None
    while not stop.is_set():
        try:
            with guarded(round_seconds):
                sweep_once(opened)
                trouble = purge_once(opened)
            pause = usual
            if trouble != trouble_before:
                trouble_before = trouble
                log.warning(trouble or "What is deleted can be removed again.")
        except SQLAlchemyError as error:
            pause = min(pause * 2, _LONGEST_PAUSE)
            sentence = trouble_of(error) or f"The database fails ({type(error).__name__})."
            log.warning("%s Trying again in %.0f s.", sentence, pause)
        stop.wait(pause)


def sweep_once(opened: Installation) -> None:
    """Sweep once.

    Raises:
        SQLAlchemyError: the database does not answer.
    """
    swept = jobs.sweep(opened.database, opened.settings)
    if swept.lost or swept.ended:
        log.info(
            "Took back %d lost leases, rang %d times, ended %d jobs.",
            swept.lost,
            swept.rung,
            swept.ended,
        )


def purge_once(opened: Installation) -> str | None:
    """Do some of the deletions that are due; return a sentence about what prevented it, if any."""
    try:
        erased = erase_due(opened.database, opened.settings)
        purged = jobs.purge(opened.database, opened.blobs, opened.settings)
    except SQLAlchemyError as error:
        return str(trouble_of(error) or f"The database fails ({type(error).__name__}).")
    except StoreAway as error:
        return str(error)
    except OSError as error:
        return f"The image store does not answer ({error.strerror})."
    if erased or not purged.nothing:
        log.info(
            "Erased %d people; %d jobs became due by rule, %d images and %d stored files are gone.",
            erased,
            purged.expired,
            purged.images,
            purged.keys,
        )
    return None


def sweep_staging(blobs: BlobStore, stop: threading.Event) -> None:
    """Remove leftovers from the staging place, now and every ten minutes until ``stop``."""
    while not stop.is_set():
        try:
            freed = blobs.sweep_staging(_LEFT_OVER_SECONDS)
        except (OSError, SQLAlchemyError) as error:
            log.warning("The staging place could not be tidied: %s.", type(error).__name__)
        else:
            if freed:
                log.info("Removed %d bytes that killed processes had left.", freed)
        stop.wait(_STAGING_PAUSE_SECONDS)
