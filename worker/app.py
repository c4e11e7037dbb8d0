"""A worker's Celery application, with settings that survive dying workers, brokers and messages."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from celery import Celery

from core.queue import broker
from core.settings import Settings
from core.states import Lane
from worker.logs import LINE

SOFT_SECONDS = 120
HARD_SECONDS = 180
# A child that has grown beyond this size (kB resident) is replaced after its task, except on a GPU:
# there TensorFlow takes this much from the start.
_LARGEST_CHILD = 2_000_000


@dataclass(frozen=True, slots=True)
class Shape:
    """A worker's layout: its processes, the threads of each, and how they are started."""

    processes: int
    threads: int
    start_method: str = "fork"

    @property
    def device(self) -> str:
        """What its processes compute on. A CPU worker's processes do not look for a GPU: that would
        load TensorFlow into each of them."""
        return "cpu" if self.start_method == "fork" else "auto"


def create_app(settings: Settings, shape: Shape) -> Celery:
    """Return the application. Its processes read ``settings`` from it, forked or spawned."""
    app = broker(settings.redis_url)
    app.conf.update(
        include=["worker.tasks"],
        # The order of the lanes is the order in which every worker serves them.
        task_queues={lane.value: {} for lane in Lane},
        task_default_queue=Lane.BATCH.value,
        worker_concurrency=shape.processes,
        worker_pool_start_method=shape.start_method,
        worker_max_memory_per_child=_LARGEST_CHILD if shape.start_method == "fork" else None,
        hematovision_settings=settings.model_dump(mode="json"),
        hematovision_threads=shape.threads,
        hematovision_device=shape.device,
        **_DELIVERY,
        **_PROCESSES,
        **_LOGS,
    )
    return app


def settings_of(app: Celery) -> Settings:
    """Return the settings an application was made with."""
    return Settings(**app.conf.hematovision_settings)


# What happens to a message. A process that dies gives it back at once. SQL sees to it that a deadly
# message does not go round for ever: every lease counts there. Celery's own count of such retries
# (task_retry_on_worker_lost) stays off: it would send a message with a countdown, which sits in one
# worker's memory and replaces the message that was given back.
_DELIVERY: dict[str, Any] = {
    "task_acks_late": True,
    "task_reject_on_worker_lost": True,
    "task_retry_on_worker_lost": False,
    "task_soft_time_limit": SOFT_SECONDS,
    "task_time_limit": HARD_SECONDS,
    "worker_prefetch_multiplier": 1,
}

_PROCESSES: dict[str, Any] = {
    # With the default of four seconds a pool never recovers from one killed process, since its
    # successor takes longer to load the network.
    "worker_proc_alive_timeout": 120,
    # How long the parent waits for a last result of a process that died.
    "worker_lost_wait": 1,
    # Only for a second Ctrl-C or SIGQUIT: SIGTERM waits for the shards that are under way.
    "worker_soft_shutdown_timeout": 30,
    # The fleet is known from SQL; Celery's own remote control is not needed.
    "worker_enable_remote_control": False,
}

_LOGS: dict[str, Any] = {
    "worker_log_format": LINE,
    "worker_task_log_format": LINE,
    "worker_log_color": False,
    "worker_redirect_stdouts": False,
}
