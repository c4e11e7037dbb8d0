"""Connections that take their time, of every kind, each held open until told to stop."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass

_TRICKLE_SECONDS = 1.0
_FORM = "Content-Type: application/x-www-form-urlencoded\r\n"
_RAW = "Content-Type: application/octet-stream\r\n"


@dataclass(frozen=True, slots=True)
class Slow:
    """One kind: what it sends at once, what it sends every second, whether it reads."""

    name: str
    begin: Callable[[int], str]
    trickle: bytes = b"a"
    reads: bool = True


def kinds(token: str, job: int, images: list[int]) -> list[Slow]:
    """Return all kinds; ``token`` is a person's, ``job`` receives, ``images`` it awaits."""
    signed = f"Authorization: Bearer {token}\r\n"
    here = "Host: localhost\r\n"
    page = f"GET /static/app.css HTTP/1.1\r\n{here}\r\n"
    style = f"GET /bootstrap/static/css/bootstrap.min.css HTTP/1.1\r\n{here}\r\n"
    sign_in = f"POST /sign-in HTTP/1.1\r\n{here}{_FORM}"
    chunks = f"{sign_in}Transfer-Encoding: chunked\r\n\r\n"
    form = f"POST /api/v1/jobs HTTP/1.1\r\n{here}{signed}{_FORM}Content-Length: 60000\r\n\r\n"

    def upload(number: int) -> str:
        what = "archive" if number % 2 else f"images/{images[number % len(images)]}"
        fields = f"{here}{signed}{_RAW}Content-Length: 9000000\r\n\r\n"
        return f"PUT /api/v1/jobs/{job}/{what} HTTP/1.1\r\n{fields}"

    return [
        Slow("strangers' long forms", lambda _: f"{sign_in}Content-Length: 200000\r\n\r\n"),
        Slow("strangers' short forms", lambda _: f"{sign_in}Content-Length: 5000\r\n\r\n"),
        Slow("strangers' chunks", lambda _: chunks, b"1\r\na\r\n"),
        Slow("slow headers", lambda _: f"GET /sign-in HTTP/1.1\r\n{here}X: "),
        Slow("silent connections", lambda _: "", b""),
        Slow("kept alive and silent", lambda _: page, b""),
        Slow("slow readers", lambda _: style * 8, b"", reads=False),
        Slow("people's forms", lambda _: form),
        Slow("stalled uploads", upload),
    ]


@asynccontextmanager
async def held(kind: Slow, count: int, port: int) -> AsyncIterator[None]:
    """Hold so many connections of a kind open while the body runs; lost ones are opened anew."""
    holding = [asyncio.create_task(_hold(kind, number, port)) for number in range(count)]
    try:
        await asyncio.sleep(_TRICKLE_SECONDS)
        yield
    finally:
        for task in holding:
            task.cancel()
        await asyncio.gather(*holding, return_exceptions=True)


async def _hold(kind: Slow, number: int, port: int) -> None:
    while True:
        with suppress(OSError):
            await _hold_one(kind, number, port)
        await asyncio.sleep(_TRICKLE_SECONDS)


async def _hold_one(kind: Slow, number: int, port: int) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", port, limit=2**16)
    try:
        writer.write(kind.begin(number).encode())
        while not writer.is_closing() and not reader.at_eof():
            writer.write(kind.trickle)
            await writer.drain()
            if kind.reads:
                with suppress(TimeoutError):
                    await asyncio.wait_for(reader.read(2**16), _TRICKLE_SECONDS)
            else:
                writer.transport.pause_reading()  # type: ignore[attr-defined]
            await asyncio.sleep(_TRICKLE_SECONDS)
    finally:
        writer.close()
