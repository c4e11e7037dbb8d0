"""Frees the leases of a process that died at work, at once and in its parent."""

from __future__ import annotations

from typing import Any

from billiard.exceptions import WorkerLostError
from celery.worker.request import Request

from core.db import Database
from worker.app import settings_of
from worker.freeing import free, process_name

_PATIENCE_SECONDS = 5.0


class LeasedRequest(Request):  # type: ignore[misc]  # Celery is not typed
    """A message whose process frees its leases when it dies, not only when they run out."""

    def on_failure(
        self, exc_info: Any, send_failed_event: bool = True, return_ok: bool = False
    ) -> None:
        """Free the leases before the message goes back, so that its next taker finds them free."""
        error = exc_info.exception
        if isinstance(getattr(error, "exc", error), WorkerLostError):
            self._free()
        super().on_failure(exc_info, send_failed_event=send_failed_event, return_ok=return_ok)

    def on_timeout(self, soft: bool, timeout: float) -> None:
        """Free the leases of a process that is killed for taking too long."""
        if not soft:
            self._free()
        super().on_timeout(soft, timeout)

    def _free(self) -> None:
        """Free everything that the process held, whatever its message was for.

        The connection is closed again: the parent must hold none when it forks the next process.
        """
        if self.worker_pid:
            settings = settings_of(self.app)
            # This process feeds the others: it must not wait long for a database that is away.
            database = Database(settings.database, statement_seconds=_PATIENCE_SECONDS)
            free(database, process_name(self.worker_pid), settings.max_attempts)
            database.dispose()
