"""From the event loop to Flask and back: which requests get a thread, which thread, and when.

Flask runs in a few threads. A slow sender or reader must not hold one:

- A small body is collected before its request gets a thread; the thread hands over a whole answer.
- A large body goes to the patient threads: there are more of them, and they serve nothing else. The
  headers tell who sends it, so strangers are refused before a byte of it is read.
- The next piece of a long answer is made after the last one was taken; no thread waits for that.
"""

from __future__ import annotations

import asyncio
import contextvars
import sys
from collections.abc import Awaitable, Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any
from urllib.parse import unquote_to_bytes

from web.security.protection import STRANGERS_BYTES
from web.serving.arriving import AsgiMessage, Body, BrokeOff, Patience, Receive

# A body of up to this many bytes is collected first: most crops, and all forms.
GATHERED = 64 * 1024
_PIECE = 256 * 1024
_MOST_HEADERS = 100
# How many large bodies may wait for each patient thread; what has arrived of them is in memory.
_WAITING_EACH = 3
# Long answers at once. Some hold a connection to the database, of which a process has fifteen.
_LONG_ANSWERS = 8
_TOO_SLOW = b"The request took too long to arrive. Check your connection, then send it again.\n"
_MALFORMED = b"The request could not be understood.\n"
_FULL = b"The server is receiving as many uploads as it can. Try again in a moment.\n"

Scope = AsgiMessage
Send = Callable[[AsgiMessage], Awaitable[None]]
Wsgi = Callable[[dict[str, Any], Callable[..., Any]], Iterable[bytes]]


class Malformed(ValueError):
    """Headers that no well-meaning client sends."""


class Bridge:
    """An ASGI application that runs a WSGI application in threads."""

    def __init__(self, app: Wsgi, quick: int, patient: int, patience: Patience) -> None:
        self._app = app
        self._quick = ThreadPoolExecutor(quick, "quick")
        self._patient = ThreadPoolExecutor(patient, "patient")
        self._most_waiting = _WAITING_EACH * patient
        self._waiting = 0
        self._long_answers = asyncio.Semaphore(_LONG_ANSWERS)
        self._patience = patience

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""
        body = Body(receive, self._patience)
        try:
            environ = environ_of(scope, body)
            small = await self._gather(scope, environ, body)
        except Malformed:
            await _refuse(send, 400, _MALFORMED)
            return
        except BrokeOff:
            # If the connection has ended, nothing is sent.
            await _refuse(send, 408, _TOO_SLOW)
            return
        if not small and self._waiting >= self._most_waiting:
            await _refuse(send, 503, _FULL)
            return
        answer = _Answer(self._app, environ, self._quick if small else self._patient)
        try:
            if not small:
                self._wait_for_thread(scope, answer)
            await answer.do(answer.begin)
            await self._send(scope, answer, body, receive, send)
        finally:
            if not answer.complete:
                await answer.do(answer.close)

    async def _gather(self, scope: Scope, environ: dict[str, Any], body: Body) -> bool:
        """Collect a small body; say whether it was small."""
        has_credentials = "HTTP_COOKIE" in environ or "HTTP_AUTHORIZATION" in environ
        most = GATHERED if has_credentials else STRANGERS_BYTES
        if int(environ.get("CONTENT_LENGTH") or 0) > most:
            return False
        with _spare(scope):
            return await body.gather(most)

    def _wait_for_thread(self, scope: Scope, answer: _Answer) -> None:
        """Count the answer as waiting, and its connection as spare, until a thread begins it."""

        def begun() -> None:
            self._waiting -= 1
            scope["state"]["spare"] = False

        loop = asyncio.get_running_loop()
        self._waiting += 1
        scope["state"]["spare"] = True
        answer.when_begun = lambda: loop.call_soon_threadsafe(begun)

    async def _send(
        self, scope: Scope, answer: _Answer, body: Body, receive: Receive, send: Send
    ) -> None:
        headers = answer.headers
        if not body.whole and not body.begun and answer.environ.get("HTTP_EXPECT"):
            # The client waits to be asked for the body, and we don't ask: this connection must end.
            headers = [*headers, (b"connection", b"close")]
            body.broken = True
        await send({"type": "http.response.start", "status": answer.status, "headers": headers})
        if not answer.complete:
            with _spare(scope):
                await body.discard()
            async with self._long_answers:
                await self._send_long(answer, receive, send)
        arrived = body.whole or body.broken
        await send({"type": "http.response.body", "body": answer.piece, "more_body": not arrived})
        if not arrived:
            # The answer is sent, but its end is held back while the sender is still sending.
            with _spare(scope):
                await body.discard()
            await send({"type": "http.response.body", "body": b"", "more_body": False})

    async def _send_long(self, answer: _Answer, receive: Receive, send: Send) -> None:
        """Send all but the last piece, each once the one before was taken; stop if nobody takes."""
        disconnected = asyncio.ensure_future(_end_of(receive))
        try:
            while not answer.complete and not disconnected.done():
                await send({"type": "http.response.body", "body": answer.piece, "more_body": True})
                await answer.do(answer.go_on)
        finally:
            disconnected.cancel()


