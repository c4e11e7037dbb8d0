"""Which images a score may rest on, and what is said of it."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from ml.bundle import Bundle
from ml.cells import FOUR_CLASSES
from ml.dataset import LeakingSplit, Sample, read_folder
from ml.evaluation import LEAK_WARNING, Evaluation, choose, evaluate
from ml.images import Pixels
from ml.inference import Classifier, Probabilities
from ml.reporting import as_text, write_report


class Colour:
    """A classifier that takes every image for the class its brightness stands for."""

    backend, device = "test", "cpu"

    def __init__(self, bundle: Bundle) -> None:
        self.bundle = bundle

    def classify(self, batch: Pixels) -> Probabilities:
        """One-hot rows: class 0 for the darkest quarter of brightness, and so on."""
        places = batch.mean(axis=(1, 2, 3)) // 64
        rows: Probabilities = np.eye(4, dtype=np.float32)[places.astype(int)]
        return rows


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Test images of 2 photographs a class, 3 copies each; one photograph of class 0 looks like
    class 1. The training part has photographs of its own."""
    rows = ["split,label,file,source_image"]
    for place, label in enumerate(FOUR_CLASSES):
        for split, photograph in (("TEST", 0), ("TEST", 1), ("TRAIN", 2), ("TRAIN", 3)):
            shade = 96 if (place, photograph) == (0, 1) else place * 64 + 32
            for copy in range(3):
                file = tmp_path / "set" / split / label / f"{photograph}{copy}.png"
                file.parent.mkdir(parents=True, exist_ok=True)
                Image.new("L", (8, 8), shade).save(file)
                rows.append(f"{split},{label},{file.name},{label}{photograph}")
    (tmp_path / "set" / "source_map.csv").write_text("\n".join(rows))
    return tmp_path / "set"


@pytest.fixture
def classifier(shipped: Bundle) -> Classifier:
    return Colour(shipped)


def silent(stage: str, done: float, note: str) -> None:
    """Show no progress."""


def judged(classifier: Classifier, folder: Path, split: str) -> Evaluation:
    chosen = choose(read_folder(folder), FOUR_CLASSES, split)
    return evaluate(classifier, chosen, split, silent)


def test_the_shipped_split_is_scored_with_an_interval_over_photographs(
    classifier: Classifier, folder: Path
) -> None:
    found = judged(classifier, folder, "shipped")
    assert found.images == 24
    assert found.scores.accuracy == 21 / 24
    assert found.scores.matrix[0] == (3, 3, 0, 0)
    assert not found.leaking
    interval = found.intervals["accuracy"]
    assert (interval.low, interval.high, interval.units) == (0.75, 1.0, 8)


def test_a_random_split_is_scored_but_called_leaking(classifier: Classifier, folder: Path) -> None:
    found = judged(classifier, folder, "random")
    assert found.leaking
    assert found.intervals == {}
    assert as_text(found).startswith(LEAK_WARNING)
    assert as_text(found).rstrip().endswith(LEAK_WARNING)


def test_a_shipped_split_that_cuts_a_photograph_is_refused(folder: Path) -> None:
    samples = [replace(sample, group="same") for sample in read_folder(folder)]
    with pytest.raises(LeakingSplit, match="both sides"):
        choose(samples, FOUR_CLASSES, "shipped")


def test_a_set_without_photographs_has_no_accuracy_unless_called_leaking(folder: Path) -> None:
    samples = [replace(sample, group=None) for sample in read_folder(folder)]
    with pytest.raises(LeakingSplit, match="unknown which photograph"):
        choose(samples, FOUR_CLASSES, "shipped")
    assert choose(samples, FOUR_CLASSES, "random")


def test_a_set_without_a_test_part_says_what_to_do(folder: Path) -> None:
    samples = [replace(sample, split="") for sample in read_folder(folder)]
    with pytest.raises(LeakingSplit, match=r"--split whole.*--split random"):
        choose(samples, FOUR_CLASSES, "shipped")


def test_a_set_never_trained_on_may_be_judged_whole_without_an_interval(
    classifier: Classifier, folder: Path
) -> None:
    samples = [replace(s, group=None, split="") for s in read_folder(folder)]
    chosen = [s for s in choose(samples, FOUR_CLASSES, "whole") if s.label != "eosinophil"]
    found = evaluate(classifier, chosen, "whole", silent)
    assert found.scores.accuracy == 1
    assert found.intervals == {}
    assert "No interval" in as_text(found)


def test_a_set_trained_on_may_not_be_judged_whole(
    classifier: Classifier, bccd4: list[Sample]
) -> None:
    with pytest.raises(LeakingSplit, match="trained on images of bccd4"):
        evaluate(classifier, bccd4[:4], "whole", silent)


def test_a_class_that_a_set_lacks_or_the_bundle_does_not_know_is_left_out(folder: Path) -> None:
    samples = [s for s in read_folder(folder) if s.label != "monocyte"]
    samples.append(replace(samples[0], label="platelet", group="p", split="test"))
    labels = {s.label for s in choose(samples, FOUR_CLASSES, "shipped")}
    assert labels == {"eosinophil", "lymphocyte", "neutrophil"}


def test_the_report_is_text_json_and_picture(
    classifier: Classifier, folder: Path, tmp_path: Path
) -> None:
    found = judged(classifier, folder, "shipped")
    write_report(found, tmp_path / "out")
    text = (tmp_path / "out" / "report.txt").read_text()
    document = json.loads((tmp_path / "out" / "report.json").read_text())
    assert "eosinophil                 1.000     0.500     0.667         6" in text
    assert "accuracy                   0.875   95 % interval 0.750 to 1.000, over 8 phot" in text
    assert document["scores"]["classes"][0]["support"] == 6
    assert document["digest"] == classifier.bundle.digest
    with Image.open(tmp_path / "out" / "confusion.png") as picture:
        assert min(picture.size) > 400
        assert len(picture.convert("RGB").getcolors(1 << 24) or []) > 20


def test_the_shipped_bundle_holds_its_promise_on_the_real_test_split(
    by_onnxruntime: Classifier, bccd4: list[Sample]
) -> None:
    """One copy of each of the 71 test photographs; at a third of them right it would be chance."""
    test = choose(bccd4, FOUR_CLASSES, "shipped")
    one_each = list({sample.group: sample for sample in test}.values())
    found = evaluate(by_onnxruntime, one_each, "shipped", silent)
    assert found.images == 71
    assert found.scores.accuracy > 0.8
