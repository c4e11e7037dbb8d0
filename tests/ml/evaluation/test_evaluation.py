"""Which images a score may rest on, and what is said of it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from lexicon.outcomes import Outcome
from ml.answers import Outputs
from ml.bundle import Architecture, Bundle, Metadata
from ml.data import DataError, LeakingSplit, Sample, read_folder
from ml.data.dataset import random_protocol
from ml.decoding import InputShape, Pixels
from ml.evaluation.choosing import Choice, choose
from ml.evaluation.evaluate import Evaluation, evaluate
from ml.evaluation.judging import Judged, judge
from ml.reading import Preprocessing
from ml.serving import Classifier
from ml.training.recipes.recipe import FOUR_CLASSES
from ml.trust import Trust

CERTAIN = 20.0


class Colour:
    """A classifier that takes every image for the class its brightness stands for."""

    backend, device = "test", "cpu"

    def __init__(self, bundle: Bundle) -> None:
        self.bundle = bundle
        self.trust = Trust.load(bundle)

    def classify(self, batch: Pixels) -> Outputs:
        """Sure of class 0 for the darkest quarter of brightness, and so on."""
        shades = batch.mean(axis=(1, 2, 3))
        logits = CERTAIN * np.eye(4, dtype=np.float32)[(shades // 64).astype(int)]
        return Outputs(logits, shades[:, np.newaxis].astype(np.float32))

    def activations(self, batch: Pixels) -> NDArray[np.float32]:
        """Its brightness is all that it looks at."""
        grey: NDArray[np.float32] = batch.mean(axis=3, dtype=np.float32)
        return grey[:, np.newaxis]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Test images of 2 photographs a class, 3 copies each; one photograph of class 0 looks like
    class 1. The training part has photographs of its own."""
    rows = ["split,label,file,source_image"]
    for number, label in enumerate(FOUR_CLASSES):
        for split, photograph in (("TEST", 0), ("TEST", 1), ("TRAIN", 2), ("TRAIN", 3)):
            shade = 96 if (number, photograph) == (0, 1) else number * 64 + 32
            for copy in range(3):
                file = tmp_path / "set" / split / label / f"{photograph}{copy}.png"
                file.parent.mkdir(parents=True, exist_ok=True)
                Image.new("L", (8, 8), shade).save(file)
                rows.append(f"{split},{label},{file.name},{label}{photograph}")
    (tmp_path / "set" / "source_map.csv").write_text("\n".join(rows))
    return tmp_path / "set"


@pytest.fixture
def bundle(tmp_path: Path) -> Bundle:
    """A bundle of four classes that was trained on a set called elsewhere."""
    metadata = replace(_metadata(), data={"sources": ["elsewhere"]})
    return Bundle(tmp_path, metadata, "c0" * 32)


@pytest.fixture
def classifier(bundle: Bundle) -> Classifier:
    return Colour(bundle)


def silent(stage: str, done: float, note: str) -> None:
    """Show no progress."""


Evaluated = Callable[..., tuple[Evaluation, Judged]]


@pytest.fixture
def evaluated(classifier: Classifier) -> Evaluated:
    """Judges samples by a split."""

    def run(samples: list[Sample], split: str = "shipped") -> tuple[Evaluation, Judged]:
        choice = choose(samples, classifier.bundle, split)
        judged = judge(classifier, choice.samples, silent)
        return evaluate(classifier.bundle, choice, judged), judged

    return run


def test_the_shipped_split_is_scored_with_an_interval_over_photographs(
    evaluated: Evaluated, folder: Path
) -> None:
    evaluation, _ = evaluated(read_folder(folder))
    assert (evaluation.images, evaluation.split, evaluation.leaking) == (24, "shipped", False)
    assert evaluation.forced.scores.accuracy == 21 / 24
    assert evaluation.forced.scores.matrix[0] == (3, 3, 0, 0)
    interval = evaluation.forced.intervals["accuracy"]
    assert (interval.low, interval.high, interval.units) == (0.75, 1.0, 8)
    recall = evaluation.forced.class_intervals["eosinophil"]["recall"]
    assert (recall.low, recall.high, recall.units) == (0.0, 1.0, 2)
    assert evaluation.model == "colour 1 (c0c0c0c0c0c0)"


def test_an_evaluation_is_the_same_every_time(evaluated: Evaluated, folder: Path) -> None:
    assert evaluated(read_folder(folder))[0] == evaluated(read_folder(folder))[0]


