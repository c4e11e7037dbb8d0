"""Tables of any length, streamed: each page takes the rows that fit and leaves the rest."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from reportlab.lib.colors import black
from reportlab.platypus import Flowable

from worker.report.page import GREY, RULE
from worker.report.typeface import BOLD, REGULAR, printable, wrap

SIZE, LEADING = 8.0, 10.5
PAD = 4.0


@dataclass(frozen=True, slots=True)
class Column:
    """One column: its heading, its share of the width, and whether its cells are numbers."""

    title: str
    share: float
    right: bool = False


class _Source:
    """Rows that can be put back: a page finds out by trying how many fit."""

    def __init__(self, rows: Iterable[Sequence[str]]) -> None:
        self._rows = iter(rows)
        self._back: list[Sequence[str]] = []

    def take(self) -> Sequence[str] | None:
        return self._back.pop() if self._back else next(self._rows, None)

    def put_back(self, rows: Sequence[Sequence[str]]) -> None:
        self._back += reversed(rows)


class Rows(Flowable):  # type: ignore[misc]  # ReportLab is not typed
    """A table of any length: each page draws the heading and as many rows as fit."""

    _HEAD = LEADING + PAD

    def __init__(self, columns: Sequence[Column], rows: Iterable[Sequence[str]] | _Source) -> None:
        super().__init__()
        self._columns = columns
        self._source = rows if isinstance(rows, _Source) else _Source(rows)
        self._fitting: list[Sequence[str]] = []
        self._set: list[list[list[str]]] = []
        self._room = self._high = 0.0

    def wrap(self, room: float, height: float) -> tuple[float, float]:
        """Take as many rows as fit."""
        self._source.put_back(self._fitting)
        self._fitting, self._set, self._room, self._high = [], [], room, self._HEAD
        while (row := self._source.take()) is not None:
            cells = self._break(row)
            if self._high + _height(cells) > height:
                self._source.put_back([row])
                return room, self._high if self._fitting else height + 1
            self._high += _height(cells)
            self._fitting.append(row)
            self._set.append(cells)
        return room, self._high

    def _break(self, row: Sequence[str]) -> list[list[str]]:
        return [
            wrap(printable(text), SIZE, column.share * self._room - PAD)
            for text, column in zip(row, self._columns, strict=True)
        ]

    def draw(self) -> None:
        """Draw the heading and the rows; the rest continues on the next page."""
        y = self._high - self._HEAD
        self.canv.setFillColor(GREY)
        self._line([[column.title] for column in self._columns], y + self._HEAD, BOLD)
        self.canv.setFillColor(black)
        for cells in self._set:
            self.canv.setStrokeColor(RULE)
            self.canv.setLineWidth(0.3)
            self.canv.line(0, y, self._room, y)
            self._line(cells, y, REGULAR)
            y -= _height(cells)
        next_row = self._source.take()
        if next_row is not None:
            self._source.put_back([next_row])
            self._frame.add_generated_content(Rows(self._columns, self._source))

    def _line(self, cells: Sequence[Sequence[str]], top: float, font: str) -> None:
        self.canv.setFont(font, SIZE)
        x = 0.0
        for lines, column in zip(cells, self._columns, strict=True):
            wide = column.share * self._room
            for row, line in enumerate(lines):
                y = top - (row + 1) * LEADING + PAD / 4
                if column.right:
                    self.canv.drawRightString(x + wide - PAD * 2, y, line)
                else:
                    self.canv.drawString(x, y, line)
            x += wide


def _height(cells: Sequence[Sequence[str]]) -> float:
    return max(len(lines) for lines in cells) * LEADING + PAD / 2
