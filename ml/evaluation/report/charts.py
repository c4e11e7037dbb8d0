"""The charts of an evaluation as SVG that takes its colours from the surrounding page."""

from __future__ import annotations

import io
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from ml.evaluation.evaluate import Evaluation

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

# Matplotlib writes these colours, and the page's style then says what each is in light and dark.
PAINTS = {
    "#010101": "var(--ink)",
    "#020202": "var(--quiet)",
    "#030303": "var(--line)",
    "#040404": "var(--accent)",
    "#050505": "var(--needs)",
}
INK, QUIET, LINE, ACCENT, NEEDS = PAINTS
# In inches at 72 points: as wide as a telephone's page, so that letters keep their size there.
SIZE = (4.9, 3.7)


def draw(name: str, evaluation: Evaluation) -> str:
    """The picture called `name` (reliability or risk_coverage) as an <svg> element."""
    plot: Callable[[Axes, Evaluation], None] = {
        "reliability": _reliability,
        "risk_coverage": _risk_coverage,
    }[name]
    with _style():
        from matplotlib.backends.backend_svg import FigureCanvasSVG
        from matplotlib.figure import Figure

        figure = Figure(figsize=SIZE, layout="constrained")
        FigureCanvasSVG(figure)
        plot(figure.add_subplot(), evaluation)
        return _svg(figure, name)


def _reliability(axes: Axes, evaluation: Evaluation) -> None:
    """How often the best guess is right, by the confidence that was stated."""
    bins = [part for part in evaluation.confidence.bins if part.images]
    most = max(part.images for part in bins)
    axes.plot([0, 1], [0, 1], color=QUIET, linewidth=1, linestyle=(0, (4, 3)))
    for part in bins:
        stated = [part.confidence] * 2
        axes.plot(stated, [part.confidence, part.accuracy], color=NEEDS, linewidth=2)
    # The area of a dot stands for the number of images.
    sizes = [12 + 140 * part.images / most for part in bins]
    middles = [part.confidence for part in bins], [part.accuracy for part in bins]
    axes.scatter(*middles, s=sizes, color=ACCENT, zorder=3, clip_on=False)
    axes.set(xlim=(0, 1), ylim=(0, 1), xlabel="stated confidence", ylabel="share right")


def _risk_coverage(axes: Axes, evaluation: Evaluation) -> None:
    """The share of wrong ones among the most confident images, by how many are taken."""
    curve = evaluation.confidence.curve
    coverage = [100 * point.coverage for point in curve]
    errors = [100 * point.error for point in curve]
    axes.plot(coverage, errors, color=ACCENT, linewidth=2)
    axes.set(xlim=(0, 100), xlabel="most confident images, %", ylabel="wrong among them, %")
    axes.set_ylim(0, max(1.0, 1.08 * max(errors)))


@contextmanager
def _style() -> Iterator[None]:
    from matplotlib import rc_context

    settings: Any = {
        "svg.fonttype": "none",
        "svg.hashsalt": "hematovision",
        "font.size": 10,
        "text.color": INK,
        "axes.labelcolor": INK,
        "axes.edgecolor": QUIET,
        "axes.spines.top": False,
        "axes.spines.right": False,
        "axes.grid": True,
        "axes.axisbelow": True,
        "grid.color": LINE,
        "grid.linewidth": 0.8,
        "xtick.color": QUIET,
        "ytick.color": QUIET,
    }
    with rc_context(settings):
        yield


def _svg(figure: Figure, name: str) -> str:
    written = io.StringIO()
    figure.savefig(written, format="svg", transparent=True, metadata={"Date": None})
    svg = written.getvalue()
    svg = svg[svg.index("<svg") :]
    svg = re.sub(r"<metadata>.*?</metadata>", "", svg, flags=re.DOTALL)
    svg = re.sub(r' (width|height)="[\d.]+pt"', "", svg, count=2)
    svg = re.sub(r"font: ([\d.]+)px[^;\"]*", r"font-size: \1px", svg)
    for colour, paint in PAINTS.items():
        svg = svg.replace(colour, paint)
    # Two pictures on one page must not share the ids of their parts.
    svg = re.sub(r'id="([^"]+)"', rf'id="{name}-\1"', svg)
    svg = re.sub(r'(href="#|url\(#)', rf"\1{name}-", svg)
    return svg.replace("<svg ", '<svg aria-hidden="true" ', 1)
