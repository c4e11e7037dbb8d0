"""The other half of the sweep: it removes what was deleted and what killed processes left."""

from __future__ import annotations

import logging
import threading

from sqlalchemy.exc import SQLAlchemyError

from core import jobs
from core.blobs import BlobStore
from core.errors import StoreAway
from core.installation import Installation
from core.outages import trouble_of
from core.people.erasure import erase_due

# No working process leaves a file unlocked for this long.
_LEFT_OVER_SECONDS = 3600.0
_PAUSE_SECONDS = 600.0

log = logging.getLogger(__name__)


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
        stop.wait(_PAUSE_SECONDS)
