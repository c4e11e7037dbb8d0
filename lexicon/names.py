"""Names that come from outside, made safe to show and to store."""

from __future__ import annotations

import hashlib
import unicodedata

LONGEST_NAME = 255
# Unicode's categories: control, format, surrogate, private use, line and paragraph ends.
_ACTING = frozenset({"Cc", "Cf", "Cs", "Co", "Zl", "Zp"})


def one_line(text: str) -> str:
    """Return text that is safe to show on one line and to store.

    Control characters, line breaks and marks that reorder text are dropped, since they would
    affect the text around them. Everything else stays, in any script, emoji included.
    """
    return "".join(c for c in text if unicodedata.category(c) not in _ACTING).strip()


def clean_name(name: str) -> str:
    """Return a file name that is safe to show and to export: relative, one line, not too long.

    Path steps upwards are dropped. In a name that is too long, a digest of the whole name replaces
    the middle, so that different names stay different. Letters and their accents are joined.
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
    """Return a cleaned name with a mark before its suffix, to tell two files of one name apart."""
    stem, dot, suffix = name.rpartition(".")
    if not stem or "/" in suffix:
        stem, dot, suffix = name, "", ""
    return clean_name(f"{stem} ({mark}){dot}{suffix}")