class _Answer:
    """The application's answer, made piece by piece in threads of a pool, in one context.

    ``complete`` means that ``piece`` is the last one; ``when_begun`` is called first in the thread.
    """

    def __init__(self, app: Wsgi, environ: dict[str, Any], pool: ThreadPoolExecutor) -> None:
        self._app = app
        self._pool = pool
        self.environ = environ
        # Empty, not a copy: a thread that asks for more of a body takes its context to the event
        # loop, and later calls for this connection inherit it. A copy would still hold the person
        # who made the previous request, and answer the next request in that person's name.
        self._context = contextvars.Context()
        self.status = 500
        self.headers: list[tuple[bytes, bytes]] = []
        self.piece = b""
        self.complete = False
        self.when_begun: Callable[[], object] = lambda: None
        self._iterable: Iterable[bytes] = ()

    async def do(self, step: Callable[[], None]) -> None:
        """Run a step in a thread and wait for it."""
        await asyncio.get_running_loop().run_in_executor(self._pool, self._context.run, step)

    def begin(self) -> None:
        """Call the application and take the first piece of its answer."""
        self.when_begun()
        self._iterable = self._app(self.environ, self._start)
        self._pieces = iter(self._iterable)
        self.go_on()

    def _start(self, status: str, headers: list[tuple[str, str]], _: object = None) -> None:
        self.status = int(status.split(" ", 1)[0])
        self.headers = [
            (name.lower().encode("latin-1"), value.encode("latin-1")) for name, value in headers
        ]

    def go_on(self) -> None:
        """Take the next piece."""
        pieces, size = [], 0
        for piece in self._pieces:
            pieces.append(piece)
            size += len(piece)
            if size >= _PIECE:
                break
        else:
            self.close()
        self.piece = b"".join(pieces)

    def close(self) -> None:
        """End the application's work on this request."""
        self.complete = True
        if close := getattr(self._iterable, "close", None):
            close()


@contextmanager
def _spare(scope: Scope) -> Iterator[None]:
    """Let `connections` close this connection to make room: no thread is working for it."""
    scope["state"]["spare"] = True
    try:
        yield
    finally:
        scope["state"]["spare"] = False


async def _end_of(receive: Receive) -> None:
    """Wait until the connection ends."""
    while (await receive())["type"] != "http.disconnect":
        pass


async def _refuse(send: Send, status: int, sentence: bytes) -> None:
    headers = [
        (b"content-type", b"text/plain; charset=utf-8"),
        (b"content-length", str(len(sentence)).encode()),
        (b"connection", b"close"),
        (b"retry-after", b"5"),
    ]
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": sentence, "more_body": False})


def environ_of(scope: Scope, body: Body) -> dict[str, Any]:
    """Return WSGI's view of a request. Raises `Malformed`.

    Header names with an underscore are left out: in WSGI they look like names with a hyphen.
    """
    server, client = scope["server"] or ("", 0), scope["client"] or ("", 0)
    environ: dict[str, Any] = {
        "REQUEST_METHOD": scope["method"],
        "SCRIPT_NAME": "",
        "PATH_INFO": unquote_to_bytes(scope["raw_path"]).decode("latin-1"),
        "QUERY_STRING": scope["query_string"].decode("latin-1"),
        "SERVER_PROTOCOL": f"HTTP/{scope['http_version']}",
        "SERVER_NAME": server[0],
        "SERVER_PORT": str(server[1]),
        "REMOTE_ADDR": client[0],
        "REMOTE_PORT": str(client[1]),
        "wsgi.version": (1, 0),
        "wsgi.url_scheme": scope["scheme"],
        "wsgi.input": body,
        "wsgi.input_terminated": True,
        "wsgi.errors": sys.stderr,
        "wsgi.multithread": True,
        "wsgi.multiprocess": True,
        "wsgi.run_once": False,
    }
    names = [name for name, _ in scope["headers"]]
    hosts = names.count(b"host")
    if len(names) > _MOST_HEADERS or hosts > 1 or (not hosts and scope["http_version"] == "1.1"):
        raise Malformed
    for name, value in scope["headers"]:
        if b"_" not in name:
            _add_header(environ, name.decode("latin-1"), value.decode("latin-1"))
    return environ


def _add_header(environ: dict[str, Any], name: str, value: str) -> None:
    key = name.upper().replace("-", "_")
    if key not in ("CONTENT_TYPE", "CONTENT_LENGTH"):
        key = f"HTTP_{key}"
    if key in environ:
        value = f"{environ[key]}{'; ' if key == 'HTTP_COOKIE' else ','}{value}"
    environ[key] = value