def test_a_random_split_is_scored_but_called_leaking(evaluated: Evaluated, folder: Path) -> None:
    evaluation, _ = evaluated(read_folder(folder), "random")
    assert evaluation.leaking
    assert evaluation.forced.intervals == {}
    assert evaluation.forced.class_intervals == {}
    assert evaluation.workload[0].sent_interval is None


def test_a_random_split_is_what_a_bundle_of_the_random_protocol_did_not_learn_from(
    folder: Path, bundle: Bundle
) -> None:
    samples = read_folder(folder)
    chosen = []
    for seed in (3, 4):
        data = {"leaking": True, "split": {"seed": seed}}
        trained = replace(bundle, metadata=replace(bundle.metadata, data=data))
        learnt, _ = random_protocol(samples, FOUR_CLASSES, seed)
        chosen.append({sample.file for sample in choose(samples, trained, "random").samples})
        assert not chosen[-1] & {sample.file for sample in learnt}
        assert len(chosen[-1]) + len(learnt) == 24
    assert chosen[0] != chosen[1]


def test_a_shipped_split_that_cuts_a_photograph_is_refused(folder: Path, bundle: Bundle) -> None:
    samples = [replace(sample, group="same") for sample in read_folder(folder)]
    with pytest.raises(LeakingSplit, match="both sides"):
        choose(samples, bundle, "shipped")


def test_a_set_without_photographs_has_no_accuracy_unless_called_leaking(
    folder: Path, bundle: Bundle
) -> None:
    samples = [replace(sample, group=None) for sample in read_folder(folder)]
    with pytest.raises(LeakingSplit, match="not known which photograph"):
        choose(samples, bundle, "shipped")
    assert choose(samples, bundle, "random").samples


def test_a_set_without_a_test_part_says_what_to_do(folder: Path, bundle: Bundle) -> None:
    samples = [replace(sample, split="") for sample in read_folder(folder)]
    with pytest.raises(LeakingSplit, match=r"--split whole.*--split random"):
        choose(samples, bundle, "shipped")


def test_of_several_folders_each_needs_a_test_part(folder: Path, bundle: Bundle) -> None:
    samples = read_folder(folder)
    others = [replace(sample, split="", source="bare") for sample in samples]
    with pytest.raises(LeakingSplit, match="folder bare does not say"):
        choose([*samples, *others], bundle, "shipped")


def test_a_part_that_the_authors_made_can_be_judged_by(
    evaluated: Evaluated, folder: Path, bundle: Bundle
) -> None:
    samples = read_folder(folder)
    first = [s.split == "test" and s.path.name == "00.png" for s in samples]
    small = [
        replace(sample, split="small") if wanted else sample
        for sample, wanted in zip(samples, first, strict=True)
    ]
    evaluation, _ = evaluated(small, "SMALL")
    assert (evaluation.images, evaluation.split) == (4, "SMALL")
    with pytest.raises(LeakingSplit, match=r"no part 'large'; its parts are small, test"):
        choose(small, bundle, "large")
    with pytest.raises(LeakingSplit, match="for training"):
        choose(small, bundle, "train")


def test_a_set_never_trained_on_may_be_judged_whole_without_an_interval(
    evaluated: Evaluated, folder: Path
) -> None:
    samples = [replace(s, group=None, split="") for s in read_folder(folder)]
    evaluation, _ = evaluated([s for s in samples if s.label != "eosinophil"], "whole")
    assert evaluation.forced.scores.accuracy == 1
    assert evaluation.forced.intervals == {}
    assert evaluation.lacking == ("eosinophil",)


def test_a_set_trained_on_may_not_be_judged_whole(folder: Path, bundle: Bundle) -> None:
    samples = [replace(sample, source="elsewhere") for sample in read_folder(folder)]
    with pytest.raises(LeakingSplit, match="trained on images of elsewhere"):
        choose(samples, bundle, "whole")


def test_a_class_that_the_bundle_does_not_know_is_left_out_and_counted(
    folder: Path, bundle: Bundle
) -> None:
    samples = [s for s in read_folder(folder) if s.label != "monocyte"]
    samples.append(replace(samples[0], label="platelet", group="p", split="test"))
    choice = choose(samples, bundle, "shipped")
    assert {s.label for s in choice.samples} == {"eosinophil", "lymphocyte", "neutrophil"}
    assert choice.left_out == {"platelet": 1}
    assert choice.lacking == ("monocyte",)


