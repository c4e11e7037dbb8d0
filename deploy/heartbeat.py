"""A worker container's health check: ends with 0 if a worker process of this host lives.

Life is what the database has heard: a process that runs but can't reach it serves nobody.
"""

from __future__ import annotations

import socket
import sys

from sqlalchemy import select

from core.db import Database, clock
from core.jobs import WORKER_SECONDS
from core.models import Worker
from core.settings import Settings


def lives(database: Database, host: str) -> bool:
    """Say whether a worker process of ``host`` has given a sign of life just now."""
    query = select(Worker.name).where(
        Worker.name.startswith(f"{host}:", autoescape=True),
        Worker.seen_at > clock() - WORKER_SECONDS,
    )
    with database.reading() as session:
        return session.scalar(query.limit(1)) is not None


if __name__ == "__main__":
    sys.exit(not lives(Database(Settings.from_env().database), socket.gethostname()))
