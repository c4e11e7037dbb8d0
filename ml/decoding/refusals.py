"""The refusals of all decoders here: why a file can't be used as an image."""

from __future__ import annotations

import struct
import zlib

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


def empty() -> UnreadableImage:
    """Refuse a file without any bytes."""
    return UnreadableImage("empty", "The file is empty.")


def too_many_pixels(most: int) -> UnreadableImage:
    """Refuse an image with more pixels than this."""
    limit = f"{most / 1_000_000:g} million pixels"
    message = f"The image has more than {limit}. Send single-cell crops."
    return UnreadableImage("too_many_pixels", message)


def require_pixels(pixels: int, *most: int) -> None:
    """Refuse an image with more pixels than the least of the limits.

    Raises:
        UnreadableImage: too_many_pixels.
    """
    if pixels > min(most):
        raise too_many_pixels(min(most))


def several_pictures() -> UnreadableImage:
    """Refuse an animation, a stack or a multi-page file."""
    message = "The file holds several pictures. Send each one as a separate file."
    return UnreadableImage("animated", message)


def unsupported(what: str) -> UnreadableImage:
    """Refuse an intact file stored in a way whose colours are not certain."""
    return UnreadableImage("unsupported", f"{what} can't be read. Save it as an 8-bit RGB PNG.")


def truncated() -> UnreadableImage:
    """Refuse a file that ends too early."""
    message = "The file ends before the image does. Copy or export it again."
    return UnreadableImage("truncated", message)


def damaged() -> UnreadableImage:
    """Refuse a file whose data the decoder can't make sense of."""
    return UnreadableImage("damaged", "The image data are damaged. Export the file again.")


def broken(error: Exception) -> UnreadableImage:
    """Return the refusal that fits an exception, one of `FAULTS`."""
    if isinstance(error, NotImplementedError) or "unsupported" in str(error).lower():
        return unsupported("This kind of image file")
    return truncated() if "truncated" in str(error).lower() else damaged()
