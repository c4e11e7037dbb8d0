"""The notice shown with every result, and how durations and amounts of bytes are written."""

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


def amount(count: int) -> str:
    """Return a number of bytes in the unit that fits; each unit is 1024 of the one before."""
    if count == 1:
        return "1 byte"
    size = float(count)
    for unit in ("bytes", "kB", "MB", "GB"):
        if size < 1024:
            return f"{size:.0f} {unit}" if unit == "bytes" or size >= 10 else f"{size:.1f} {unit}"
        size /= 1024
    return f"{size:.1f} TB"
