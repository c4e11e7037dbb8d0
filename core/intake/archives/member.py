"""What the readers of archives share: a file in one, and what one may hold."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import BinaryIO, Protocol

from core.errors import BadArchive, Refused
from lexicon.formats import PACK_ANEW
from lexicon.names import clean_name

# Photographs hardly shrink; what unpacks to so many times its size, and to so much, is a trap.
# Up to there it costs a second or two of one core, which a large log beside images may.
MOST_RATIO = 100
RATIO_COUNTS_FROM = 2**30
CHUNK = 256 * 1024
# A name in the file systems that archives are made from has at most 4,096 bytes.
LONGEST_PATH = 16 * 1024

NOT_READ = f"This is no archive that can be read here. {PACK_ANEW}."
DAMAGED = "The archive is damaged or ends too early. Pack it again and send it again."
_DAMAGED_AT = "The archive is damaged or ends too early, at {0}. Pack it again and send it again."
_MANY = "The archive holds more than {0:,} files. Split it into several archives."
_LARGE = "The archive has more than {0:g} GB, or unpacks to more. Split it into several archives."
_TRAP = "The archive unpacks to more than {0} times its size. Send the images themselves."


class Source(Protocol):
    """Bytes that can be read once, from their start."""

    def read(self, size: int, /) -> bytes:
        """Return up to ``size`` bytes; none at the end."""
        ...


@dataclass(frozen=True, slots=True)
class Caps:
    """What an archive may hold: files of any kind, and bytes, as it is sent and unpacked."""

    entries: int
    max_bytes: int

    def check_size(self, size: int) -> None:
        """Raise `BadArchive` if so many bytes, sent or unpacked, are too many."""
        if size > self.max_bytes:
            raise BadArchive(_LARGE.format(self.max_bytes / 2**30))

    def check_growth(self, unpacked: int, packed: int) -> None:
        """Raise `BadArchive` if it unpacks to too much, or grows as no images do."""
        self.check_size(unpacked)
        if unpacked > max(RATIO_COUNTS_FROM, MOST_RATIO * packed):
            raise BadArchive(_TRAP.format(MOST_RATIO))

    def check_count(self, count: int) -> None:
        """Raise `BadArchive` if there are too many files."""
        if count > self.entries:
            raise BadArchive(_MANY.format(self.entries))


@dataclass(frozen=True, slots=True)
class Member:
    """A file in an archive: its path there, its size as the archive says, how its bytes are had.

    What is not UTF-8 in ``name`` stands there as surrogates, for `names` to decode.
    ``size`` is within what a database can hold. ``refused`` is why its bytes are not asked for.
    ``open`` is called before the next member is drawn.
    """

    name: str
    size: int
    open: Callable[[], BinaryIO]
    refused: Refused | None


def damaged_at(name: str) -> BadArchive:
    """Return the error for an archive that can't be read beyond this file, which is not taken."""
    return BadArchive(_DAMAGED_AT.format(clean_name(name)) if name else DAMAGED)
