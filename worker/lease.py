"""Keeps a lease while the work under it goes on, and says what becomes of the work if it can't."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, suppress

from sqlalchemy.exc import SQLAlchemyError

from core import leases
from core.errors import Conflict, LeaseLost, NoSpace
from core.leases import Claim
from core.made import making
from core.outages import trouble_of
from worker.process import WorkerProcess

_FULL = "The server's disk is full. This will be made automatically once there is room."
_AWAY = (
    "The image store or the database is out of order. This will be made automatically once it is "
    "back."
)

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
def renewing(renew: Callable[[], bool], seconds: float) -> Iterator[Lease]:
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


def holding(process: WorkerProcess, claim: Claim) -> AbstractContextManager[Lease]:
    """Renew the process's lease until the body ends."""

    def renew() -> bool:
        with process.database.writing() as session:
            return leases.renew(session, claim, process.settings.lease_seconds)

    return renewing(renew, process.settings.lease_seconds)


@contextmanager
def making_ordered(process: WorkerProcess, claim: Claim) -> Iterator[Lease]:
    """Keep the lease while the body makes what somebody ordered, and hands it over.

    That is a report, an explanation or an image's copies. The message of a `Conflict` goes to the
    person who asked. A lost lease drops this copy; an outage of the disk, the store or the database
    puts the work off.
    """
    try:
        with holding(process, claim) as lease:
            yield lease
    except LeaseLost:
        log.warning("%s is another worker's now; this copy is dropped.", claim)
    except Conflict as error:
        with process.database.writing() as session:
            making.fail(session, claim, str(error))
    except (OSError, SQLAlchemyError) as error:
        trouble = trouble_of(error)
        if trouble is None:
            raise
        log.warning("%s is put off. %s", claim, trouble)
        _put_off(process, claim, _FULL if isinstance(trouble, NoSpace) else _AWAY)
    else:
        log.info("%s is ready.", claim)


def _put_off(process: WorkerProcess, claim: Claim, message: str) -> None:
    """Say why it takes longer; if that can't be written down either, the lease runs out."""
    with suppress(SQLAlchemyError), process.database.writing() as session:
        making.put_off(session, claim, message, process.settings.lease_seconds)
