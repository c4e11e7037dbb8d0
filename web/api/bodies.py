"""The raw body of a request: read piece by piece, and read to its end also when it is refused."""

from __future__ import annotations

import time
from collections.abc import Iterable
from typing import TYPE_CHECKING, BinaryIO, cast

from flask import Flask, request
from werkzeug.exceptions import ClientDisconnected

from core.errors import BadInput

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIApplication, WSGIEnvironment

_CHUNK = 64 * 1024
# What is read of a body nobody asked for any more, in bytes and seconds: of a person's much, since
# most programs hear no answer before they have sent all; of a stranger's little.
_MOST_READ, _MOST_SECONDS = 2**30, 60.0
_MOST_OF_STRANGERS, _SECONDS_OF_STRANGERS = 2 * 2**20, 5.0
_STRANGERS = ("302", "401", "403", "429")
_BROKE_OFF = "The connection broke off within the file. Send it again."


def raw_body() -> BinaryIO:
    """Return the request's bytes as a stream with `read`, which raises `BadInput` if some miss."""
    return cast(BinaryIO, _Body(cast(BinaryIO, request.stream), request.content_length))


class _Body:
    """The request's bytes, which must all come.

    The web server ends the stream alike for a whole body and for a sender that broke off; half a
    file would then be refused as damaged, for good, instead of being asked for again.
    """

    def __init__(self, stream: BinaryIO, length: int | None) -> None:
        self._stream = stream
        self._left = length

    def read(self, size: int) -> bytes:
        """Return the next bytes, none at the end. Raises `BadInput` if it came too early."""
        try:
            chunk = self._stream.read(size)
        except (BlockingIOError, TimeoutError, ClientDisconnected) as error:
            raise BadInput(_BROKE_OFF) from error
        if self._left is not None:
            self._left -= len(chunk)
            if not chunk and self._left > 0:
                raise BadInput(_BROKE_OFF)
        return chunk


def connect(app: Flask) -> None:
    """Have every request's body read to its end before it is answered."""
    app.wsgi_app = _ReadToTheEnd(app.wsgi_app)  # type: ignore[method-assign]


class _ReadToTheEnd:
    """What is left of a body stands where the connection's next request is looked for.

    So it is read, within reason; beyond that the answer says that the connection ends here.
    """

    def __init__(self, app: WSGIApplication) -> None:
        self._app = app

    def __call__(self, environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        body = _Input(environ)
        environ["wsgi.input"] = body

        def start(status: str, headers: list[tuple[str, str]], *error: object) -> object:
            limits = _MOST_READ, _MOST_SECONDS
            if status.startswith(_STRANGERS):
                limits = _MOST_OF_STRANGERS, _SECONDS_OF_STRANGERS
            if not body.read_to_the_end(*limits):
                headers = [*headers, ("Connection", "close")]
            return start_response(status, headers, *error)  # type: ignore[arg-type]

        return self._app(environ, cast("StartResponse", start))


class _Input:
    """A request's bytes as the web server hands them over, and how many are still to come."""

    def __init__(self, environ: WSGIEnvironment) -> None:
        self._stream = environ["wsgi.input"]
        length = str(environ.get("CONTENT_LENGTH") or "")
        unknown = None if environ.get("wsgi.input_terminated") else 0
        self._left = int(length) if length.isdecimal() and len(length) < 20 else unknown

    def read(self, size: int = -1) -> bytes:
        """Return the next bytes, as many as are asked for if they come."""
        return self._count(self._stream.read(size), size)

    def readline(self, size: int = -1) -> bytes:
        """Return the bytes up to the next line's end."""
        return self._count(self._stream.readline(size), size)

    def _count(self, data: bytes, size: int) -> bytes:
        if self._left is not None:
            self._left -= len(data)
        elif not data and size:
            self._left = 0
        return data

    def read_to_the_end(self, most: int, seconds: float) -> bool:
        """Read what is left, within limits; say whether nothing more comes."""
        deadline = time.monotonic() + seconds
        while self._left != 0:
            if most <= 0 or (self._left or 0) > most or time.monotonic() > deadline:
                return False
            try:
                chunk = self.read(_CHUNK)
            except Exception:
                # However a web server says that the sender is gone or silent: it hears no more.
                return False
            if not chunk:
                return self._left == 0
            most -= len(chunk)
        return True