def test_one_class_alone_is_not_enough_to_judge_by(folder: Path, bundle: Bundle) -> None:
    samples = [s for s in read_folder(folder) if s.label == "monocyte"]
    with pytest.raises(DataError, match="one class, monocyte; at least two"):
        choose(samples, bundle, "shipped")


def test_a_set_of_other_classes_says_which_ones_the_bundle_knows(
    folder: Path, bundle: Bundle
) -> None:
    samples = [replace(sample, label="platelet") for sample in read_folder(folder)]
    with pytest.raises(DataError, match=r"\(platelet\)\. It knows eosinophil, lymph"):
        choose(samples, bundle, "shipped")


def test_an_image_that_can_not_be_read_is_named(classifier: Classifier, folder: Path) -> None:
    samples = choose(read_folder(folder), classifier.bundle, "shipped").samples
    samples[3].path.write_bytes(b"nothing")
    with pytest.raises(DataError, match=f"{samples[3].file} can't be used: .*not an image"):
        judge(classifier, samples, silent)


def test_accepted_images_are_scored_apart(evaluated: Evaluated, folder: Path) -> None:
    """The three wrong ones are made uncertain: what is accepted is then all right."""
    evaluation, judged = evaluated(read_folder(folder))
    assert evaluation.accepted == evaluation.forced
    unsure = tuple(
        verdict if right else replace(verdict, outcome=Outcome.UNCERTAIN)
        for verdict, right in zip(judged.verdicts, judged.right, strict=True)
    )
    again = evaluate(
        Bundle(folder, _metadata(), "d"),
        Choice(judged.samples, "shipped", {}, ()),
        replace(judged, verdicts=unsure),
    )
    assert again.forced == evaluation.forced
    assert again.accepted is not None
    assert (again.accepted.images, again.accepted.scores.accuracy) == (21, 1.0)


def test_classes_with_few_training_images_are_scored_apart(
    evaluated: Evaluated, folder: Path
) -> None:
    evaluation, judged = evaluated(read_folder(folder))
    assert evaluation.large is None
    choice = Choice(judged.samples, "shipped", {}, ())
    metadata = replace(_metadata(), data={"few_shot": ["eosinophil"]})
    again = evaluate(Bundle(folder, metadata, "d"), choice, judged)
    assert again.few_shot == ("eosinophil",)
    assert again.large is not None
    assert (again.large.images, again.large.scores.accuracy) == (18, 1.0)
    wider = evaluate(Bundle(folder, metadata, "d"), choice, judged, ["monocyte"])
    assert wider.apart == ("monocyte",)
    assert wider.large is not None
    assert wider.large.images == 12


def test_several_sources_are_scored_together_and_each_alone(
    evaluated: Evaluated, folder: Path
) -> None:
    samples = read_folder(folder)
    assert evaluated(samples)[0].by_source == {}
    other = [replace(s, source="other") for s in samples if s.label != "eosinophil"]
    evaluation, _ = evaluated([*samples, *other])
    assert evaluation.sources == ("other", "set")
    assert evaluation.by_source["other"].scores.accuracy == 1
    assert evaluation.by_source["set"].scores.accuracy == 21 / 24
    assert [entry.images for entry in evaluation.outcomes_by_source] == [18, 24]
    assert evaluation.forced.intervals["accuracy"].units == 14


def test_the_shipped_bundle_holds_its_promise_on_the_real_test_split(
    by_onnxruntime: Classifier, bccd4: list[Sample]
) -> None:
    """One copy of each of the 71 test photographs; at a third of them right it would be chance."""
    choice = choose(bccd4, by_onnxruntime.bundle, "shipped")
    one_each = tuple({sample.group: sample for sample in choice.samples}.values())
    judged = judge(by_onnxruntime, one_each, silent)
    evaluation = evaluate(by_onnxruntime.bundle, replace(choice, samples=one_each), judged)
    assert evaluation.images == 71
    assert evaluation.forced.scores.accuracy > 0.8


def _metadata() -> Metadata:
    return Metadata(
        name="colour",
        version="1",
        classes=FOUR_CLASSES,
        shape=InputShape(8, 8),
        architecture=Architecture(),
        preprocessing=Preprocessing(),
    )
