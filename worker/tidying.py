"""The sweep's other half: what was deleted goes for good once its grace period is over."""

from __future__ import annotations

import logging

from sqlalchemy.exc import SQLAlchemyError

from core import jobs
from core.blobs import LocalBlobs
from core.db import Database
from core.erasure import erase_due
from core.settings import Settings

log = logging.getLogger(__name__)


def tidy(database: Database, settings: Settings) -> str | None:
    """Do some of what is due, and return a sentence about what was in the way, if anything."""
    try:
        erased = erase_due(database, settings)
        purged = jobs.purge(database, LocalBlobs(settings.blobs), settings)
    except SQLAlchemyError as error:
        return f"The database does not answer ({type(error).__name__})."
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
