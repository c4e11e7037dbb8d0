"""The raw body of a request, read piece by piece, which must come whole.

What is left of a body that is refused is read and thrown away by the server: see
`web.serving.bridge`.
"""

from __future__ import annotations

from typing import BinaryIO, cast

from flask import request
from werkzeug.exceptions import ClientDisconnected

from core.errors import BadInput

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
        except ClientDisconnected as error:
            raise BadInput(_BROKE_OFF) from error
        if self._left is not None:
            self._left -= len(chunk)
            if not chunk and self._left > 0:
                raise BadInput(_BROKE_OFF)
        return chunk
