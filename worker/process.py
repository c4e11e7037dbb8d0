"""What one worker process holds: opened once in the process itself, never in its parent.

TensorFlow hangs in a child forked from a process that has run it, and a database connection must
not be shared by two processes.
"""

from __future__ import annotations

import logging
import os
import socket
import time
from dataclasses import dataclass, field
from pathlib import Path

from sqlalchemy.exc import SQLAlchemyError

from core.blobs import BlobStore, LocalBlobs
from core.db import Database
from core.queue import CeleryQueue, TaskQueue
from core.settings import Settings
from ml.bundle import Bundle, default_bundle_path
from ml.inference import Classifier, load_classifier
from worker.fleet import Badge, Heartbeat, Tally, introduce

_RETRY_SECONDS = 2.0
# More threads than this wait for Python's lock and not for the decoder.
_MOST_DECODERS = 8

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class WorkerProcess:
    """The means of one process. ``decoders`` is how many images it decodes at a time."""

    name: str
    settings: Settings
    database: Database
    blobs: BlobStore
    queue: TaskQueue
    classifier: Classifier
    decoders: int = 1
    tally: Tally = field(default_factory=Tally)

    @property
    def badge(self) -> Badge:
        """What this process shows of itself."""
        network = self.classifier
        return Badge(self.name, network.device, network.backend, network.bundle.digest)


def process_name(pid: int) -> str:
    """Return the name of a process of this machine: its host and process id."""
    return f"{socket.gethostname()}:{pid}"[:120]


def bundle_path(settings: Settings) -> Path:
    """Return the folder of the bundle that is set, or of the one that ships."""
    return Path(settings.bundle) if settings.bundle else default_bundle_path()


def open_process(settings: Settings, threads: int) -> WorkerProcess:
    """Load the network and open everything this process works with."""
    classifier = load_classifier(Bundle.load(bundle_path(settings)), threads=threads)
    here = WorkerProcess(
        name=process_name(os.getpid()),
        settings=settings,
        database=Database(settings.database),
        blobs=LocalBlobs(settings.blobs),
        queue=CeleryQueue(settings.redis_url),
        classifier=classifier,
        decoders=max(1, min(threads, _MOST_DECODERS)),
    )
    _introduce(here)
    return here


def _introduce(here: WorkerProcess) -> None:
    """Write the model down, however long the database takes to answer."""
    while True:
        try:
            with here.database.writing() as session:
                introduce(session, here.classifier.bundle)
            return
        except SQLAlchemyError:
            log.warning("The database does not answer; trying again in %d s.", _RETRY_SECONDS)
            time.sleep(_RETRY_SECONDS)


class Held:
    """What this process holds between its start and its stop."""

    def __init__(self) -> None:
        self._here: WorkerProcess | None = None
        self._heartbeat: Heartbeat | None = None

    def start(self, settings: Settings, threads: int) -> None:
        """Open it and begin to beat."""
        self._here = open_process(settings, threads)
        self._heartbeat = Heartbeat(self._here.database, self._here.badge, self._here.tally)
        self._heartbeat.start()
        log.info("Worker %s is ready on %s.", self._here.name, self._here.classifier.device)

    def get(self) -> WorkerProcess:
        """Return it. Raises `RuntimeError` before `start`."""
        if self._here is None:
            raise RuntimeError("This process holds no network; it is not a worker process.")
        return self._here

    def stop(self) -> None:
        """Leave the fleet and close the database."""
        if self._heartbeat:
            self._heartbeat.stop()
        if self._here:
            self._here.database.dispose()
        self._here = self._heartbeat = None
