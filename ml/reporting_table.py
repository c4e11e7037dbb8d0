"""The answers for all judged images, as a CSV table."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from lexicon import results
from lexicon.verdicts import Verdict
from ml.dataset import Sample
from ml.judging import Judged

TABLE = "predictions.csv"
KNOWN = ("file", "source", "group", "truth")


def write_predictions(judged: Judged, out: Path) -> None:
    """Write one row per image: its source, its label, and the answer."""
    out.mkdir(parents=True, exist_ok=True)
    with (out / TABLE).open("w", newline="", encoding="utf-8") as file:
        table = results.Table(file)
        label, *rest = results.VERDICT_COLUMNS
        shares = results.probability_columns(judged.classes)
        table.write((*KNOWN, label, "right", *rest, *shares))
        for sample, verdict in zip(judged.samples, judged.predictions, strict=True):
            table.write(_cells(sample, verdict))


def _cells(sample: Sample, verdict: Verdict) -> Iterator[str]:
    yield from (sample.file, sample.source, sample.group or "", sample.label)
    label, *rest = results.texts(verdict).values()
    yield from (label, "yes" if label == sample.label else "no", *rest)
    yield from map(results.number, verdict.probabilities)
