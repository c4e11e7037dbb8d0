"""Numbers of more than 8 bits → 8 bits: how much is white?

White is the highest number of a picture's type, or of the bits that the file says it uses. But
cameras of 10, 12 or 14 bits are stored in numbers of 16 without a word about it, and what files say
of their highest number is often wrong. So the numbers are looked at: white is the end of the
smallest usual range (8, 10, 12, 14 or all bits) that holds them. A picture in full 16 bits with
nothing above a quarter of white would come out too bright; no slide in transmitted light is that
dark, while nearly every file whose upper bits are empty has never had them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ml.decoding.refusals import refused

Samples = NDArray[Any]
ToEight = Callable[[Samples], NDArray[np.uint8]]

_USUAL_BITS = (8, 10, 12, 14)
_MOST_BITS = 16
# Numbers with a fraction: from 0 to 1, or as they were before an 8 or 16-bit picture was converted.
# Between the ranges nobody can tell which is meant.
_FLOAT_RANGES = ((0.0, 1.0), (16.0, 255.0), (4096.0, 65535.0))


def to_eight(white: float) -> ToEight:
    """What brings samples from 0 to ``white`` to 0 to 255; give it a strip at a time."""

    def convert(samples: Samples) -> NDArray[np.uint8]:
        if white == 255 and samples.dtype == np.uint8:
            return samples
        return _rounded(samples * np.float64(255 / white))

    return convert


def white_of(parts: Iterable[Samples], stated: int = 0) -> float:
    """The number that is white in a picture, seen from all its parts.

    ``stated`` is the highest number that the file says it has, where it says so.

    Raises:
        UnreadableImage: unsupported, if it can't be told.
    """
    low, high, dtype = np.inf, -np.inf, np.dtype(np.uint8)
    for part in parts:
        # Unlike Python's own, these two keep a "not a number".
        low, high = np.minimum(low, part.min()), np.maximum(high, part.max())
        dtype = part.dtype
    if not (low >= 0 and np.isfinite(high)):
        raise refused("unsupported", what="An image with negative or infinite numbers")
    if dtype.kind == "f":
        return _white_of_fractions(float(high))
    return _white_of_integers(int(high), stated, dtype)


def _white_of_integers(high: int, stated: int, dtype: np.dtype[Any]) -> int:
    most = min(dtype.itemsize * 8 - (dtype.kind == "i"), _MOST_BITS)
    highest = max(high, stated if stated < 2**most else 0)
    for bits in (*(bits for bits in _USUAL_BITS if bits < most), most):
        if highest < 2**bits:
            return int(2**bits - 1)
    raise refused("unsupported", what=f"An image with numbers of more than {_MOST_BITS} bits")


def _white_of_fractions(high: float) -> float:
    for beyond, white in _FLOAT_RANGES:
        if beyond <= high <= white:
            return white
    raise refused("unsupported", what=f"An image with fractional numbers up to {high:.4g}")


def _rounded(samples: Samples) -> NDArray[np.uint8]:
    eight: NDArray[np.uint8] = np.rint(np.clip(samples, 0, 255)).astype(np.uint8)
    return eight
