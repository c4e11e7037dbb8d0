"""The doorbell: Celery's, whose broker may be absent or frozen, and the one in memory."""

from __future__ import annotations

import base64
import json
import socket
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, suppress
from functools import partial
from pathlib import Path

import pytest
import redis

from core.errors import QueueUnavailable
from core.queue import CLASSIFY, REPORT, CeleryQueue, MemoryQueue
from core.states import Lane
from hematovision.local import redis_command


@pytest.fixture
def frozen() -> Iterator[str]:
    """Yield the URL of a broker that takes connections and never says a word."""
    with closing(socket.create_server(("127.0.0.1", 0))) as server:
        yield f"redis://127.0.0.1:{server.getsockname()[1]}/0"


@pytest.fixture
def absent() -> str:
    """Return the URL of a broker that is not there."""
    with closing(socket.create_server(("127.0.0.1", 0))) as server:
        port = server.getsockname()[1]
    return f"redis://127.0.0.1:{port}/0"


class Broker:
    """A real broker on a Unix socket, which can be killed and started again."""

    def __init__(self, folder: Path) -> None:
        self.socket = folder / "s"
        self.url = f"redis+socket://{self.socket}"
        self._command = redis_command(folder / "data", self.socket)
        self.start()

    def start(self) -> None:
        self._process = subprocess.Popen(self._command, stdout=subprocess.DEVNULL)
        deadline = time.monotonic() + 20
        with redis.Redis(unix_socket_path=str(self.socket)) as client:
            while time.monotonic() < deadline:
                with suppress(redis.ConnectionError):
                    client.ping()
                    return
                time.sleep(0.05)
        raise AssertionError("the broker does not start")

    def stop(self) -> None:
        self._process.kill()
        self._process.wait()

    def messages(self, lane: str) -> list[tuple[str, list[int]]]:
        """Return the task and the arguments of each message that waits, the oldest first."""
        with redis.Redis(unix_socket_path=str(self.socket)) as client:
            raw = [json.loads(text) for text in client.lrange(lane, 0, -1)[::-1]]
        bodies = [json.loads(base64.b64decode(message["body"])) for message in raw]
        return [
            (message["headers"]["task"], body[0]) for message, body in zip(raw, bodies, strict=True)
        ]


@pytest.fixture
def broker() -> Iterator[Broker]:
    """Yield a broker in a folder whose path is short enough for a socket."""
    with tempfile.TemporaryDirectory() as folder:
        broker = Broker(Path(folder))
        yield broker
        broker.stop()


def test_the_memory_queue_remembers_what_was_rung_in_order() -> None:
    queue = MemoryQueue()
    queue.ring(CLASSIFY, 1, Lane.BATCH)
    queue.ring(REPORT, 2, Lane.REPORTS)
    assert queue.rung == [(CLASSIFY, 1, Lane.BATCH), (REPORT, 2, Lane.REPORTS)]


def test_the_memory_queue_can_be_out_of_order_too() -> None:
    queue = MemoryQueue(broken=True)
    with pytest.raises(QueueUnavailable):
        queue.ring(CLASSIFY, 1, Lane.BATCH)
    with pytest.raises(QueueUnavailable):
        queue.check()
    assert queue.rung == []


def test_a_broker_that_does_not_answer_is_given_up_within_seconds(frozen: str, absent: str) -> None:
    """All at once, since each takes its time."""

    def seconds(ask: Callable[[], None]) -> float:
        began = time.monotonic()
        with pytest.raises(QueueUnavailable, match="The work is kept"):
            ask()
        return time.monotonic() - began

    queues = CeleryQueue(frozen), CeleryQueue(absent)
    asked = [queue.check for queue in queues]
    asked += [partial(queue.ring, CLASSIFY, 1, Lane.BATCH) for queue in queues]
    with ThreadPoolExecutor(len(asked)) as pool:
        assert max(pool.map(seconds, asked)) < 20


def test_a_message_is_one_id_on_its_lane_and_the_bell_outlives_its_broker(broker: Broker) -> None:
    queue = CeleryQueue(broker.url)
    queue.ring(CLASSIFY, 7, Lane.BATCH)
    queue.ring(CLASSIFY, 8, Lane.INTERACTIVE)
    assert broker.messages("batch") == [(CLASSIFY, [7])]
    assert broker.messages("interactive") == [(CLASSIFY, [8])]
    broker.stop()
    with pytest.raises(QueueUnavailable):
        queue.ring(CLASSIFY, 9, Lane.BATCH)
    with pytest.raises(QueueUnavailable):
        queue.check()
    broker.start()
    queue.check()
    queue.ring(CLASSIFY, 9, Lane.BATCH)
    assert (CLASSIFY, [9]) in broker.messages("batch")


def test_a_broker_that_is_full_does_not_pass_for_one_that_works(broker: Broker) -> None:
    queue = CeleryQueue(broker.url)
    with redis.Redis(unix_socket_path=str(broker.socket)) as client:
        client.config_set("maxmemory", 1)
        with pytest.raises(QueueUnavailable):
            queue.ring(CLASSIFY, 1, Lane.BATCH)
        with pytest.raises(QueueUnavailable):
            queue.check()
        client.config_set("maxmemory", 0)
    queue.check()
    queue.ring(CLASSIFY, 1, Lane.BATCH)
    assert broker.messages("batch") == [(CLASSIFY, [1])]


def test_who_rings_after_a_bell_that_did_not_ring_does_not_wait_for_it(frozen: str) -> None:
    queue = CeleryQueue(frozen)
    with pytest.raises(QueueUnavailable):
        queue.ring(CLASSIFY, 1, Lane.BATCH)
    began = time.monotonic()
    for _ in range(50):
        with pytest.raises(QueueUnavailable):
            queue.ring(CLASSIFY, 1, Lane.BATCH)
    assert time.monotonic() - began < 5
