"""What was said of every judged image, as a CSV table."""

from __future__ import annotations

import csv
from collections.abc import Iterator
from pathlib import Path

from ml.dataset import Sample
from ml.inference import Prediction
from ml.judging import Judged
from ml.predict import harmless

TABLE = "predictions.csv"
KNOWN = ("file", "source", "group", "truth")
SAID = ("class", "right", "confidence", "outcome", "candidates", "reason", "familiarity", "box")


def write_predictions(judged: Judged, out: Path) -> None:
    """Write one row an image: where it is from, its label, and what was said of it."""
    out.mkdir(parents=True, exist_ok=True)
    with (out / TABLE).open("w", newline="", encoding="utf-8") as file:
        # Quoted throughout: some spreadsheets split cells at semicolons, too.
        writer = csv.writer(file, quoting=csv.QUOTE_ALL, lineterminator="\n")
        writer.writerow((*KNOWN, *SAID, *(f"probability_{name}" for name in judged.classes)))
        for sample, found in zip(judged.samples, judged.predictions, strict=True):
            writer.writerow([harmless(cell) for cell in _cells(sample, found)])


def _cells(sample: Sample, found: Prediction) -> Iterator[str]:
    yield from (sample.file, sample.source, sample.group or "", sample.label)
    yield from (found.label, "yes" if found.label == sample.label else "no")
    yield from (f"{found.confidence:.6f}", str(found.outcome))
    yield from (" | ".join(found.candidates), found.reason)
    yield "" if found.familiarity is None else f"{found.familiarity:.4f}"
    box = found.box
    edges = (box.left, box.top, box.right, box.bottom) if box else ()
    yield " ".join(f"{edge:.4f}" for edge in edges)
    yield from (f"{value:.6f}" for value in found.probabilities)
