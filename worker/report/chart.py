"""The differential as one stacked bar that can be read in black and white.

Each class has a tint, a hatching of its own and its code; none of the three stands alone.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from reportlab.lib.colors import Color, HexColor, black, white
from reportlab.platypus import Flowable

from core.cells import cell_type, display_order
from core.jobs import ClassCount
from worker.report.page import RULE
from worker.report.typeface import BOLD, REGULAR, width

# Angle in degrees and distance in points of the lines of each class, in display order.
_HATCHING: tuple[tuple[tuple[float, float], ...], ...] = (
    (),
    ((45, 4.5),),
    ((0, 3.5),),
    ((45, 6), (-45, 6)),
    ((90, 3),),
    ((-45, 4.5),),
    ((0, 6), (90, 6)),
    ((45, 2.2),),
    ((-45, 2.2),),
)
_CODE_SIZE = 9.0
_SCALE_SIZE = 7.0


def draw_swatch(canvas: Any, name: str, box: tuple[float, float, float, float]) -> None:
    """Fill ``box`` (x, y, width, height) with a class's tint and hatching, and outline it."""
    x, y, wide, high = box
    colour = HexColor(cell_type(name).colour)
    canvas.saveState()
    outline = canvas.beginPath()
    outline.rect(x, y, wide, high)
    canvas.clipPath(outline, stroke=0, fill=0)
    canvas.setFillColor(_tint(colour))
    canvas.rect(x, y, wide, high, stroke=0, fill=1)
    canvas.setStrokeColor(_shade(colour))
    canvas.setLineWidth(0.7)
    for angle, distance in _HATCHING[min(display_order(name), len(_HATCHING) - 1)]:
        _lines(canvas, box, angle, distance)
    canvas.restoreState()
    canvas.setStrokeColor(black)
    canvas.setLineWidth(0.6)
    canvas.rect(x, y, wide, high, stroke=1, fill=0)


def _lines(
    canvas: Any, box: tuple[float, float, float, float], angle: float, distance: float
) -> None:
    x, y, wide, high = box
    reach = (wide + high) / 2 + distance
    canvas.saveState()
    canvas.translate(x + wide / 2, y + high / 2)
    canvas.rotate(angle)
    for step in range(-int(reach / distance), int(reach / distance) + 1):
        canvas.line(-reach, step * distance, reach, step * distance)
    canvas.restoreState()


def _tint(colour: Color) -> Color:
    return Color(*(1 - (1 - part) * 0.35 for part in colour.rgb()))


def _shade(colour: Color) -> Color:
    return Color(*(part * 0.7 for part in colour.rgb()))


class StackedBar(Flowable):  # type: ignore[misc]  # ReportLab is not typed
    """The classes side by side, as wide as their shares, over a scale from 0 to 100 %."""

    BAR, SCALE = 30.0, 16.0

    def __init__(self, classes: Sequence[ClassCount]) -> None:
        super().__init__()
        self._classes = classes
        self._room = 0.0

    def wrap(self, room: float, _height: float) -> tuple[float, float]:
        """Take the whole width."""
        self._room = room
        return room, self.BAR + self.SCALE

    def draw(self) -> None:
        """Draw the segments, their codes, and the scale."""
        x = 0.0
        for one in self._classes:
            wide = one.share * self._room
            draw_swatch(self.canv, one.name, (x, self.SCALE, wide, self.BAR))
            self._code(cell_type(one.name).code, x, wide)
            x += wide
        self._scale()

    def _code(self, code: str, x: float, wide: float) -> None:
        """Write the code on a white plate, where the segment is wide enough for it."""
        need = width(code, _CODE_SIZE, BOLD) + 6
        if need > wide:
            return
        left, bottom = x + (wide - need) / 2, self.SCALE + (self.BAR - 13) / 2
        self.canv.setFillColor(white)
        self.canv.rect(left, bottom, need, 13, stroke=0, fill=1)
        self.canv.setFillColor(black)
        self.canv.setFont(BOLD, _CODE_SIZE)
        self.canv.drawCentredString(x + wide / 2, bottom + 3.5, code)

    def _scale(self) -> None:
        self.canv.setFont(REGULAR, _SCALE_SIZE)
        self.canv.setFillColor(black)
        for percent in range(0, 101, 20):
            x = percent / 100 * self._room
            self.canv.line(x, self.SCALE, x, self.SCALE - 3)
            place = {0: self.canv.drawString, 100: self.canv.drawRightString}
            place.get(percent, self.canv.drawCentredString)(x, 4, f"{percent} %")


class Differential(Flowable):  # type: ignore[misc]
    """The classes as a table: swatch, code, class, count, per cent, 95 % interval."""

    _ROW, _SIZE = 15.0, 9.0
    _PLACES = (0.0, 0.06, 0.13, 0.62, 0.76, 1.0)

    def __init__(self, classes: Sequence[ClassCount]) -> None:
        super().__init__()
        self._classes = classes
        self._room = 0.0

    def wrap(self, room: float, _height: float) -> tuple[float, float]:
        """Take the whole width, a line for each class and two for head and total."""
        self._room = room
        return room, (len(self._classes) + 2) * self._ROW + 4

    def draw(self) -> None:
        """Draw the lines from the top."""
        y = (len(self._classes) + 1) * self._ROW + 8
        self._line(y, ("Code", "Class", "Count", "Per cent", "95 % interval"), BOLD)
        for one in self._classes:
            y -= self._ROW
            self._draw_rule(y)
            draw_swatch(self.canv, one.name, (0, y - 1.5, 18, 10))
            self._line(y, _words(one), REGULAR)
        y -= self._ROW
        self._draw_rule(y)
        total = sum(one.count for one in self._classes)
        self._line(y, ("", "All classified cells", f"{total:,}", "100.0 %", ""), BOLD)

    def _line(self, y: float, words: Sequence[str], font: str) -> None:
        self.canv.setFillColor(black)
        self.canv.setFont(font, self._SIZE)
        places = [part * self._room for part in self._PLACES[1:]]
        for place, word in enumerate(words):
            draw = self.canv.drawString if place < 2 else self.canv.drawRightString
            draw(places[place], y, word)

    def _draw_rule(self, y: float) -> None:
        self.canv.setStrokeColor(RULE)
        self.canv.setLineWidth(0.3)
        self.canv.line(0, y + self._ROW - 5, self._room, y + self._ROW - 5)


def _words(one: ClassCount) -> tuple[str, ...]:
    cell = cell_type(one.name)
    interval = f"[{one.low * 100:.1f} to {one.high * 100:.1f}]"
    return cell.code, cell.label, f"{one.count:,}", f"{one.share * 100:.1f} %", interval
