"""Removing what processes that were killed left in the store's staging place."""

from __future__ import annotations

import logging
import threading

from sqlalchemy.exc import SQLAlchemyError

from core.blobs import LocalBlobs

# Nothing that is at work leaves a file unlocked for so long.
_LEFT_OVER_SECONDS = 3600.0
_PAUSE_SECONDS = 600.0

log = logging.getLogger(__name__)


def tidy(blobs: LocalBlobs, stop: threading.Event) -> None:
    """Tidy up at once, and then every ten minutes until ``stop``."""
    while not stop.is_set():
        try:
            freed = blobs.sweep_staging(_LEFT_OVER_SECONDS)
        except (OSError, SQLAlchemyError) as error:
            log.warning("The staging place could not be tidied: %s.", type(error).__name__)
        else:
            if freed:
                log.info("Removed %d bytes that killed processes had left.", freed)
        stop.wait(_PAUSE_SECONDS)
