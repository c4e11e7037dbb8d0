"""A browser as cheap as can be: six connections at most, and only what a page's script does.

It shares the machine with what is measured, so it parses no HTML and runs no script.
"""

from __future__ import annotations

import asyncio
import statistics
import time
from collections import defaultdict
from contextlib import suppress
from dataclasses import dataclass, field

_PATIENCE = 60.0
_CONNECTIONS = 6

Streams = tuple[asyncio.StreamReader, asyncio.StreamWriter]


@dataclass(frozen=True, slots=True)
class Answer:
    """What came back: a status, headers by lower-case name, and the body."""

    status: int
    headers: dict[str, str]
    body: bytes


@dataclass
class Times:
    """Seconds of each request by kind, from when it was due to its last byte; and failures."""

    seconds: dict[str, list[float]] = field(default_factory=lambda: defaultdict(list))
    failed: dict[str, int] = field(default_factory=lambda: defaultdict(int))

    def lines(self, over: float) -> list[str]:
        """Return a line of each kind: requests, rate, p50, p95, longest in ms, errors."""
        lines = [
            f"{'request':<28}{'number':>8}{'/s':>8}{'p50':>8}{'p95':>8}{'max':>8}{'errors':>8}"
        ]
        for kind in sorted(self.seconds | self.failed):
            times = [1000 * seconds for seconds in self.seconds[kind]] or [0.0]
            p95 = statistics.quantiles(times, n=20)[-1] if len(times) > 1 else times[0]
            columns = f"{statistics.median(times):>8.0f}{p95:>8.0f}{max(times):>8.0f}"
            count = len(self.seconds[kind])
            lines.append(f"{kind:<28}{count:>8}{count / over:>8.1f}{columns}{self.failed[kind]:>8}")
        return lines


class Browser:
    """The browser of somebody whom the cookie signs in; what it asks is timed under a kind."""

    def __init__(self, port: int, cookie: str, times: Times) -> None:
        self._port = port
        self._cookie = cookie
        self._times = times
        self._idle: list[Streams] = []
        self._room = asyncio.Semaphore(_CONNECTIONS)

    async def get(self, kind: str, path: str, due: float, **headers: str) -> Answer | None:
        """Ask for a page that was ``due`` at a monotonic time; None, and counted, if that fails."""
        try:
            async with self._room, asyncio.timeout(_PATIENCE):
                answer = await self._exchange(path, headers)
        except (OSError, asyncio.IncompleteReadError):
            answer = None
        if answer is None or answer.status >= 400:
            self._times.failed[kind] += 1
            return None
        self._times.seconds[kind].append(time.monotonic() - due)
        return answer

    async def _exchange(self, path: str, headers: dict[str, str]) -> Answer:
        fields = {"Host": "localhost", "Cookie": self._cookie} | headers
        lines = [f"{name.replace('_', '-')}: {value}" for name, value in fields.items()]
        head = "\r\n".join([f"GET {path} HTTP/1.1", *lines, "", ""]).encode()
        while self._idle:
            # One that was idle may have been closed: a browser then takes another.
            with suppress(ConnectionError, asyncio.IncompleteReadError):
                return await self._ask(self._idle.pop(), head)
        return await self._ask(await asyncio.open_connection("127.0.0.1", self._port), head)

    async def _ask(self, streams: Streams, head: bytes) -> Answer:
        reader, writer = streams
        try:
            writer.write(head)
            answer = await _answer(reader)
        except BaseException:
            writer.close()
            raise
        self._idle.append(streams)
        return answer

    def close(self) -> None:
        """Close the connections."""
        for _, writer in self._idle:
            writer.close()
        self._idle.clear()


async def _answer(reader: asyncio.StreamReader) -> Answer:
    head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")
    headers = {}
    for line in head[1:]:
        name, _, value = line.partition(":")
        headers[name.strip().lower()] = value.strip()
    status = int(head[0].split()[1])
    body = b""
    if status != 304:
        body = await reader.readexactly(int(headers.get("content-length", 0)))
    return Answer(status, headers, body)
