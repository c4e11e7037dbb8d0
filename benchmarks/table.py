"""What is measured, in rows: each a ratio of two things that were measured in the same run."""

from __future__ import annotations

import json
import platform
import statistics
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from importlib.metadata import version
from pathlib import Path

import onnxruntime
from rich.console import Console
from rich.table import Table

from worker.main import available_cores

_PACKAGES = (
    "onnxruntime",
    "celery",
    "sqlalchemy",
    "flask",
    "pillow",
    "simplejpeg",
    "opencv-python-headless",
)


@dataclass(frozen=True)
class Row:
    """One thing against another. ``ratios`` are of as many pairs, ``figure`` says what the thing
    itself came to, ``aim`` what it should come to."""

    what: str
    against: str
    ratios: tuple[float, ...]
    figure: str
    aim: str = ""

    @property
    def median(self) -> float:
        """The middle ratio."""
        return statistics.median(self.ratios)


def row_of(
    what: str, against: str, ours: Sequence[float], theirs: Sequence[float], aim: str = ""
) -> Row:
    """A row of speeds in images/s, ours and theirs in turn."""
    ratios = tuple(our / their for our, their in zip(ours, theirs, strict=True))
    return Row(what, against, ratios, f"{statistics.median(ours):,.0f} images/s", aim)


def machine() -> dict[str, object]:
    """What the figures were measured on."""
    return {
        "processor": _processor(),
        "cores": available_cores(),
        "system": f"{platform.system()} {platform.machine()}",
        "python": platform.python_version(),
        "providers": onnxruntime.get_available_providers(),
        "packages": {name: version(name) for name in _PACKAGES},
    }


def show(rows: Sequence[Row]) -> None:
    """Print the rows as one table."""
    table = Table("what", "against", "ratio", "from", "to", "pairs", "aim", "figure", box=None)
    for row in rows:
        numbers = (row.median, min(row.ratios), max(row.ratios))
        shown = (f"{number:.3g}" for number in numbers)
        table.add_row(row.what, row.against, *shown, str(len(row.ratios)), row.aim, row.figure)
    Console().print(table)


def write(rows: Sequence[Row], folder: Path) -> None:
    """Write the rows as benchmarks.json and benchmarks.png."""
    folder.mkdir(parents=True, exist_ok=True)
    document = {
        "machine": machine(),
        "rows": [asdict(row) | {"median": row.median} for row in rows],
    }
    (folder / "benchmarks.json").write_text(json.dumps(document, indent=2) + "\n", encoding="utf-8")
    _draw(rows, folder / "benchmarks.png")


def _draw(rows: Sequence[Row], path: Path) -> None:
    from matplotlib.figure import Figure

    figure = Figure(figsize=(9, 0.45 * len(rows) + 1), layout="constrained")
    axes = figure.subplots()
    heights = range(len(rows))[::-1]
    for height, row in zip(heights, rows, strict=True):
        axes.plot(row.ratios, [height] * len(row.ratios), "|", color="#888", markersize=10)
        axes.plot(row.median, height, "o", color="#7a1f5c")
        axes.annotate(f"{row.median:.3g}", (row.median, height), (6, 5), textcoords="offset points")
    axes.axvline(1, color="#bbb", linewidth=1)
    axes.set_xscale("log")
    axes.set_xlabel("ratio in the same run (marks: single pairs; dot: median)")
    axes.set_yticks(
        list(heights), [f"{row.what}\nagainst {row.against}" for row in rows], fontsize=8
    )
    figure.savefig(path, dpi=150)


def _processor() -> str:
    info = Path("/proc/cpuinfo")
    lines = info.read_text(encoding="utf-8").splitlines() if info.exists() else []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor()
