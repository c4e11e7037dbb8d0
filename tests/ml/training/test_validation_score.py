"""What passes of training are chosen by."""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from ml.data import Labelled, Sample
from ml.training.fitting import ClassRecall, validation_score

CLASSES = ("eosinophil", "lymphocyte")


def labelled(*cells: tuple[str, str]) -> Labelled:
    """Cells as (class, data folder)."""
    samples = [Sample(Path("x"), "x", label, source, "", "x") for label, source in cells]
    truth = np.array([CLASSES.index(label) for label, _ in cells], np.int64)
    return Labelled(tuple(samples), np.zeros((len(cells), 1, 1, 3), np.uint8), truth)


def test_every_class_of_every_folder_counts_alike() -> None:
    data = labelled(*[("eosinophil", "a")] * 3, ("lymphocyte", "a"), ("eosinophil", "b"))
    rows = np.array([[0.8, 0.2], [0.8, 0.2], [0.4, 0.6], [0.5, 0.5], [0.2, 0.8]], np.float32)
    score = validation_score(rows, data, CLASSES)
    assert score.sources == {
        "a": {"eosinophil": ClassRecall(2 / 3, 3), "lymphocyte": ClassRecall(0.0, 1)},
        "b": {"eosinophil": ClassRecall(0.0, 1)},
    }
    assert score.recall == pytest.approx((2 / 3 + 0 + 0) / 3)
    assert score.accuracy == pytest.approx(2 / 5)
    means = [-(2 * math.log(0.8) + math.log(0.4)) / 3, -math.log(0.5), -math.log(0.2)]
    assert score.nll == pytest.approx(sum(means) / 3, rel=1e-5)


def test_a_probability_of_nothing_has_a_finite_cost() -> None:
    rows = np.array([[0.0, 1.0]], np.float32)
    assert math.isfinite(validation_score(rows, labelled(("eosinophil", "a")), CLASSES).nll)


def test_recall_comes_first_and_sureness_breaks_ties() -> None:
    now = validation_score(
        np.array([[0.6, 0.4]], np.float32), labelled(("eosinophil", "a")), CLASSES
    )
    assert now.beats(None)
    assert not now.beats(now)
    assert now.beats(replace(now, recall=0.9, nll=0.1))
    assert now.beats(replace(now, nll=now.nll + 0.1))
