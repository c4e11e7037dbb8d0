"""What of a folder or an archive is sent, by names alone, and why the rest is skipped.

One rule for every way in: the archive reader and the command line ask `skipped_for`, and the pages'
scripts are handed `RULE` and do the same. Whatever may be an image goes to the door, which refuses
by name and reason what it can't read. What is skipped is named with its reason as well.
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
    "not_image": "not an image, by its name",
    "hidden": "hidden, or in a hidden folder",
    "system": "kept by the operating system for itself",
    "repeated": "the same file a second time",
    "link": "a link to a folder, which is not followed",
    "special": "not a file, but a pipe, a socket or a device",
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
    """A file that is not sent: its path, and why, one of `SKIPS`."""

    name: str
    reason: str


def skipped_for(path: str) -> str | None:
    """Return why a file of a folder or an archive is skipped, by its path in there, if it is.

    A file without a name is not: only the door can tell what it is.
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
    """Say whether a path in an archive names a place outside the folder it is unpacked to."""
    parts = _split(path)
    return ".." in parts or (len(parts) > 1 and parts[0] == "") or parts[0].endswith(":")


def steps(path: str) -> list[str]:
    """Return the folders of a path and its file, without what leads nowhere."""
    return [part for part in map(str.strip, _split(path)) if part not in {"", ".", ".."}]


def _split(path: str) -> list[str]:
    # A backslash behind half a letter of an older encoding is the letter's other half.
    return re.split(r"/|(?<![\udc80-\udcff])\\", path)
