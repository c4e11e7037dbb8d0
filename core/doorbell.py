"""Ringing by itself: what a transaction made wait is rung for once it is committed.

`core.jobs` and `core.made` note it where they write it, by `core.db.after_commit`; nobody else has
to remember. A message that gets lost on the way is rung again by the sweep.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence

from sqlalchemy.exc import OperationalError

from core.db import Database
from core.errors import QueueUnavailable
from core.jobs import dispatch
from core.queue import Draw, Message, TaskQueue
from core.settings import Settings

log = logging.getLogger(__name__)


class Doorbell:
    """Rings ``queue`` for what the commits of ``database`` made wait."""

    def __init__(self, database: Database, queue: TaskQueue, settings: Settings) -> None:
        self._database, self._queue, self._settings = database, queue, settings
        self._answers = True
        database.on_commit(self.ring)

    def ring(self, effects: Sequence[object]) -> None:
        """Ring for each message; where shards may go, draw them, which rings for them in turn."""
        messages = [effect for effect in effects if isinstance(effect, Message)]
        try:
            for message in messages:
                self._queue.ring(*message)
        except QueueUnavailable:
            self._note(answers=False)
        else:
            if messages:
                self._note(answers=True)
        if Draw.SHARDS in effects:
            try:
                dispatch(self._database, self._settings)
            except OperationalError:
                log.warning("The database is busy; the sweep will ring for what waits.")

    def _note(self, *, answers: bool) -> None:
        """Log when the queue goes away and when it is back, not every time that it is missed."""
        if answers != self._answers:
            self._answers = answers
            log.warning(
                "The queue answers again."
                if answers
                else "The queue does not answer. Workers find in the database what waits."
            )
