"""The frame of every page: a header with page x of y, a footer with the model and the notice."""

from __future__ import annotations

import datetime as dt
from dataclasses import dataclass
from typing import Any, BinaryIO

from reportlab import rl_config
from reportlab.lib.colors import HexColor, black
from reportlab.lib.pagesizes import A4, LETTER
from reportlab.lib.units import mm
from reportlab.pdfgen.canvas import Canvas
from reportlab.platypus import BaseDocTemplate, Frame, PageTemplate

from lexicon.words import NOTICE
from worker.report.typeface import BOLD, REGULAR, clip, printable, width

GREY = HexColor("#555555")
RULE = HexColor("#aaaaaa")
SIDE, TOP, BOTTOM = 18 * mm, 30 * mm, 24 * mm
_SIZES = {"A4": A4, "Letter": LETTER}
_NUMBER_WIDE = 40 * mm


@dataclass(frozen=True, slots=True)
class Running:
    """What is printed on every page, as given: laboratory, job, reference, model."""

    laboratory: str
    title: str
    subtitle: str
    model: str
    made_at: dt.datetime


def document(out: BinaryIO, paper: str, running: Running) -> BaseDocTemplate:
    """Return an empty document for ``paper`` that writes to ``out`` when it is built."""
    # ReportLab writes binary parts as text by default: most of the time, and a quarter more space.
    rl_config.useA85 = 0
    wide, high = _SIZES[paper]
    frame = Frame(
        SIDE,
        BOTTOM,
        wide - 2 * SIDE,
        high - TOP - BOTTOM,
        leftPadding=0,
        rightPadding=0,
        topPadding=0,
        bottomPadding=0,
    )

    def decorate(canvas: Any, _document: object) -> None:
        canvas.saveState()
        _header(canvas, running, wide, high)
        _foot(canvas, running, wide)
        canvas.restoreState()

    return BaseDocTemplate(
        out,
        pagesize=(wide, high),
        pageTemplates=[PageTemplate(frames=[frame], onPage=decorate)],
        title=f"{running.laboratory}: {running.subtitle}",
        creator="HematoVision",
    )


class NumberedCanvas(Canvas):  # type: ignore[misc]  # ReportLab is not typed
    """A canvas that fills in the number of pages at the end, when it is known.

    Each page refers to its own form, which is written last, so no page is kept or made twice.
    """

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._shown = 0

    def showPage(self) -> None:
        """Count the page."""
        self._shown += 1
        super().showPage()

    def save(self) -> None:
        """Write "Page x of y" for each page, then the file."""
        for number in range(1, self._shown + 1):
            self.beginForm(_number(number), 0, 0, _NUMBER_WIDE, 12)
            self.setFont(REGULAR, 9)
            self.drawRightString(_NUMBER_WIDE, 3, f"Page {number} of {self._shown}")
            self.endForm()
        super().save()


def _number(page: int) -> str:
    return f"number-of-page-{page}"


def _header(canvas: Any, running: Running, wide: float, high: float) -> None:
    first, second = high - 15 * mm, high - 20.5 * mm
    room = wide - 2 * SIDE - _NUMBER_WIDE
    canvas.setFillColor(black)
    canvas.setFont(BOLD, 11)
    canvas.drawString(SIDE, first, clip(printable(running.laboratory), 11, room, BOLD))
    canvas.saveState()
    canvas.translate(wide - SIDE - _NUMBER_WIDE, first - 3)
    canvas.doForm(_number(canvas.getPageNumber()))
    canvas.restoreState()
    canvas.setFont(REGULAR, 9)
    canvas.setFillColor(GREY)
    subtitle = clip(printable(running.subtitle), 9, (wide - 2 * SIDE) * 0.42)
    canvas.drawRightString(wide - SIDE, second, subtitle)
    left = wide - 2 * SIDE - width(subtitle, 9) - 6 * mm
    canvas.drawString(SIDE, second, clip(printable(running.title), 9, left))
    _rule(canvas, wide, high - 23.5 * mm)


def _foot(canvas: Any, running: Running, wide: float) -> None:
    created = f"Created {running.made_at:%Y-%m-%d %H:%M} UTC"
    _rule(canvas, wide, 18 * mm)
    canvas.setFillColor(black)
    canvas.setFont(BOLD, 8)
    canvas.drawString(SIDE, 13.5 * mm, NOTICE)
    canvas.setFillColor(GREY)
    canvas.setFont(REGULAR, 7)
    canvas.drawRightString(wide - SIDE, 9.5 * mm, created)
    room = wide - 2 * SIDE - width(created, 7) - 6 * mm
    canvas.drawString(SIDE, 9.5 * mm, clip(printable(running.model), 7, room))


def _rule(canvas: Any, wide: float, y: float) -> None:
    canvas.setStrokeColor(RULE)
    canvas.setLineWidth(0.5)
    canvas.line(SIDE, y, wide - SIDE, y)
