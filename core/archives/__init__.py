"""Archives of images: read a file at a time, and taken in as if each had been sent alone.

`reading` opens a .zip, .tar or .tar.gz that nobody vouches for, within caps; `taking` has its
images hashed, looked at and kept, and hands them on in batches. No database and no pages here.
"""

from core.archives.reading import (
    OTHER_SUFFIXES,
    SUFFIXES,
    Caps,
    Member,
    is_archive_name,
    members,
)
from core.archives.taking import BATCH, Taken, take_in

__all__ = [
    "BATCH",
    "OTHER_SUFFIXES",
    "SUFFIXES",
    "Caps",
    "Member",
    "Taken",
    "is_archive_name",
    "members",
    "take_in",
]
