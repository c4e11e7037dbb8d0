"""The doorbell: tells workers what waits to be done. SQL is the truth, not this.

A message is one id and nothing else. It may be lost, doubled or late: the claim in SQL decides
who does the work, and the sweep rings again.
"""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from enum import Enum
from typing import Any, NamedTuple, Protocol

from celery import Celery
from kombu.exceptions import OperationalError
from redis.exceptions import RedisError

from core.errors import QueueUnavailable
from core.states import Lane

CLASSIFY = "hematovision.classify_shard"
REPORT = "hematovision.make_report"
EXPLAIN = "hematovision.explain_image"
DERIVE = "hematovision.derive_image"
_AWAY = "The queue does not answer. The work is kept."
# Workers find what waits in SQL within a second: for a broker nobody should wait much longer.
_PUBLISH_SECONDS = 1
# A bell that did not ring is left alone for so long: else everybody waits for it, one by one.
_REST_SECONDS = 5.0
_CHECK_KEY = "hematovision:check"


class Message(NamedTuple):
    """What waits to be done: a task, the id that it is for, and its lane.

    Noted by `core.db.after_commit`, it is rung once the transaction that made it wait is committed.
    """

    task: str
    id: int
    lane: Lane


class Draw(Enum):
    """Noted likewise: there may be room for shards that wait. Which ones are rung for is drawn."""

    SHARDS = "shards"


class TaskQueue(Protocol):
    """Rings for one id on one lane."""

    def ring(self, task: str, id_: int, lane: Lane) -> None:
        """Say that ``task`` waits for ``id_``. Raises `QueueUnavailable`."""
        ...

    def check(self) -> None:
        """Return if the broker takes messages. Raises `QueueUnavailable`."""
        ...


class CeleryQueue:
    """Celery over Redis, by task name: the sender imports no task and so no network."""

    def __init__(self, redis_url: str) -> None:
        self._celery = broker(redis_url)
        self._celery.conf.broker_transport_options |= _IMPATIENT
        self._rests_until = 0.0

    def ring(self, task: str, id_: int, lane: Lane) -> None:
        """Publish the message.

        Raises:
            QueueUnavailable: within some seconds where the broker is frozen, away or full; at once
                where that was seen some seconds ago.
        """
        if time.monotonic() < self._rests_until:
            raise QueueUnavailable(_AWAY)
        try:
            self._celery.send_task(task, args=[id_], queue=lane.value, retry=False)
        except OperationalError as error:
            self._rests_until = time.monotonic() + _REST_SECONDS
            raise QueueUnavailable(_AWAY) from error

    def check(self) -> None:
        """Write a word to the broker: a full one answers, and takes nothing.

        Raises `QueueUnavailable` within some seconds.
        """
        try:
            with self._celery.connection_for_write() as connection:
                # Kombu's broker in memory has no client, and is never full.
                client = getattr(connection.default_channel, "client", None)
                if client:
                    client.set(_CHECK_KEY, 1, ex=60)
        except (OperationalError, RedisError, OSError) as error:
            raise QueueUnavailable(_AWAY) from error
        self._rests_until = 0.0


@dataclass
class MemoryQueue:
    """A queue in memory for tests: it remembers what was rung, in order."""

    rung: list[tuple[str, int, Lane]] = field(default_factory=list)
    broken: bool = False

    def ring(self, task: str, id_: int, lane: Lane) -> None:
        """Remember the message. Raises `QueueUnavailable` while ``broken``."""
        if self.broken:
            raise QueueUnavailable(_AWAY)
        self.rung.append((task, id_, lane))

    def check(self) -> None:
        """Raise `QueueUnavailable` while ``broken``."""
        if self.broken:
            raise QueueUnavailable(_AWAY)


def broker(redis_url: str) -> Celery:
    """Return a Celery application that knows the broker and its timeouts, and no task."""
    app = Celery("hematovision", broker=redis_url, set_as_current=False)
    app.conf.update(
        task_ignore_result=True,
        broker_connection_retry_on_startup=True,
        broker_connection_max_retries=None,
        broker_pool_acquire_timeout=5,
        broker_transport_options=_transport_options(),
    )
    return app


# For those who ring: no second try, and no wait for a broker that comes back some time.
_IMPATIENT = {
    "socket_timeout": _PUBLISH_SECONDS,
    "socket_connect_timeout": _PUBLISH_SECONDS,
    "max_retries": 1,
    "interval_start": 0,
    "interval_max": 0,
    "connect_retries_timeout": _PUBLISH_SECONDS,
}


def _transport_options() -> dict[str, Any]:
    return {
        # Without socket timeouts everybody hangs for minutes on a frozen broker.
        "socket_timeout": 8,
        "socket_connect_timeout": 3,
        "socket_keepalive": True,
        "health_check_interval": 10,
        # Above the hard time limit, or a long shard would be delivered twice.
        "visibility_timeout": 300,
        "unacked_restore_interval": 5,
        "unacked_restore_throttle": 1,
        # Take from the lanes in the order in which they are listed: interactive first.
        "queue_order_strategy": "priority",
    }
