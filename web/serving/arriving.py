"""A request's body while it arrives: collected whole if it is small, otherwise read as it comes.

The event loop collects a small body, so that a slow sender holds no thread. A large body is handed
to the application as a stream; a read waits for the sender, but not for ever.
"""

from __future__ import annotations

import asyncio
import io
import time
from collections.abc import Awaitable, Callable, MutableMapping
from concurrent.futures import CancelledError
from dataclasses import dataclass
from typing import Any

AsgiMessage = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[AsgiMessage]]


@dataclass(frozen=True, slots=True)
class Patience:
    """How long the server waits for the other side of a connection, in seconds.

    ``head`` is for a request's headers; ``body`` for a small body as a whole, and for any pause
    within a large one; ``answer`` for the client to take 64 KiB of an answer; ``rest`` for what a
    sender still sends after it was answered. ``rate`` is the lowest rate at which a large body must
    arrive, in bytes per second of waiting for it.
    """

    head: float = 15
    body: float = 30
    answer: float = 30
    rest: float = 60
    rate: int = 1024


class BrokeOff(TimeoutError):
    """The body did not arrive whole: the connection ended, or its sender was too slow."""


class Body(io.RawIOBase):
    """The bytes of a request, in WSGI's terms ``wsgi.input``. Reads may give less than asked for.

    ``gather`` and ``discard`` run in the event loop; reading runs in a thread, between the two.
    """

    def __init__(self, receive: Receive, patience: Patience) -> None:
        super().__init__()
        self._receive = receive
        self._patience = patience
        self._loop = asyncio.get_running_loop()
        self._unread = memoryview(b"")
        self._received = 0
        self._waited = 0.0
        self.begun = self.whole = self.broken = False

    async def gather(self, most: int) -> bool:
        """Wait for the whole body or more than ``most`` bytes of it; say whether it is whole.

        Raises:
            BrokeOff: the connection ended, or it took too long.
        """
        pieces: list[bytes] = []
        try:
            async with asyncio.timeout(self._patience.body):
                while not self.whole and self._received <= most:
                    pieces.append(await self._next())
        except TimeoutError as error:
            self.broken = True
            raise BrokeOff("The body took too long.") from error
        self._unread = memoryview(b"".join(pieces))
        return self.whole

    async def _next(self) -> bytes:
        self.begun = True
        message = await self._receive()
        if message["type"] != "http.request":
            self.broken = True
            raise BrokeOff("The connection ended within the body.")
        piece: bytes = message.get("body", b"")
        self._received += len(piece)
        self.whole = not message.get("more_body", False)
        return piece

    async def discard(self) -> None:
        """Read on for a while and keep nothing: a sender that is cut off never sees its answer."""
        try:
            async with asyncio.timeout(self._patience.rest):
                while not self.whole and not self.broken:
                    await self._next()
        except TimeoutError:
            self.broken = True

    def readable(self) -> bool:
        """Say that the stream can be read."""
        return True

    def readinto(self, buffer: Any, /) -> int:
        """Fill the buffer with what has arrived; wait if nothing has. Raises `BrokeOff`."""
        target = memoryview(buffer).cast("B")
        while not self._unread and not self.whole:
            self._unread = memoryview(self._wait())
        count = min(len(target), len(self._unread))
        target[:count] = self._unread[:count]
        self._unread = self._unread[count:]
        return count

    def _wait(self) -> bytes:
        """Have the loop receive the next piece; only the time spent waiting for it counts."""
        if self.broken:
            raise BrokeOff("The body broke off before.")
        patience, began = self._patience, time.monotonic()
        earned = patience.body + self._received / patience.rate - self._waited
        coming = asyncio.run_coroutine_threadsafe(self._next(), self._loop)
        try:
            return coming.result(min(patience.body, max(0.0, earned)))
        except (TimeoutError, CancelledError) as error:
            coming.cancel()
            self.broken = True
            raise BrokeOff("The body came too slowly.") from error
        finally:
            self._waited += time.monotonic() - began
