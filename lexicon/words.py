"""The notice shown with every result, and how durations, counts and amounts are written."""

from __future__ import annotations

# Shown on pages, in reports, exports and bundles, and on the terminal.
NOTICE = "Decision support. Not for diagnostic use without review by a qualified person."

_UNITS = ((86400, "d"), (3600, "h"), (60, "min"))


def duration(seconds: float | None, parts: int = 2) -> str:
    """Return a length of time in at most ``parts`` units, such as ``2 min 5 s``."""
    if seconds is None:
        return "-"
    if seconds < 1:
        return "under 1 s"
    left, words = round(seconds), []
    for size, unit in _UNITS:
        if left >= size:
            words.append(f"{left // size} {unit}")
            left %= size
    if left or not words:
        words.append(f"{left} s")
    return " ".join(words[:parts])


def counted(count: int, thing: str, things: str = "") -> str:
    """Return how many there are, such as ``1 image`` and ``2,000 images``."""
    return f"{count:,} {thing if count == 1 else things or thing + 's'}"


def amount(count: int) -> str:
    """Return a number of bytes in the unit that fits; each unit is 1024 of the one before."""
    if count < 1024:
        return f"{count} {'byte' if count == 1 else 'bytes'}"
    size = count / 1024
    for unit in ("kB", "MB", "GB"):
        if size < 1024:
            return f"{size:.0f} {unit}" if size >= 10 else f"{size:.1f} {unit}"
        size /= 1024
    return f"{size:.1f} TB"
