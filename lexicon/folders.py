"""Which files of a folder or an archive are sent, judged by name alone, and why others are skipped.

The rule is the same for every way in: the archive reader and the command line call `skipped_for`;
the scripts of the pages get `RULE` and do the same. Any file that may be an image goes to intake,
which names each file that it refuses, with the reason. Skipped files are named with a reason too.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from lexicon.formats import ARCHIVES, OTHER_ARCHIVES, OTHER_IMAGES, PACK_ANEW, SUFFIXES
from lexicon.names import one_line

_SENT = (*SUFFIXES, *OTHER_IMAGES, *ARCHIVES, *OTHER_ARCHIVES)
_SYSTEM_FILES = ("thumbs.db", "ehthumbs.db", "desktop.ini", ".ds_store", ".localized")
_SYSTEM_FOLDERS = ("__macosx", ".appledouble", ".trashes", ".spotlight-v100", ".fseventsd")

SKIPS = {
    "not_image": "not an image file (by its extension)",
    "hidden": "hidden, or in a hidden folder",
    "system": "a file of the operating system",
    "repeated": "the same file a second time",
    "link": "a link to a folder (not followed)",
    "special": "not a file but a pipe, socket or device",
    "unreadable": "can't be read",
}

RULE = {
    "sent": _SENT,
    "archives": ARCHIVES,
    "other_archives": OTHER_ARCHIVES,
    "pack_anew": PACK_ANEW,
    "system_files": _SYSTEM_FILES,
    "system_folders": _SYSTEM_FOLDERS,
    "reasons": SKIPS,
}


@dataclass(frozen=True, slots=True)
class Skip:
    """A file that is not sent: its path, and the reason, a key of `SKIPS`."""

    name: str
    reason: str


def skipped_for(path: str) -> str | None:
    """Return why a file is skipped, by its path in a folder or an archive; None if it is sent.

    A file without a name is sent: only intake can tell what it is.
    """
    parts = steps(path)
    if not parts:
        return None
    name = parts[-1].lower()
    if name in _SYSTEM_FILES or name.startswith("._"):
        return "system"
    if any(part.lower() in _SYSTEM_FOLDERS for part in parts[:-1]):
        return "system"
    if any(part.startswith(".") for part in parts):
        return "hidden"
    return None if one_line(name).endswith(_SENT) else "not_image"


def leads_outside(path: str) -> bool:
    """Say whether a path in an archive points outside the folder it is unpacked to."""
    parts = _split(path)
    return ".." in parts or (len(parts) > 1 and parts[0] == "") or parts[0].endswith(":")


def steps(path: str) -> list[str]:
    """Return the folders of a path and its file name, without empty parts, ``.`` and ``..``."""
    return [part for part in map(str.strip, _split(path)) if part not in {"", ".", ".."}]


def _split(path: str) -> list[str]:
    # After the first byte of a two-byte character a backslash is that character's second byte.
    return re.split(r"/|(?<![\udc80-\udcff])\\", path)
