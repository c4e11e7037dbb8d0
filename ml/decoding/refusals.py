"""Why a file can't be used as an image, in words: what every decoder in this room refuses with."""

from __future__ import annotations

import struct
import zlib

from ml.errors import MlError

# What decoding libraries raise on damaged or unforeseen files. A worker's time limit, a lost lease
# and a full memory say nothing about the image, and are none of these. Warnings are raised where
# they are made errors.
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
    """The file has no bytes."""
    return UnreadableImage("empty", "The file is empty.")


def too_many_pixels(most: int) -> UnreadableImage:
    """It has more pixels than are decoded."""
    message = f"The image has more than {most / 1_000_000:g} million pixels; crop or shrink it."
    return UnreadableImage("too_many_pixels", message)


def require_pixels(pixels: int, *most: int) -> None:
    """Refuse an image with more pixels than the least of the limits.

    Raises:
        UnreadableImage: too_many_pixels.
    """
    if pixels > min(most):
        raise too_many_pixels(min(most))


def several_pictures() -> UnreadableImage:
    """It is an animation, a stack or a multi-page file."""
    message = "The file holds several pictures; only files with one can be classified."
    return UnreadableImage("animated", message)


def unsupported(what: str) -> UnreadableImage:
    """It is sound, but stored in a way whose colours can't be told for certain."""
    return UnreadableImage("unsupported", f"{what} can't be read; save it as an 8-bit RGB PNG.")


def truncated() -> UnreadableImage:
    """It breaks off."""
    message = "The file ends before the image does; copy or export it again."
    return UnreadableImage("truncated", message)


def damaged() -> UnreadableImage:
    """Its data make no sense to the decoder."""
    return UnreadableImage("damaged", "The image data are damaged; export the file again.")


def broken(error: Exception) -> UnreadableImage:
    """The refusal for one of `FAULTS`."""
    if isinstance(error, NotImplementedError) or "unsupported" in str(error).lower():
        return unsupported("This way of storing an image")
    return truncated() if "truncated" in str(error).lower() else damaged()
