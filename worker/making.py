"""Makes what somebody ordered (a report, an explanation, copies) under its lease."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager, suppress

from sqlalchemy.exc import SQLAlchemyError

from core.errors import Conflict, LeaseLost, NoSpace
from core.made import making
from core.made.making import Claim
from core.outages import trouble_of
from worker.lease import Lease, kept
from worker.process import WorkerProcess

_FULL = "The server's disk is full. This will be made automatically once there is room."
_AWAY = (
    "The image store or the database is out of order. This will be made automatically once it is "
    "back."
)

log = logging.getLogger(__name__)


@contextmanager
def under(process: WorkerProcess, claim: Claim) -> Iterator[Lease]:
    """Keep the lease while the body makes it and hands it over.

    The message of a `Conflict` goes to the person who asked. A lost lease drops this copy; an
    outage of the disk, the store or the database puts the work off.
    """
    try:
        with kept(lambda: _renew(process, claim), process.settings.lease_seconds) as lease:
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


def _renew(process: WorkerProcess, claim: Claim) -> bool:
    with process.database.writing() as session:
        return making.renew(session, claim, process.settings.lease_seconds)
