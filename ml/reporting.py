"""An evaluation as text, as JSON and as a picture of its confusion matrix."""

from __future__ import annotations

import json
from pathlib import Path

from ml.evaluation import LEAK_WARNING, Evaluation

TEXT, DATA, PICTURE = "report.txt", "report.json", "confusion.png"
AVERAGES = {
    "accuracy": "accuracy",
    "balanced_accuracy": "balanced accuracy",
    "macro_f1": "macro F1",
}


def write_report(evaluation: Evaluation, out: Path) -> None:
    """Write the text, the JSON and the picture into the folder `out`."""
    out.mkdir(parents=True, exist_ok=True)
    (out / TEXT).write_text(as_text(evaluation), encoding="utf-8")
    (out / DATA).write_text(as_json(evaluation), encoding="utf-8")
    draw_confusion(evaluation, out / PICTURE)


def as_json(evaluation: Evaluation) -> str:
    """The whole evaluation as JSON."""
    return json.dumps(evaluation.as_dict(), indent=2) + "\n"


def as_text(evaluation: Evaluation) -> str:
    """The classification report and the confusion matrix, for a terminal."""
    sections = [_heading(evaluation), _class_table(evaluation), _averages(evaluation)]
    sections.append(_matrix(evaluation))
    if evaluation.leaking:
        sections = [LEAK_WARNING, *sections, LEAK_WARNING]
    return "\n\n".join(sections) + "\n"


def draw_confusion(evaluation: Evaluation, path: Path) -> None:
    """Draw the confusion matrix as a PNG: counts, shaded by the share of their true class."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    labels = [entry.label.replace("_", " ") for entry in evaluation.scores.classes]
    figure = Figure(figsize=(1.1 * len(labels) + 2, 1.1 * len(labels) + 1.6), layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.add_subplot()
    axes.imshow(_shares(evaluation), cmap="Blues", vmin=0, vmax=1)
    axes.set_xticks(range(len(labels)), labels, rotation=30, ha="right")
    axes.set_yticks(range(len(labels)), labels)
    axes.set_xlabel("predicted")
    axes.set_ylabel("true")
    axes.set_title(_title(evaluation), fontsize=10)
    for row, shares in enumerate(_shares(evaluation)):
        for column, share in enumerate(shares):
            count = str(evaluation.scores.matrix[row][column])
            color = "white" if share > 0.5 else "black"
            axes.text(column, row, count, ha="center", va="center", color=color)
    figure.savefig(path, dpi=120)


def _title(evaluation: Evaluation) -> str:
    kind = "random split, LEAKING" if evaluation.leaking else f"{evaluation.split} split"
    return f"{evaluation.model}\n{', '.join(evaluation.sources)}, {kind}"


def _heading(evaluation: Evaluation) -> str:
    title = _title(evaluation).replace("\n", "\n  on ")
    return f"{title}: {evaluation.images} images"


def _class_table(evaluation: Evaluation) -> str:
    lines = [f"{'class':<22}{'precision':>10}{'recall':>10}{'F1':>10}{'support':>10}"]
    for entry in evaluation.scores.classes:
        shares = f"{entry.precision:>10.3f}{entry.recall:>10.3f}{entry.f1:>10.3f}"
        lines.append(f"{entry.label:<22}{shares}{entry.support:>10}")
    return "\n".join(lines)


def _averages(evaluation: Evaluation) -> str:
    lines = []
    for key, label in AVERAGES.items():
        line = f"{label:<22}{getattr(evaluation.scores, key):>10.3f}"
        if key in evaluation.intervals:
            found = evaluation.intervals[key]
            line += f"   95 % interval {found.low:.3f} to {found.high:.3f}"
            line += f", over {found.units} photographs"
        lines.append(line)
    if not evaluation.intervals:
        lines.append("No interval: the images are not independent, or their photographs unknown.")
    return "\n".join(lines)


def _matrix(evaluation: Evaluation) -> str:
    labels = [entry.label for entry in evaluation.scores.classes]
    width = max(len(label) for label in labels) + 2
    lines = ["confusion matrix: rows are true, columns predicted"]
    lines.append(" " * width + "".join(f"{label:>{width}}" for label in labels))
    for label, row in zip(labels, evaluation.scores.matrix, strict=True):
        lines.append(f"{label:<{width}}" + "".join(f"{count:>{width}}" for count in row))
    return "\n".join(lines)


def _shares(evaluation: Evaluation) -> list[list[float]]:
    """Each row of the confusion matrix as shares of its sum."""
    return [[count / max(1, sum(row)) for count in row] for row in evaluation.scores.matrix]
