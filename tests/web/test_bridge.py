"""The bridge between the event loop and the threads, with a small application behind it."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Iterable, Iterator
from typing import Any

from web.serving.arriving import AsgiMessage, Patience
from web.serving.bridge import GATHERED, Bridge, Wsgi

PIECE = 100_000


class Connection:
    """What a server would pass to the bridge: bodies come when told, answers are kept."""

    def __init__(self, *pieces: bytes, **headers: str) -> None:
        self._coming = [*pieces]
        self._headers = [(b"host", b"x"), *((k.encode(), v.encode()) for k, v in headers.items())]
        self.sent: list[AsgiMessage] = []
        self.gone = asyncio.Event()
        self.when_sent: Callable[[], None] = lambda: None

    @property
    def scope(self) -> AsgiMessage:
        return {
            "type": "http",
            "method": "PUT",
            "raw_path": b"/",
            "query_string": b"",
            "http_version": "1.1",
            "scheme": "http",
            "server": None,
            "client": None,
            "headers": self._headers,
            "state": {},
        }

    async def receive(self) -> AsgiMessage:
        if not self._coming:
            await self.gone.wait()
            return {"type": "http.disconnect"}
        piece = self._coming.pop(0)
        return {"type": "http.request", "body": piece, "more_body": bool(self._coming)}

    async def send(self, message: AsgiMessage) -> None:
        self.sent.append(message)
        self.when_sent()

    @property
    def body(self) -> bytes:
        return b"".join(message.get("body", b"") for message in self.sent)


def serve(
    app: Wsgi, make: Callable[[], Connection], patience: Patience | None = None
) -> Connection:
    """Have the bridge serve one request."""

    async def run() -> Connection:
        connection = make()
        bridge = Bridge(app, 1, 1, patience or Patience())
        await bridge(connection.scope, connection.receive, connection.send)
        return connection

    return asyncio.run(run())


def echo(environ: dict[str, Any], start: Callable[..., Any]) -> Iterable[bytes]:
    """Answer with the name of the thread and what came."""
    name = threading.current_thread().name.split("_")[0]
    try:
        read = environ["wsgi.input"].read()
    except TimeoutError as error:
        read = type(error).__name__.encode()
    start("200 OK", [("X-Thread", name)])
    return [read]


def test_a_small_body_is_gathered_and_a_large_one_streamed() -> None:
    small = serve(echo, lambda: Connection(b"a" * 10, b"b" * 10, **{"content-length": "20"}))
    assert small.body == b"a" * 10 + b"b" * 10
    assert small.sent[0]["headers"] == [(b"x-thread", b"quick")]
    pieces = [bytes([65 + n]) * GATHERED for n in range(5)]
    length = {"content-length": str(5 * GATHERED)}
    large = serve(echo, lambda: Connection(*pieces, **length))
    assert large.body == b"".join(pieces)
    assert large.sent[0]["headers"] == [(b"x-thread", b"patient")]
    chunked = serve(echo, lambda: Connection(*pieces, **{"transfer-encoding": "chunked"}))
    assert chunked.body == b"".join(pieces)


def test_a_body_that_ends_too_early_is_never_taken_for_whole() -> None:
    class Cut(Connection):
        async def receive(self) -> AsgiMessage:
            message = await super().receive()
            return {**message, "more_body": True}

    def cut() -> Connection:
        connection = Cut(b"a" * GATHERED, **{"content-length": "99999"})
        connection.gone.set()
        return connection

    assert serve(echo, cut).body == b"BrokeOff"


def test_a_sender_below_the_least_rate_is_given_up() -> None:
    class Stalled(Connection):
        async def receive(self) -> AsgiMessage:
            await asyncio.sleep(0.2)
            return {"type": "http.request", "body": b"a", "more_body": True}

    patience = Patience(body=1, rest=0.1)
    stalled = serve(echo, lambda: Stalled(**{"content-length": "99999"}), patience)
    assert stalled.body == b"BrokeOff"


class Long:
    """An application with a long answer, which notes when it is closed."""

    def __init__(self) -> None:
        self.made = 0
        self.closed = False

    def __call__(self, environ: dict[str, Any], start: Callable[..., Any]) -> Iterable[bytes]:
        start("200 OK", [])
        return self._pieces()

    def _pieces(self) -> Iterator[bytes]:
        try:
            for number in range(20):
                self.made += 1
                yield bytes([number]) * PIECE
        finally:
            self.closed = True


def test_a_long_answer_comes_whole_and_in_order() -> None:
    app = Long()
    answered = serve(app, lambda: Connection(b""))
    assert answered.body == b"".join(bytes([number]) * PIECE for number in range(20))
    assert len(answered.sent) > 5 and not answered.sent[-1]["more_body"]
    assert app.closed


def test_an_answer_that_nobody_waits_for_any_more_is_not_made() -> None:
    def make() -> Connection:
        connection = Connection(b"")
        connection.when_sent = connection.gone.set
        return connection

    app = Long()
    serve(app, make)
    assert app.made < 20
    assert app.closed


def test_an_answer_to_an_unread_body_is_out_before_its_sender_is_heard_out() -> None:
    def refuse(environ: dict[str, Any], start: Callable[..., Any]) -> Iterable[bytes]:
        start("401 Unauthorized", [])
        return [b"no"]

    answered = serve(refuse, lambda: Connection(*[b"x"] * 9, **{"content-length": "99999"}))
    assert [message.get("more_body") for message in answered.sent] == [None, True, False]
    assert answered.sent[1]["body"] == b"no"
