"""What the processes of this room write to their log: one line a thing that happened."""

from __future__ import annotations

import logging

from core.settings import Settings

LINE = "%(asctime)s %(levelname)s %(message)s"
# Celery's two lines a message say nothing that the line about the shard does not.
_CHATTER = ("celery.worker.strategy", "celery.app.trace", "kombu", "amqp")
# It complains of files by quoting them, and what is written in them may be a patient's.
_TELLTALE = "tifffile"


def set_up(settings: Settings) -> None:
    """Log to standard error at the level that is set."""
    logging.basicConfig(level=settings.log_level.upper(), format=LINE)
    quieten()


def quieten() -> None:
    """Let through only warnings of the libraries that would speak of every message."""
    for name in _CHATTER:
        logging.getLogger(name).setLevel(logging.WARNING)
    logging.getLogger(_TELLTALE).setLevel(logging.CRITICAL)
