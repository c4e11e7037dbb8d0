"""What the parent does when one of its processes dies at work: frees the lease at once."""

from __future__ import annotations

import logging
from typing import Any

from billiard.exceptions import WorkerLostError
from celery.worker.request import Request
from sqlalchemy.exc import SQLAlchemyError

from core import jobs
from core.db import Database
from core.settings import Settings
from worker.app import settings_of
from worker.process import process_name

log = logging.getLogger(__name__)


class LeasedRequest(Request):  # type: ignore[misc]  # Celery is not typed
    """A message for one shard. Without this its images wait until the dead process's lease ends."""

    def on_failure(
        self, exc_info: Any, send_failed_event: bool = True, return_ok: bool = False
    ) -> None:
        """Free the lease before the message goes back, so that whoever takes it finds it free."""
        error = exc_info.exception
        if isinstance(getattr(error, "exc", error), WorkerLostError):
            self._free()
        super().on_failure(exc_info, send_failed_event=send_failed_event, return_ok=return_ok)

    def on_timeout(self, soft: bool, timeout: float) -> None:
        """Free the lease of a process that is killed for taking too long."""
        if not soft:
            self._free()
        super().on_timeout(soft, timeout)

    def _free(self) -> None:
        if self.worker_pid:
            shard_id = int(self.args[0])
            free_lease(settings_of(self.app), shard_id, process_name(self.worker_pid))


def free_lease(settings: Settings, shard_id: int, worker: str) -> None:
    """Free a dead worker's lease. If the database does not answer, the lease runs out by itself.

    The connection is closed again: the parent must hold none when it forks the next process.
    """
    database = Database(settings.database)
    try:
        with database.writing() as session:
            if jobs.release(session, shard_id, worker, settings.max_attempts):
                log.warning("Worker %s died at work; shard %d is free again.", worker, shard_id)
    except SQLAlchemyError:
        log.warning("Worker %s died; shard %d waits until its lease ends.", worker, shard_id)
    finally:
        database.dispose()
