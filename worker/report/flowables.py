"""The parts of a report. Each prints text as it was given and never reads it as markup."""

from __future__ import annotations

import io
from collections.abc import Callable, Iterator, Sequence
from itertools import islice

from reportlab.lib.colors import HexColor, black
from reportlab.lib.units import mm
from reportlab.lib.utils import ImageReader
from reportlab.platypus import Flowable

from lexicon.cells import cell_type
from worker.report.contents import Cell
from worker.report.page import GREY
from worker.report.typeface import BOLD, REGULAR, printable, wrap

_EMPTY = HexColor("#e6e6e6")
_CHUNK = 8


class Unroll(Flowable):  # type: ignore[misc]  # ReportLab is not typed
    """Lays out what an iterator yields, a few parts at a time: a report is never held whole."""

    _ZEROSIZE = True

    def __init__(self, story: Iterator[Flowable]) -> None:
        super().__init__()
        self._story = story

    def wrap(self, _room: float, _height: float) -> tuple[float, float]:
        """Take no room."""
        return 0, 0

    def draw(self) -> None:
        """Hand the next parts to the page."""
        parts = list(islice(self._story, _CHUNK))
        if parts:
            self._frame.add_generated_content(*parts, Unroll(self._story))


class Text(Flowable):  # type: ignore[misc]
    """A paragraph: lines of one size, broken anywhere if necessary."""

    def __init__(
        self, text: str, size: float = 9, font: str = REGULAR, before: float = 0, after: float = 4
    ) -> None:
        super().__init__()
        self._text, self._size, self._font = printable(text), size, font
        self._before, self._after = before, after
        self._lines: list[str] = []

    def wrap(self, room: float, _height: float) -> tuple[float, float]:
        """Break the lines."""
        self._lines = wrap(self._text, self._size, room, self._font)
        return room, len(self._lines) * self._size * 1.3 + self._before + self._after

    def draw(self) -> None:
        """Draw them from the top."""
        self.canv.setFont(self._font, self._size)
        self.canv.setFillColor(black)
        top = (len(self._lines) - 1) * self._size * 1.3 + self._after + self._size * 0.3
        for row, line in enumerate(self._lines):
            self.canv.drawString(0, top - row * self._size * 1.3, line)


class Thumbnails(Flowable):  # type: ignore[misc]
    """One row of cells, each with code, confidence and its number in the table.

    Cells ``to_check`` have a question mark before the best guess, and a line to write on below.
    """

    COLUMNS = 7
    _LABEL, _LINE = 20.0, 16.0

    def __init__(
        self,
        cells: Sequence[Cell],
        picture: Callable[[str], bytes | None],
        to_check: bool = False,
    ) -> None:
        super().__init__()
        self._cells, self._picture, self._to_check = cells, picture, to_check
        self._below = self._LABEL + 4 + (self._LINE if to_check else 0)
        self._pitch = 0.0

    def wrap(self, room: float, _height: float) -> tuple[float, float]:
        """Take the whole width, and the height of a square picture and two lines."""
        self._pitch = room / self.COLUMNS
        return room, self._pitch - 3 * mm + self._below

    def draw(self) -> None:
        """Draw the pictures, fetched only now."""
        for column, cell in enumerate(self._cells):
            self._draw(cell, column * self._pitch, self._pitch - 3 * mm)

    def _draw(self, cell: Cell, x: float, side: float) -> None:
        y = self._below
        picture = self._picture(cell.sha256)
        if picture:
            reader = ImageReader(io.BytesIO(picture))
            box = {"width": side, "height": side, "preserveAspectRatio": True}
            self.canv.drawImage(reader, x, y, anchor="s", **box)
        else:
            self._draw_empty(x, y, side)
        self.canv.setFillColor(black)
        self.canv.setFont(BOLD, 7.5)
        guess = "? " if self._to_check else ""
        words = f"{guess}{cell_type(cell.label).code} {percent(cell.confidence)}"
        self.canv.drawString(x, y - 8.5, words)
        self.canv.setFillColor(GREY)
        self.canv.setFont(REGULAR, 6.5)
        self.canv.drawString(x, y - 17, f"No. {cell.number:,}")
        if self._to_check:
            self.canv.setLineWidth(0.4)
            self.canv.line(x, y - self._below + 5, x + side, y - self._below + 5)

    def _draw_empty(self, x: float, y: float, side: float) -> None:
        self.canv.setFillColor(_EMPTY)
        self.canv.rect(x, y, side, side, stroke=0, fill=1)
        self.canv.setFillColor(GREY)
        self.canv.setFont(REGULAR, 6.5)
        self.canv.drawCentredString(x + side / 2, y + side / 2, "no picture")


class LabelledLists(Flowable):  # type: ignore[misc]
    """Two lists of label and value, side by side."""

    _LABEL = 28 * mm

    def __init__(self, *lists: Sequence[tuple[str, str]]) -> None:
        super().__init__()
        self._lists = lists
        self._room = self._high = 0.0
        self._set: list[list[tuple[str, list[str]]]] = []

    def wrap(self, room: float, _height: float) -> tuple[float, float]:
        """Break the values into lines."""
        self._room = (room - 8 * mm) / len(self._lists)
        value = self._room - self._LABEL
        self._set = [
            [(label, wrap(printable(text), 9, value)) for label, text in facts]
            for facts in self._lists
        ]
        longest = max(sum(len(lines) for _, lines in facts) for facts in self._set)
        self._high = longest * 13 + 6
        return room, self._high

    def draw(self) -> None:
        """Draw each list in its half."""
        for column, facts in enumerate(self._set):
            x, y = column * (self._room + 8 * mm), self._high - 10
            for label, lines in facts:
                self.canv.setFillColor(GREY)
                self.canv.setFont(REGULAR, 9)
                self.canv.drawString(x, y, label)
                self.canv.setFillColor(black)
                for line in lines:
                    self.canv.drawString(x + self._LABEL, y, line)
                    y -= 13


class Signature(Flowable):  # type: ignore[misc]
    """Lines for name, date and signature."""

    _HIGH = 40 * mm

    def wrap(self, room: float, _height: float) -> tuple[float, float]:
        """Take the whole width."""
        self._room = room
        return room, self._HIGH

    def draw(self) -> None:
        """Draw the lines with their words below."""
        third = self._room / 3
        self.canv.setStrokeColor(black)
        self.canv.setLineWidth(0.6)
        for column, word in enumerate(("Name", "Date", "Signature")):
            x = column * third
            self.canv.line(x, 14 * mm, x + third - 6 * mm, 14 * mm)
            self.canv.setFillColor(GREY)
            self.canv.setFont(REGULAR, 8)
            self.canv.drawString(x, 10 * mm, word)


def percent(share: float) -> str:
    """Return a share, 0 to 1, as it is printed."""
    return f"{share * 100:.1f} %"
