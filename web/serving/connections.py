"""Connections to the web server: how many there may be, and how long each may take.

uvicorn parses and frames HTTP. The limits that it does not set are here: on headers that never
end, on answers that nobody takes, and on the number of connections.
"""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from typing import Any, cast

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from web.serving.arriving import Patience

_MOST_HEAD = 32 * 1024
# How much is read at once; what was read but not asked for yet stays in memory.
_READ = 64 * 1024
# How many requests may wait behind another on one connection. Browsers send none ahead.
_MOST_AHEAD = 8
_BUSY = (503, "Too many connections. Try again in a moment.")
_SLOW = (408, "The request took too long to arrive. Send it again.")
_LONG = (431, "The address or the headers of the request are too long.")


class OpenConnections:
    """The connections of one process, at most ``most``, and ``most_each`` from one address.

    When there is no room, a new connection is let in and an old one is closed: the one that has
    gone longest without a request being worked on. Idle connections go first, then those that are
    still sending something no thread waits for, then those that do not take their answer.
    """

    def __init__(self, most: int, most_each: int, patience: Patience) -> None:
        self.patience = patience
        self._most, self._most_each = most, most_each
        self._inside: set[Connection] = set()
        self._by_address: Counter[str] = Counter()

    def enter(self, newcomer: Connection) -> bool:
        """Let a connection in; return False if there is no room and no other can be closed."""
        address = newcomer.address
        if self._by_address[address] >= self._most_each and not self._make_room(address):
            return False
        if len(self._inside) >= self._most and not self._make_room(None):
            return False
        self._inside.add(newcomer)
        self._by_address[address] += 1
        return True

    def leave(self, connection: Connection) -> None:
        """Note that a connection has ended; one that was never let in is ignored."""
        if connection in self._inside:
            self._inside.remove(connection)
            self._by_address[connection.address] -= 1
            if not self._by_address[connection.address]:
                del self._by_address[connection.address]

    def _make_room(self, address: str | None) -> bool:
        expendable = [
            (rank, connection.since, id(connection), connection)
            for connection in self._inside
            if address in (None, connection.address) and (rank := connection.rank) is not None
        ]
        if not expendable:
            return False
        *_, longest = min(expendable)
        self.leave(longest)
        longest.transport.abort()
        return True


class Connection(HttpToolsProtocol):
    """One connection with its deadlines.

    ``since`` is when it last became idle or began a request, by the monotonic clock.
    """

    def __init__(self, open_connections: OpenConnections, **options: Any) -> None:
        super().__init__(**options)
        self._open_connections = open_connections
        self._in_head = True
        self._head_bytes = 0
        self._deadline: asyncio.TimerHandle | None = None
        self._taking: asyncio.TimerHandle | None = None
        self.since = time.monotonic()
        self.address = ""

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Begin if there is room, and set the time limit for the first request's headers."""
        transport.max_size = _READ  # type: ignore[attr-defined]
        super().connection_made(transport)
        self.address = self.client[0] if self.client else ""
        self._give(self._open_connections.patience.head)
        if not self._open_connections.enter(self):
            self._refuse(*_BUSY)

    def connection_lost(self, exc: Exception | None) -> None:
        """Note that the connection has ended, and stop its timers."""
        self._open_connections.leave(self)
        for timer in (self._deadline, self._taking):
            if timer:
                timer.cancel()
        super().connection_lost(exc)

    @property
    def rank(self) -> int | None:
        """How soon it may be closed, the lowest rank first; None while a thread works for it."""
        if self.cycle is None or self.cycle.response_complete:
            return 0
        if cast(dict[str, Any], self.cycle.scope)["state"].get("spare"):
            return 1
        return 2 if self.flow.write_paused else None

    def data_received(self, data: bytes) -> None:
        """Parse what has arrived; refuse the request if its headers are too long."""
        if self._in_head:
            self._head_bytes += len(data)
        super().data_received(data)
        if self._in_head and self._head_bytes > _MOST_HEAD and not self.transport.is_closing():
            self._refuse(*_LONG)

    def on_message_begin(self) -> None:
        """Begin a request, and set the time limit for its headers."""
        super().on_message_begin()
        self._in_head = True
        self.since = time.monotonic()
        self._give(self._open_connections.patience.head)

    def on_headers_complete(self) -> None:
        """Hand the request on to the bridge, which has its own time limits."""
        self._in_head, self._head_bytes = False, 0
        self._give(None)
        if len(self.pipeline) >= _MOST_AHEAD:
            # uvicorn answers what a callback raises by 400, and parses no further.
            raise ValueError("Too many requests were sent ahead.")
        super().on_headers_complete()
        # The rest of the body is read when it is asked for.
        self.flow.pause_reading()

    def on_response_complete(self) -> None:
        """Wait for the next request; close the connection if this one's body never ended."""
        unended = not self.pipeline and self.cycle.more_body
        super().on_response_complete()
        self.since = time.monotonic()
        if self.transport.get_write_buffer_size():
            self._expect_taking()
        if unended:
            self.transport.close()

    def pause_writing(self) -> None:
        """Begin to wait: there is more to write than the client takes."""
        super().pause_writing()
        self._expect_taking()

    def resume_writing(self) -> None:
        """Stop waiting: the client has taken enough of the answer."""
        super().resume_writing()
        if self._taking:
            self._taking.cancel()
            self._taking = None

    def _give(self, seconds: float | None) -> None:
        """Set the time limit for the headers; None for no limit."""
        if self._deadline:
            self._deadline.cancel()
        self._deadline = self.loop.call_later(seconds, self._too_slow) if seconds else None

    def _too_slow(self) -> None:
        self._refuse(*_SLOW)

    def _expect_taking(self) -> None:
        if self._taking is None:
            patience = self._open_connections.patience
            self._taking = self.loop.call_later(patience.answer, self._not_taken)

    def _not_taken(self) -> None:
        self._taking = None
        if self.transport.get_write_buffer_size():
            self.transport.abort()

    def _refuse(self, status: int, sentence: str) -> None:
        head = f"HTTP/1.1 {status} Refused\r\nContent-Type: text/plain; charset=utf-8\r\n"
        head += f"Content-Length: {len(sentence)}\r\nConnection: close\r\n\r\n"
        self.transport.write(f"{head}{sentence}".encode())
        self.transport.close()
