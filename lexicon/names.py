"""Names that come from outside, made fit for showing and for storing."""

from __future__ import annotations

import hashlib
import unicodedata

LONGEST_NAME = 255
# Unicode's categories: control, format, surrogate, private use, line and paragraph ends.
_ACTING = frozenset({"Cc", "Cf", "Cs", "Co", "Zl", "Zp"})


def one_line(text: str) -> str:
    """Return text fit for showing on one line and for storing: nothing in it acts on the rest.

    Control characters, line breaks and marks that reorder text are dropped; all else, any script
    and emoji, stays.
    """
    return "".join(c for c in text if unicodedata.category(c) not in _ACTING).strip()


def clean_name(name: str) -> str:
    """Return a file's name fit for showing and for exports: relative, one line, not too long.

    Path steps upwards are dropped. A name that is too long has its middle replaced by a digest of
    the whole, so that two of them stay two. Letters and their accents are joined.
    """
    parts = [part.strip() for part in one_line(name).replace("\\", "/").split("/")]
    cleaned = "/".join(p for p in parts if p not in {"", ".", ".."}) or "unnamed"
    cleaned = unicodedata.normalize("NFC", cleaned)
    if len(cleaned) > LONGEST_NAME:
        digest = hashlib.blake2s(cleaned.encode(), digest_size=4).hexdigest()
        ends = LONGEST_NAME - len(digest) - 2
        cleaned = f"{cleaned[: ends // 2]}…{digest}…{cleaned[-(ends - ends // 2) :]}"
    return cleaned


def name_apart(name: str, mark: str) -> str:
    """Return a cleaned name with a mark before its suffix, to tell its file from a namesake."""
    stem, dot, suffix = name.rpartition(".")
    if not stem or "/" in suffix:
        stem, dot, suffix = name, "", ""
    return clean_name(f"{stem} ({mark}){dot}{suffix}")
