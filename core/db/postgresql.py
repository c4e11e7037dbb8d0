"""A PostgreSQL connection that times out. Imported only if that database is used."""

from __future__ import annotations

import time
from typing import Any, TypeVar

import psycopg
from psycopg.abc import PQGen

RV = TypeVar("RV")


class PatientConnection(psycopg.Connection[Any]):
    """Waits for any one answer as many seconds as its ``patience``, then is closed.

    The other end may keep the connection open and never answer: a proxy whose server is gone, or
    a frozen machine. Neither keepalives nor the server's own limits end that.
    """

    patience: float | None = None

    def wait(self, gen: PQGen[RV], interval: float = 0.1, timeout: float | None = None) -> RV:
        """Run ``gen`` to its end.

        Raises:
            psycopg.OperationalError: the server did not answer in time.
        """
        if timeout is not None or self.patience is None:
            return super().wait(gen, interval, timeout)
        began = time.monotonic()
        try:
            return super().wait(gen, interval, self.patience)
        except psycopg.OperationalError as error:
            if time.monotonic() - began < self.patience:
                raise
            self.pgconn.finish()
            raise psycopg.OperationalError(
                f"The database did not answer for {self.patience:g} s."
            ) from error
