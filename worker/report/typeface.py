"""The report's typeface: DejaVu Sans, embedded, so that most of the world's names print.

Characters it lacks (Chinese, Japanese, Korean, Indic scripts, emoji) show as a placeholder.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Iterable, Iterator
from functools import cache
from importlib import resources

from reportlab.pdfbase.pdfmetrics import getFont, getRegisteredFontNames, registerFont, stringWidth
from reportlab.pdfbase.ttfonts import TTFont

REGULAR, BOLD = "HematoVision", "HematoVision-Bold"
PLACEHOLDER = "\N{REPLACEMENT CHARACTER}"
_FILES = {REGULAR: "DejaVuSans.ttf", BOLD: "DejaVuSans-Bold.ttf"}
_GOOD_BREAKS = " /_-.,"
_RIGHT_TO_LEFT = {"R", "AL"}


def register() -> None:
    """Register the fonts with ReportLab, once per process."""
    for name, file in _FILES.items():
        if name not in getRegisteredFontNames():
            with resources.as_file(resources.files("worker") / "fonts" / file) as path:
                registerFont(TTFont(name, str(path)))


@cache
def _glyphs() -> frozenset[int]:
    """Return the characters that both weights have and that can be copied and searched in the PDF.

    Beyond 16 bits they can't: ReportLab writes a malformed table for those.
    """
    register()
    faces = [getFont(name).face for name in _FILES]
    common = frozenset.intersection(*(frozenset(face.charToGlyph) for face in faces))
    return frozenset(code for code in common if code <= 0xFFFF)


def printable(text: str) -> str:
    """Return ``text`` as it is drawn, left to right, with placeholders for missing characters.

    Control characters and marks that reorder text are dropped.
    """
    if text.isascii() and text.isprintable():
        return text
    plain = unicodedata.normalize("NFC", text)
    visible = (c for c in plain if unicodedata.category(c) not in {"Cc", "Cf"})
    return "".join(_visual(c if ord(c) in _glyphs() else PLACEHOLDER for c in visible))


def _visual(text: Iterable[str]) -> Iterator[str]:
    """Reverse runs of Hebrew, Arabic and the like: a PDF draws from left to right."""
    run: list[str] = []
    tail: list[str] = []
    for char in text:
        direction = unicodedata.bidirectional(char)
        if direction in _RIGHT_TO_LEFT:
            run += [*tail, char]
            tail = []
        elif run and direction in {"WS", "ON", "NSM"}:
            tail.append(char)
        else:
            yield from (*reversed(run), *tail, char)
            run, tail = [], []
    yield from (*reversed(run), *tail)


def width(text: str, size: float, font: str = REGULAR) -> float:
    """Return the width of a line in points."""
    return float(stringWidth(text, font, size))


def wrap(text: str, size: float, room: float, font: str = REGULAR) -> list[str]:
    """Break ``text`` into lines of at most ``room`` points, at a good place where there is one."""
    lines: list[str] = []
    while width(text, size, font) > room and len(text) > 1:
        end = _fitting(text, size, room, font)
        good = max(text.rfind(mark, 1, end) for mark in _GOOD_BREAKS) + 1
        cut = good if good > end // 2 else end
        lines.append(text[:cut].rstrip())
        text = text[cut:].lstrip()
    return [*lines, text]


def clip(text: str, size: float, room: float, font: str = REGULAR) -> str:
    """Return ``text``, cut with an ellipsis if it is wider than ``room`` points."""
    if width(text, size, font) <= room:
        return text
    return text[: _fitting(text, size, room - width("…", size, font), font)] + "…"


def _fitting(text: str, size: float, room: float, font: str) -> int:
    """Return how many characters fit, at least one."""
    used, count = 0.0, 0
    for char in text:
        used += width(char, size, font)
        if used > room:
            break
        count += 1
    return max(1, count)
