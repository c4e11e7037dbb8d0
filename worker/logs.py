"""What worker processes log: one line per event."""

from __future__ import annotations

import logging

from core.settings import Settings

LINE = "%(asctime)s %(levelname)s %(message)s"
# Celery's two lines per message say nothing more than the line about the shard.
_CHATTER = ("celery.worker.strategy", "celery.app.trace", "kombu", "amqp")
# It quotes files when it complains about them, and they may hold patient data.
_TELLTALE = "tifffile"


def set_up(settings: Settings) -> None:
    """Log to standard error at the level in the settings."""
    logging.basicConfig(level=settings.log_level.upper(), format=LINE)
    quieten()


def quieten() -> None:
    """Let through only the warnings of libraries that log every message."""
    for name in _CHATTER:
        logging.getLogger(name).setLevel(logging.WARNING)
    logging.getLogger(_TELLTALE).setLevel(logging.CRITICAL)
