"""Celery's pool of processes, each of which looks for work by itself while no message comes in.

The parent can't do this for them: while its broker is away, it only waits for the broker.
"""

from __future__ import annotations

import logging
import sys
from collections.abc import Callable
from typing import Any

from billiard.compat import mem_rss
from billiard.pool import EX_RECYCLE
from celery.concurrency import asynpool, prefork

from worker import tasks
from worker.limits import guarded

# How often a process without a message looks for work; after a failure it waits longer.
LOOK_SECONDS, _REST_SECONDS = 1.0, 5.0

log = logging.getLogger(__name__)


class SeekingWorker(asynpool.Worker):  # type: ignore[misc]  # Celery is not typed
    """One process of the pool, from its start to its end."""

    wait_for_job: Callable[[], Any]

    def _make_child_methods(self, *arguments: Any, **options: Any) -> None:
        """Wait for a message as Celery does, but only until the next look for work."""
        super()._make_child_methods(*arguments, **options)
        receive = self.wait_for_job
        pause = LOOK_SECONDS

        def wait_for_job() -> Any:
            nonlocal pause
            if self.inq._reader.poll(pause) or self._is_to_end():
                return receive()
            pause = self._seek()
            return None

        self.wait_for_job = wait_for_job

    def _is_to_end(self) -> bool:
        return self._shutdown is not None and self._shutdown.is_set()

    def _seek(self) -> float:
        """Do one waiting task; return how many seconds to listen before looking again."""
        try:
            with guarded(tasks.LONGEST_SECONDS):
                worked = tasks.do_waiting(tasks.current.get())
        except Exception as error:
            # As with a message: whatever went wrong, the lease runs out and counts.
            log.warning("What was found in the database failed: %s.", type(error).__name__)
            return _REST_SECONDS
        if worked and self.max_memory_per_child and mem_rss() > self.max_memory_per_child:
            log.info("This process has grown and is replaced.")
            sys.exit(EX_RECYCLE)
        return 0 if worked else LOOK_SECONDS


class SeekingPool(asynpool.AsynPool):  # type: ignore[misc]
    """The pool of such processes."""

    Worker = SeekingWorker


class TaskPool(prefork.TaskPool):  # type: ignore[misc]
    """The task pool that Celery uses, made of such processes."""

    Pool = SeekingPool
