"""The Celery worker in the foreground: how many processes it has, and what they compute on."""

from __future__ import annotations

import importlib.util
import logging
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

from core.errors import ConfigurationError
from core.settings import Settings
from ml.bundle import Bundle, default_bundle_path
from ml.bundle.signing import require_trusted, trusted_keys
from ml.errors import MlError
from ml.serving.inference import gpu_possible
from ml.serving.trial import try_apart
from worker import logs
from worker.app import Shape, create_app
from worker.pool import TaskPool
from worker.process import bundle_path

_LOADING_SECONDS = 120.0
_ASK_FOR_GPUS = "import tensorflow as tf; print(len(tf.config.list_physical_devices('GPU')))"

log = logging.getLogger(__name__)


def serve(settings: Settings, *, processes: int, threads: int) -> None:
    """Work until SIGTERM or SIGINT; shards under way are finished first.

    ``processes`` is their number and ``threads`` that of each one's threads; 0 means one process
    per core, and an equal share of the cores for each.

    Raises:
        ConfigurationError: the model bundle can't be used.
    """
    logs.set_up(settings)
    _require_bundle(settings)
    app = create_app(settings, shape(processes, threads))
    worker = app.Worker(
        loglevel=settings.log_level.upper(),
        pool_cls=TaskPool,
        quiet=True,
        without_gossip=True,
        without_mingle=True,
        without_heartbeat=True,
    )
    worker.start()
    if worker.exitcode:
        raise SystemExit(worker.exitcode)


def shape(
    processes: int, threads: int, *, cores: int = 0, gpu: Callable[[], bool] | None = None
) -> Shape:
    """Return the layout of a worker for this machine, or for this many ``cores``.

    A GPU is served by one process, spawned and not forked: TensorFlow does not survive a fork. All
    cores decode for it.
    """
    cores = cores or available_cores()
    if (gpu or gpu_expected)():
        return Shape(1, threads or cores, "spawn")
    processes = processes or cores
    return Shape(processes, threads or max(1, cores // processes))


def available_cores() -> int:
    """Return how many cores this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def gpu_expected(devices: Path = Path("/dev"), seconds: float = _LOADING_SECONDS) -> bool:
    """Say whether the processes will compute on a GPU.

    If there is a device file, TensorFlow itself is asked: it may be built for the CPU only, or be
    unable to use the driver. It runs in a separate process, since it must not be loaded here.
    """
    installed = importlib.util.find_spec("tensorflow") is not None
    if not installed or not gpu_possible(os.environ, devices):
        return False
    try:
        answer = subprocess.run(
            [sys.executable, "-c", _ASK_FOR_GPUS], capture_output=True, timeout=seconds, check=True
        )
    except (subprocess.SubprocessError, OSError) as error:
        log.warning("TensorFlow does not say whether it sees a GPU: %s.", type(error).__name__)
        return False
    return answer.stdout.split()[-1:] not in ([], [b"0"])


def _require_bundle(settings: Settings) -> None:
    """Fail here, with a message, and not in every process again and again.

    A bundle named in the settings is tried like one that is added; the shipped one is tested.
    """
    try:
        bundle = Bundle.load(bundle_path(settings))
        trusted = trusted_keys(settings.trusted_model_keys)
        if bundle.path != default_bundle_path():
            require_trusted(bundle, trusted)
            try_apart(bundle.path)
    except MlError as error:
        raise ConfigurationError(f"The model can't be used. {error}") from error
