"""How a length of time reads."""

from __future__ import annotations

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
