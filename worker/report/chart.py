"""The differential as one stacked bar that can be read in black and white.

Each class has a tint, its own hatching and its code, always together. Uncertain and unfamiliar
cells follow at the end in the same way, on white.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from typing import Any

from reportlab.lib.colors import Color, HexColor, black, white
from reportlab.platypus import Flowable

from core.jobs import ClassCount, Differential
from lexicon.cells import cell_type, display_order
from lexicon.outcomes import FEW_IMAGES, MARKS, Outcome
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
_MARKED = {
    Outcome.UNCERTAIN.value: ((45, 3.2),),
    Outcome.UNFAMILIAR.value: ((45, 2.8), (-45, 2.8)),
}
_CODE_SIZE = 9.0
_SCALE_SIZE = 7.0


def draw_swatch(canvas: Any, name: str, box: tuple[float, float, float, float]) -> None:
    """Fill ``box`` (x, y, width, height) with the tint and hatching of a class or an outcome."""
    x, y, wide, high = box
    tint, shade, hatching = _dress(name)
    canvas.saveState()
    outline = canvas.beginPath()
    outline.rect(x, y, wide, high)
    canvas.clipPath(outline, stroke=0, fill=0)
    canvas.setFillColor(tint)
    canvas.rect(x, y, wide, high, stroke=0, fill=1)
    canvas.setStrokeColor(shade)
    canvas.setLineWidth(0.7)
    for angle, distance in hatching:
        _lines(canvas, box, angle, distance)
    canvas.restoreState()
    canvas.setStrokeColor(black)
    canvas.setLineWidth(0.6)
    canvas.rect(x, y, wide, high, stroke=1, fill=0)


def _dress(name: str) -> tuple[Color, Color, Sequence[tuple[float, float]]]:
    """Return the background, the colour of the lines, and the lines."""
    if name in _MARKED:
        return white, _shade(HexColor(MARKS[Outcome(name)].colour)), _MARKED[name]
    colour = HexColor(cell_type(name).colour)
    return _tint(colour), _shade(colour), _HATCHING[min(display_order(name), len(_HATCHING) - 1)]


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
    """All classified cells side by side, as wide as their shares, over a scale to 100 %."""

    BAR, SCALE = 30.0, 16.0

    def __init__(self, differential: Differential) -> None:
        super().__init__()
        self._differential = differential
        self._room = 0.0

    def wrap(self, room: float, _height: float) -> tuple[float, float]:
        """Take the whole width."""
        self._room = room
        return room, self.BAR + self.SCALE

    def draw(self) -> None:
        """Draw the segments, their codes, and the scale."""
        x = 0.0
        for name, code, count in _segments(self._differential):
            wide = count / self._differential.classified * self._room
            draw_swatch(self.canv, name, (x, self.SCALE, wide, self.BAR))
            self._code(code, x, wide)
            x += wide
        self._scale()

    def _code(self, code: str, x: float, wide: float) -> None:
        """Write the code on a white plate, if the segment is wide enough for it."""
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
            draws = {0: self.canv.drawString, 100: self.canv.drawRightString}
            draws.get(percent, self.canv.drawCentredString)(x, 4, f"{percent} %")


def _segments(differential: Differential) -> Iterator[tuple[str, str, int]]:
    """Yield name, code and count of each class, then of the other outcomes that occur."""
    for class_count in differential.classes:
        yield class_count.name, cell_type(class_count.name).code, class_count.count
    for mark in MARKS.values():
        if differential.outcomes[mark.outcome]:
            yield mark.outcome.value, mark.sign, differential.outcomes[mark.outcome]


class DifferentialTable(Flowable):  # type: ignore[misc]
    """The differential as a table: swatch, code, class, cells, per cent, 95 % interval."""

    _ROW, _SIZE = 15.0, 9.0
    # Where the columns begin, and where those of numbers end, as shares of the width.
    _EDGES = (0.06, 0.13, 0.62, 0.76, 1.0)

    def __init__(self, differential: Differential, few: Collection[str]) -> None:
        super().__init__()
        self._differential, self._few = differential, few
        self._room = 0.0

    def wrap(self, room: float, _height: float) -> tuple[float, float]:
        """Take the whole width; a line for each class and for each outcome, a head and a total."""
        self._room = room
        return room, (len(self._differential.classes) + 5) * self._ROW + 4

    def draw(self) -> None:
        """Draw the lines from the top."""
        differential, y = self._differential, (len(self._differential.classes) + 4) * self._ROW + 8
        self._line(y, ("Code", "Class", "Cells", "Per cent", "95 % interval"), BOLD)
        for class_count in differential.classes:
            y = self._next(y, class_count.name)
            self._line(y, _words(class_count, class_count.name in self._few), REGULAR)
        y = self._next(y)
        total = "100.0 %" if differential.accepted else ""
        self._line(y, ("", "Accepted cells", f"{differential.accepted:,}", total, ""), BOLD)
        for mark in MARKS.values():
            y = self._next(y, mark.outcome)
            count = f"{differential.outcomes[mark.outcome]:,}"
            self._line(y, (mark.sign, mark.label, count, "", ""), REGULAR)
        y = self._next(y)
        self._line(y, ("", "All classified cells", f"{differential.classified:,}", "", ""), BOLD)

    def _next(self, y: float, swatch: str = "") -> float:
        """Go down a line, with a rule above it and perhaps a swatch in it."""
        y -= self._ROW
        self._draw_rule(y)
        if swatch:
            draw_swatch(self.canv, swatch, (0, y - 1.5, 18, 10))
        return y

    def _line(self, y: float, words: Sequence[str], font: str) -> None:
        self.canv.setFillColor(black)
        self.canv.setFont(font, self._SIZE)
        for column, (edge, word) in enumerate(zip(self._EDGES, words, strict=True)):
            draw = self.canv.drawString if column < 2 else self.canv.drawRightString
            draw(edge * self._room, y, word)

    def _draw_rule(self, y: float) -> None:
        self.canv.setStrokeColor(RULE)
        self.canv.setLineWidth(0.3)
        self.canv.line(0, y + self._ROW - 5, self._room, y + self._ROW - 5)


def _words(class_count: ClassCount, few: bool) -> tuple[str, ...]:
    cell = cell_type(class_count.name)
    interval = f"[{class_count.low * 100:.1f}\N{EN DASH}{class_count.high * 100:.1f}]"
    label = f"{cell.label} ({FEW_IMAGES})" if few else cell.label
    return cell.code, label, f"{class_count.count:,}", f"{class_count.share * 100:.1f} %", interval
