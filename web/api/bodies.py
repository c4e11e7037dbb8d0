"""The raw body of a request, read piece by piece; it must arrive whole.

If a body is refused part way, `web.serving.bridge` reads the rest and throws it away, so that the
sender still gets its answer.
"""

from __future__ import annotations

from typing import BinaryIO, cast

from flask import request
from werkzeug.exceptions import ClientDisconnected

from core.errors import BadInput

_BROKE_OFF = "The connection was lost while the file was being sent. Send it again."


def raw_body() -> BinaryIO:
    """Return the request's body as a stream; its `read` raises `BadInput` if bytes are missing."""
    return cast(BinaryIO, _Body(cast(BinaryIO, request.stream), request.content_length))


class _Body:
    """The request's bytes, which must all arrive.

    The web server ends the stream in the same way for a whole body and for a lost connection. Half
    a file would then be refused as damaged, for good, instead of being requested again.
    """

    def __init__(self, stream: BinaryIO, length: int | None) -> None:
        self._stream = stream
        self._left = length

    def read(self, size: int) -> bytes:
        """Return the next bytes, none at the end. Raises `BadInput` if the end comes too early."""
        try:
            chunk = self._stream.read(size)
        except ClientDisconnected as error:
            raise BadInput(_BROKE_OFF) from error
        if self._left is not None:
            self._left -= len(chunk)
            if not chunk and self._left > 0:
                raise BadInput(_BROKE_OFF)
        return chunk
