"""Keeping a process's memory small: glibc keeps for each thread what it once gave it.

Without a C library that knows these words nothing happens.
"""

from __future__ import annotations

import ctypes
from contextlib import suppress

_ARENA_MAX = -8  # M_ARENA_MAX of glibc's malloc.h
_ARENAS = 2


def share_heaps() -> None:
    """Let all threads share two heaps; call it before they start.

    By itself glibc gives each thread its own, eight a core, and each keeps what its largest request
    once took.
    """
    with suppress(AttributeError, OSError, TypeError):
        ctypes.CDLL(None).mallopt(_ARENA_MAX, _ARENAS)


def give_back() -> None:
    """Return what was freed to the system."""
    with suppress(AttributeError, OSError, TypeError):
        ctypes.CDLL(None).malloc_trim(0)
