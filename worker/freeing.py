"""Frees what dead processes held, so that nobody waits until their leases end.

A process is known by its host and its process id. Its parent may be dead too, and only SQL knows
what it worked on. So everything recorded under its name is freed.
"""

from __future__ import annotations

import logging
import os
import socket
from pathlib import Path

from sqlalchemy.exc import SQLAlchemyError

from core import jobs, leases
from core.db import Database
from core.made import making
from core.tables import Leased, Shard
from worker.fleet import leave

log = logging.getLogger(__name__)


def process_name(pid: int) -> str:
    """Return the name of a process of this machine: its host and process id."""
    return f"{socket.gethostname()}:{pid}"[:120]


def free(database: Database, worker: str, max_attempts: int) -> int:
    """End all leases of a process that is known to be dead; return how many.

    Each counts as an attempt, as if the lease had run out. If the database does not answer, the
    leases run out by themselves.
    """
    try:
        with database.reading() as session:
            shards = jobs.held_by(session, worker)
        freed = 0
        for shard_id in shards:
            # One transaction per shard: holding several jobs' locks at once could deadlock.
            with database.writing() as session:
                freed += jobs.release(session, shard_id, worker, max_attempts)
        with database.writing() as session:
            for kind in making.BELLS:
                freed += making.release(session, kind, worker, max_attempts)
            leave(session, worker)
    except SQLAlchemyError:
        log.warning("Worker %s died; what it held waits until its lease ends.", worker)
        return 0
    if freed:
        log.warning("Worker %s died at work; %d leases are free again.", worker, freed)
    return freed


def free_the_dead(database: Database, max_attempts: int) -> int:
    """Free what dead processes of this machine held; return how many leases.

    The calling process is new: anything under its own name belongs to a dead one too.
    """
    try:
        with database.reading() as session:
            kinds: list[type[Leased]] = [Shard, *making.BELLS]
            names = {name for kind in kinds for name in leases.holders(session, kind)}
    except SQLAlchemyError:
        return 0
    dead = [name for name in names if name and _is_dead(name)]
    return sum(free(database, name, max_attempts) for name in sorted(dead))


def _is_dead(worker: str) -> bool:
    """Say whether a process of this machine has ended; False for another machine's."""
    host, _, pid = worker.rpartition(":")
    if host != socket.gethostname() or not pid.isdecimal():
        return False
    if int(pid) == os.getpid():
        return True
    try:
        os.kill(int(pid), 0)
    except ProcessLookupError:
        return True
    except PermissionError:
        return False
    return _is_zombie(int(pid))


def _is_zombie(pid: int) -> bool:
    """Say whether a process has ended, but its parent has not collected its exit status.

    For orphans the machine's first process should do so. That may take a while: in a container, the
    first process is often a program that never does.
    """
    try:
        # "20816 (python) Z …": the name in brackets may contain anything, brackets too.
        state = Path(f"/proc/{pid}/stat").read_bytes().rpartition(b")")[2].split()[:1]
    except OSError:
        return False
    return state in ([b"Z"], [b"X"])
