"""What one worker process holds, opened once in the process itself, never in its parent.

TensorFlow hangs in a child forked from a process that has run it, and a database connection must
not be shared by two processes.
"""

from __future__ import annotations

import logging
import os
import time
from dataclasses import dataclass, field
from pathlib import Path

import cv2
from sqlalchemy.exc import SQLAlchemyError

from core.installation import Installation, open_installation
from core.memory import share_heaps
from core.settings import Settings
from ml.bundle import Bundle, default_bundle_path
from ml.bundle.signing import trusted_keys
from worker.fleet import Badge, Heartbeat, Throughput
from worker.freeing import free_the_dead, process_name
from worker.models import Lacking, LoadedModel, ModelStore, introduce, open_model
from worker.packing import ModelUnusable

_RETRY_SECONDS = 2.0
# Heartbeats and lease renewals need a second connection for a moment. If every process of a large
# fleet kept it, PostgreSQL would run out of connections: it has 100 by default.
_KEPT_CONNECTIONS = 1
# More threads than this would wait for Python's lock and not for the decoder.
_MOST_DECODERS = 8

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class WorkerProcess(Installation):
    """The installation as one process has opened it, and what the process works with.

    ``decoders`` is how many images it decodes at a time.
    """

    name: str
    models: ModelStore
    decoders: int = 1
    throughput: Throughput = field(default_factory=Throughput)
    lacking: Lacking = field(default_factory=Lacking)


def bundle_path(settings: Settings) -> Path:
    """Return the folder of the bundle named in the settings, or else of the shipped one."""
    return Path(settings.bundle) if settings.bundle else default_bundle_path()


def open_process(settings: Settings, threads: int, device: str = "auto") -> WorkerProcess:
    """Open everything this process works with; its models are loaded on demand."""
    share_heaps()
    # Images are read in parallel, each by one thread.
    cv2.setNumThreads(1)
    shipped = Bundle.load(bundle_path(settings))
    opened = open_installation(settings, connections=_KEPT_CONNECTIONS)
    return WorkerProcess(
        settings=settings,
        database=opened.database,
        blobs=opened.blobs,
        queue=opened.queue,
        name=process_name(os.getpid()),
        models=ModelStore(
            opened.blobs,
            settings.unpacked_models,
            shipped,
            lambda bundle: open_model(bundle, threads, device),
            trusted_keys(settings.trusted_model_keys),
        ),
        decoders=max(1, min(threads, _MOST_DECODERS)),
    )


def first_model(process: WorkerProcess) -> LoadedModel:
    """Add the shipped model to the list, and load the active one.

    If that is unavailable, the shipped one is loaded: jobs may use it, and the images of jobs with
    the other model fail with a message that says what is wrong.
    """
    digest = _introduce(process)
    try:
        return process.models.get(digest)
    except (ModelUnusable, OSError) as error:
        log.error("%s", error)
        return process.models.get(process.models.shipped.digest)


def _introduce(process: WorkerProcess) -> str:
    """Return the active model's digest; wait as long as database and store take to answer."""
    while True:
        try:
            with process.database.writing() as session:
                return introduce(session, process.blobs, process.models.shipped)
        except (SQLAlchemyError, OSError) as error:
            name = type(error).__name__
            log.warning("The database or the store does not answer (%s); trying again.", name)
            time.sleep(_RETRY_SECONDS)


class CurrentProcess:
    """The process that Celery's tasks run in: opened at its start, closed at its stop."""

    def __init__(self) -> None:
        self._process: WorkerProcess | None = None
        self._heartbeat: Heartbeat | None = None

    def start(self, settings: Settings, threads: int, device: str) -> None:
        """Open everything and start the heartbeat."""
        process = self._process = open_process(settings, threads, device)
        # Before the network is loaded: this process may take the place of one that died at work.
        free_the_dead(process.database, settings.max_attempts)
        network = first_model(process).classifier
        badge = Badge(process.name, network.device, network.backend)
        self._heartbeat = Heartbeat(
            process.database, badge, process.throughput, lambda: process.models.loaded
        )
        self._heartbeat.start()
        log.info("Worker %s is ready on %s.", process.name, network.device)

    def get(self) -> WorkerProcess:
        """Return what `start` opened. Raises `RuntimeError` before `start`."""
        if self._process is None:
            raise RuntimeError("This process holds no network; it is not a worker process.")
        return self._process

    def stop(self) -> None:
        """Leave the fleet and close the database."""
        if self._heartbeat:
            self._heartbeat.stop()
        if self._process:
            self._process.database.dispose()
        self._process = self._heartbeat = None
