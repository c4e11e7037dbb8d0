"""The refusals of all decoders here: why a file can't be used as an image."""

from __future__ import annotations

import struct
import zlib

from lexicon.refusals import sentence
from ml.errors import MlError

# What decoding libraries raise on damaged or unexpected files. A worker's time limit, a lost lease
# and a full memory say nothing about the image, so they are not listed. Warnings are, because they
# may be turned into errors.
FAULTS = (
    *(ArithmeticError, AssertionError, AttributeError, EOFError, LookupError, OSError),
    *(RuntimeError, SyntaxError, TypeError, ValueError, Warning, struct.error, zlib.error),
)


class UnreadableImage(MlError):
    """A file that can't be used as an image; `code` is for programs, the message for people."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code


def refused(
    code: str, *, limit: float = 0, what: str = "This kind of image file"
) -> UnreadableImage:
    """Return the refusal with this code of `lexicon.refusals` and its sentence."""
    return UnreadableImage(code, sentence(code, limit=limit, what=what))


def too_many_pixels(most: int) -> UnreadableImage:
    """Refuse an image with more pixels than this."""
    return refused("too_many_pixels", limit=most / 1_000_000)


def require_pixels(pixels: int, *most: int) -> None:
    """Refuse an image with more pixels than the least of the limits.

    Raises:
        UnreadableImage: too_many_pixels.
    """
    if pixels > min(most):
        raise too_many_pixels(min(most))


def broken(error: Exception) -> UnreadableImage:
    """Return the refusal that fits an exception, one of `FAULTS`."""
    if isinstance(error, NotImplementedError) or "unsupported" in str(error).lower():
        return refused("unsupported")
    return refused("truncated" if "truncated" in str(error).lower() else "damaged")
