"""A worker container's health check: exits with 0 if a worker process of this host is alive.

Alive means that the database has heard from it: a process that can't reach the database is of no
use to anybody.
"""

from __future__ import annotations

import socket
import sys

from sqlalchemy import select

from core.db import Database, clock
from core.jobs.queries import WORKER_SECONDS
from core.settings import Settings
from core.tables import Worker


def lives(database: Database, host: str) -> bool:
    """Return whether a worker process of ``host`` has given a recent sign of life."""
    query = select(Worker.name).where(
        Worker.name.startswith(f"{host}:", autoescape=True),
        Worker.seen_at > clock() - WORKER_SECONDS,
    )
    with database.reading() as session:
        return session.scalar(query.limit(1)) is not None


if __name__ == "__main__":
    sys.exit(not lives(Database(Settings.from_env().database), socket.gethostname()))
