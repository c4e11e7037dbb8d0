"""The Celery worker in the foreground: how many processes, on what, and until when."""

from __future__ import annotations

import importlib.util
import os
from collections.abc import Callable
from pathlib import Path

from core.errors import ConfigurationError
from core.settings import Settings
from ml.bundle import Bundle, default_bundle_path
from ml.errors import MlError
from ml.inference import gpu_possible
from ml.signing import require_trusted, trusted_keys
from ml.trial import try_apart
from worker import logs
from worker.app import Shape, create_app
from worker.process import bundle_path


def serve(settings: Settings, *, processes: int, threads: int) -> None:
    """Work until SIGTERM or SIGINT, which let the shards under way end.

    ``processes`` and ``threads`` of each; 0 takes one process a core, and shares the cores out.

    Raises:
        ConfigurationError: the model bundle can't be used.
    """
    logs.set_up(settings)
    _require_bundle(settings)
    app = create_app(settings, shape(processes, threads))
    worker = app.Worker(
        loglevel=settings.log_level.upper(),
        pool_cls="prefork",
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
    """Lay a worker out over this machine, or over so many ``cores``.

    A GPU is served by one process, started afresh rather than forked: TensorFlow does not survive
    a fork. Its cores all decode.
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


def gpu_expected() -> bool:
    """Whether the processes will compute on a GPU, found out without loading TensorFlow here."""
    installed = importlib.util.find_spec("tensorflow") is not None
    return installed and gpu_possible(os.environ, Path("/dev"))


def _require_bundle(settings: Settings) -> None:
    """Fail here and in words rather than in every process, over and over.

    A bundle that the settings name is tried as one that is added; the program's own was tested.
    """
    try:
        bundle = Bundle.load(bundle_path(settings))
        trusted = trusted_keys(settings.trusted_model_keys)
        if bundle.path != default_bundle_path():
            require_trusted(bundle, trusted)
            try_apart(bundle.path)
    except MlError as error:
        raise ConfigurationError(f"The model can't be used. {error}") from error
