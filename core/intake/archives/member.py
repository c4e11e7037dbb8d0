"""Shared by the archive readers: a file in an archive, and the limits of an archive."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import BinaryIO, Protocol

from core.errors import BadArchive, Refused
from lexicon.formats import PACK_ANEW
from lexicon.names import clean_name

# Photographs hardly shrink, so anything that unpacks to this ratio and this size is a trap. Below
# that it costs a second or two of one core, which is fine for a large log beside images.
MOST_RATIO = 100
RATIO_COUNTS_FROM = 2**30
CHUNK = 256 * 1024
# A name in the file systems that archives are made from has at most 4,096 bytes.
LONGEST_PATH = 16 * 1024

NOT_READ = f"This is not an archive that can be read here. {PACK_ANEW}."
DAMAGED = "The archive is damaged or ends too early. Pack it again and send it again."
_DAMAGED_AT = "The archive is damaged or ends too early, at {0}. Pack it again and send it again."
_MANY = "The archive holds more than {0:,} files. Split it into several archives."
_LARGE = "The archive is larger than {0:g} GB, packed or unpacked. Split it into several archives."
_TRAP = "The archive unpacks to more than {0} times its size. Send the images without packing."


class Source(Protocol):
    """Bytes that can be read once, from their start."""

    def read(self, size: int, /) -> bytes:
        """Return up to ``size`` bytes; none at the end."""
        ...


@dataclass(frozen=True, slots=True)
class Caps:
    """The limits of an archive: its number of files, and its bytes, both packed and unpacked."""

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
    """A file in an archive: its path there, its size as stated there, and how to read it.

    Bytes of ``name`` that are not UTF-8 are kept as surrogates; `names` decodes them.
    ``size`` fits a database column. ``refused`` is the reason why the file is not read, if any.
    ``open`` is called before the next member is drawn.
    """

    name: str
    size: int
    open: Callable[[], BinaryIO]
    refused: Refused | None


def damaged_at(name: str) -> BadArchive:
    """Return the error for an archive that can't be read from this file on."""
    return BadArchive(_DAMAGED_AT.format(clean_name(name)) if name else DAMAGED)
