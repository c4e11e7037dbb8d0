"""Making what somebody asked for under its lease, whatever it is."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager

from core import making
from core.errors import Conflict, LeaseLost
from core.making import Claim
from worker.lease import Lease, kept
from worker.process import WorkerProcess

log = logging.getLogger(__name__)


@contextmanager
def under(here: WorkerProcess, claim: Claim) -> Iterator[Lease]:
    """Keep the lease while the body makes it and hands it over.

    A `Conflict` is what the person who asked is told; a lost lease drops this copy.
    """
    try:
        with kept(lambda: _renew(here, claim), here.settings.lease_seconds) as lease:
            yield lease
    except LeaseLost:
        log.warning("%s is another worker's now; this copy is dropped.", claim)
    except Conflict as error:
        with here.database.writing() as session:
            making.fail(session, claim, str(error))
    else:
        log.info("%s is ready.", claim)


def _renew(here: WorkerProcess, claim: Claim) -> bool:
    with here.database.writing() as session:
        return making.renew(session, claim, here.settings.lease_seconds)
