"""Renews a lease while the work under it goes on."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from sqlalchemy.exc import SQLAlchemyError

from core.errors import LeaseLost

log = logging.getLogger(__name__)


class Lease:
    """Whether the work is still ours. Call `check` between two steps of it."""

    def __init__(self) -> None:
        self._lost = threading.Event()

    def lose(self) -> None:
        """Note that another worker has it now."""
        self._lost.set()

    def check(self) -> None:
        """Raise `LeaseLost` if another worker has the lease."""
        if self._lost.is_set():
            raise LeaseLost("The lease was lost.")


@contextmanager
def kept(renew: Callable[[], bool], seconds: float) -> Iterator[Lease]:
    """Call ``renew`` three times per lease, which lasts ``seconds``, until the body ends.

    ``renew`` returns False if another worker has the lease. While the database does not answer, the
    work goes on; its results are recorded only if the lease still holds at the end.
    """
    lease, ended = Lease(), threading.Event()
    arguments = (renew, seconds / 3, lease, ended)
    keeper = threading.Thread(target=_keep, args=arguments, name="lease", daemon=True)
    keeper.start()
    try:
        yield lease
    finally:
        ended.set()
        keeper.join()


def _keep(renew: Callable[[], bool], pause: float, lease: Lease, ended: threading.Event) -> None:
    while not ended.wait(pause):
        try:
            if not renew():
                lease.lose()
                return
        except SQLAlchemyError:
            log.warning("The database does not answer; a lease could not be renewed.")
