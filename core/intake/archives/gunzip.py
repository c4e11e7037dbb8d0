"""A .gz unpacked as it arrives, all of its parts, in bounded memory and time.

The standard library's gzip reads a header's fields byte by byte in Python, however long they are.
"""

from __future__ import annotations

import zlib

from core.errors import BadArchive
from core.intake.archives.member import DAMAGED, Caps, Source

MAGIC = b"\x1f\x8b"
# What is damaged is lost together with what was handed to zlib at once; and of very small parts
# each costs a copy of the rest.
_STEP = 4096


class Unpacked:
    """The bytes of a .gz, counted against the archive's caps."""

    def __init__(self, packed: Source, caps: Caps) -> None:
        self._source = packed
        self._caps = caps
        self._ahead = b""
        self._part = _part()
        self._taken = 0
        self._given = 0

    def read(self, size: int, /) -> bytes:
        """Return up to ``size`` bytes, none at the end.

        Raises:
            BadArchive: it is damaged, ends too early, or unpacks beyond the caps.
        """
        while not self._part.eof or self._begin_next():
            self._fill()
            try:
                data = self._part.decompress(self._ahead, size)
            except zlib.error as error:
                raise BadArchive(DAMAGED) from error
            at_end = not self._ahead
            self._ahead = self._part.unused_data or self._part.unconsumed_tail
            self._given += len(data)
            self._caps.check_growth(self._given, self._taken)
            if data:
                return data
            if at_end and not self._part.eof:
                raise BadArchive(DAMAGED)
        return b""

    def _begin_next(self) -> bool:
        """Begin the next part, behind padding; say whether there is one."""
        self._ahead = self._ahead.lstrip(b"\0")
        while len(self._ahead) < len(MAGIC) and self._fill(more=True):
            self._ahead = self._ahead.lstrip(b"\0")
        if not self._ahead.startswith(MAGIC):
            return False
        self._part = _part()
        return True

    def _fill(self, more: bool = False) -> bool:
        """Have some packed bytes ahead, or some more of them; say whether any came."""
        if self._ahead and not more:
            return False
        chunk = self._source.read(_STEP)
        self._taken += len(chunk)
        self._ahead += chunk
        return bool(chunk)


def _part() -> zlib._Decompress:
    return zlib.decompressobj(wbits=zlib.MAX_WBITS | 16)
