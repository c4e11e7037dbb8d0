"""One contract for every backend, and which backend is chosen where."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from lexicon.verdicts import Box
from ml.bundle import Bundle
from ml.decoding import Pixels
from ml.reading import Location, Reading, Sight
from ml.serving import Classifier, classify_readings, load_classifier
from ml.serving.inference import NoGpu, gpu_possible, visible_gpus
from ml.serving.looking import outputs_of


@pytest.fixture(params=["by_onnxruntime", "exact", "by_tensorflow"])
def classifier(request: pytest.FixtureRequest) -> Classifier:
    """The shipped bundle by each backend."""
    backend: Classifier = request.getfixturevalue(request.param)
    return backend


def test_it_says_what_it_runs_and_where(classifier: Classifier, shipped: Bundle) -> None:
    assert classifier.bundle is shipped
    expected = {"onnxruntime int8": "cpu", "onnxruntime": "cpu", "tensorflow": "gpu"}
    assert classifier.device == expected[classifier.backend]


def test_outputs_are_a_row_an_image(classifier: Classifier, crops: Pixels, shipped: Bundle) -> None:
    outputs = classifier.classify(crops[:5])
    assert outputs.logits.shape == (5, len(shipped.metadata.classes))
    assert outputs.features.shape == (5, 1280)
    assert outputs.logits.dtype == outputs.features.dtype == np.float32


def test_the_features_are_the_mean_of_the_activations(
    classifier: Classifier, crops: Pixels
) -> None:
    maps = classifier.activations(crops[:3])
    features = classifier.classify(crops[:3]).features
    assert maps.shape[:2] == (3, 1280)
    assert np.abs(maps.mean(axis=(2, 3)) - features).max() < 1e-5


def test_both_backends_give_the_same_activations(
    exact: Classifier, by_tensorflow: Classifier, crops: Pixels
) -> None:
    by_onnx, by_gpu_backend = (backend.activations(crops[:4]) for backend in (exact, by_tensorflow))
    assert np.abs(by_onnx - by_gpu_backend).max() < 1e-3


def test_an_image_scores_the_same_in_any_company(classifier: Classifier, crops: Pixels) -> None:
    together = classifier.classify(crops[:7]).logits
    alone = [classifier.classify(crops[index : index + 1]).logits for index in range(7)]
    assert np.abs(together - np.concatenate(alone)).max() < 1e-4


def test_no_images_give_no_rows(classifier: Classifier, crops: Pixels) -> None:
    assert classifier.classify(crops[:0]).logits.shape[0] == 0
    assert classify_readings(classifier, []) == []


@pytest.mark.parametrize("wrong", ["dtype", "side", "channels", "single"])
def test_a_batch_of_another_kind_is_refused(
    classifier: Classifier, crops: Pixels, wrong: str
) -> None:
    batch = {
        "dtype": crops[:2].astype(np.float32),
        "side": crops[:2, 1:],
        "channels": crops[:2, :, :, :1],
        "single": crops[0],
    }[wrong]
    with pytest.raises(ValueError, match="The network takes uint8"):
        classifier.classify(batch)


def test_predictions_follow_the_logits_and_carry_the_box(
    classifier: Classifier, crops: Pixels
) -> None:
    box = Box(0.1, 0.2, 0.8, 0.9)
    readings = [Reading(image, Location(Sight.ONE, box)) for image in crops[:6]]
    logits = outputs_of(classifier, crops[:6]).logits
    verdicts = classify_readings(classifier, readings)
    names = classifier.bundle.metadata.classes
    assert [verdict.label for verdict in verdicts] == [names[int(row.argmax())] for row in logits]
    for verdict in verdicts:
        assert verdict.confidence == max(verdict.probabilities)
        assert sum(verdict.probabilities) == pytest.approx(1)
        assert verdict.box == box
        assert verdict.label == verdict.candidates[0]


def test_without_a_gpu_the_cpu_is_taken(shipped: Bundle) -> None:
    assert load_classifier(shipped, gpus=lambda: ()).backend.startswith("onnxruntime")


def test_who_asks_for_the_cpu_gets_it_and_no_gpu_is_looked_for(shipped: Bundle) -> None:
    def looked() -> tuple[str, ...]:
        raise AssertionError("the GPUs were listed")

    assert load_classifier(shipped, device="cpu", gpus=looked).device == "cpu"


def test_who_insists_on_a_gpu_is_told_that_there_is_none(shipped: Bundle) -> None:
    with pytest.raises(NoGpu, match="finds no GPU"):
        load_classifier(shipped, device="gpu", gpus=lambda: ())


def test_an_unknown_device_is_refused(shipped: Bundle) -> None:
    with pytest.raises(ValueError, match="'tpu' is not a device"):
        load_classifier(shipped, device="tpu")


@pytest.mark.parametrize(
    ("files", "visible", "possible"),
    [
        ([], None, False),
        (["nvidiactl"], None, False),
        (["nvidia0"], None, True),
        (["dxg"], None, True),
        (["nvidia0"], "0", True),
        (["nvidia0"], "", False),
        (["nvidia0"], "-1", False),
    ],
)
def test_whether_a_gpu_may_be_there_is_told_by_its_device_file(
    tmp_path: Path, files: list[str], visible: str | None, possible: bool
) -> None:
    for name in files:
        (tmp_path / name).touch()
    environment = {} if visible is None else {"CUDA_VISIBLE_DEVICES": visible}
    assert gpu_possible(environment, tmp_path) is possible


def test_hidden_gpus_are_not_listed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "-1")
    assert visible_gpus() == []


def test_a_cpu_classifier_loads_nothing_heavy() -> None:
    program = """
import os, sys
os.environ["CUDA_VISIBLE_DEVICES"] = "-1"
import numpy as np
from ml.serving import load_classifier, write_csv
from ml.bundle import Bundle, default_bundle_path
bundle = Bundle.load(default_bundle_path())
shape = bundle.metadata.shape
batch = np.zeros((1, shape.height, shape.width, 3), np.uint8)
load_classifier(bundle, threads=1).classify(batch)
heavy = {"tensorflow", "keras", "onnx", "tf2onnx", "matplotlib", "h5py", "scipy"} & set(sys.modules)
assert not heavy, heavy
"""
    subprocess.run([sys.executable, "-c", program], check=True, timeout=60)
