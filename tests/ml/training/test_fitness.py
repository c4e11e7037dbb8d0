"""Whether a small network answers as the large one, and which cells a bundle shows beside new
ones: on networks and images made for it."""

from __future__ import annotations

import io
import warnings
from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx
import pytest
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper
from PIL import Image

from ml.answers import Outputs
from ml.bundle import Architecture, Bundle
from ml.data import Labelled, Sample
from ml.decoding import InputShape, Pixels
from ml.metrics import mcnemar
from ml.serving.neighbours import References
from ml.training.quantization import LEAST_P, Fitness, fitness
from ml.training.recipes.recipe import Recipe

SIDE = 4


def network(path: Path, order: tuple[int, int, int]) -> Path:
    """Write a network whose logits are the mean red, green and blue of an image, in some order."""
    image = helper.make_tensor_value_info("image", TensorProto.UINT8, ["batch", SIDE, SIDE, 3])
    logits = helper.make_tensor_value_info("logits", TensorProto.FLOAT, ["batch", 3])
    nodes = [
        helper.make_node("Cast", ["image"], ["floats"], to=TensorProto.FLOAT),
        helper.make_node("ReduceMean", ["floats"], ["means"], axes=[1, 2], keepdims=0),
        helper.make_node("Gather", ["means", "order"], ["logits"], axis=1),
    ]
    indices = numpy_helper.from_array(np.array(order, np.int64), "order")
    graph = helper.make_graph(nodes, "colours", [image], [logits], [indices])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)
    onnx.save_model(model, str(path))
    return path


def coloured(channels: NDArray[np.int64]) -> Pixels:
    """Images that are brightest in one channel each."""
    images = np.full((len(channels), SIDE, SIDE, 3), 40, np.uint8)
    images[np.arange(len(channels)), :, :, channels] = 200
    return images


def test_a_network_held_against_itself_agrees_in_everything(tmp_path: Path) -> None:
    plain = network(tmp_path / "plain.onnx", (0, 1, 2))
    channels = np.arange(37) % 3
    found = fitness(plain, plain, coloured(channels), channels)
    assert found == Fitness(37, 1.0, 0, 0, 1.0)
    assert found.fit


def test_each_image_is_counted_where_just_one_network_was_right(tmp_path: Path) -> None:
    """The other network takes green for blue and blue for green: of 20 red, 9 green and 4 blue
    images that are what they look like, and 6 green ones that are labelled blue."""
    plain = network(tmp_path / "plain.onnx", (0, 1, 2))
    other = network(tmp_path / "other.onnx", (0, 2, 1))
    channels = np.repeat([0, 1, 2, 1], [20, 9, 4, 6])
    truth = np.repeat([0, 1, 2, 2], [20, 9, 4, 6])
    found = fitness(plain, other, coloured(channels), truth)
    assert found.images == 39
    assert found.agreement == pytest.approx(20 / 39)
    assert (found.only_int8, found.only_float) == (6, 13)
    assert found.p == pytest.approx(mcnemar(6, 13))


def test_a_network_that_is_worse_beyond_chance_is_not_used(tmp_path: Path) -> None:
    plain = network(tmp_path / "plain.onnx", (0, 1, 2))
    other = network(tmp_path / "other.onnx", (1, 0, 2))
    channels = np.repeat([0, 2], [12, 30])
    found = fitness(plain, other, coloured(channels), channels)
    assert (found.only_int8, found.only_float) == (0, 12)
    assert found.p < LEAST_P
    assert not found.fit


@pytest.mark.parametrize(
    ("only_int8", "only_float", "fit"),
    [(0, 5, True), (0, 6, False), (5, 0, True), (20, 20, True), (10, 30, False), (90, 110, True)],
)
def test_it_is_fit_as_long_as_chance_may_explain_the_difference(
    only_int8: int, only_float: int, fit: bool
) -> None:
    found = Fitness(500, 0.9, only_int8, only_float, mcnemar(only_int8, only_float))
    assert found.fit is fit


@pytest.fixture(scope="module")
def chosen(shipped: Bundle, tmp_path_factory: pytest.TempPathFactory) -> References:
    """The references of a bundle taught with 3 copies of each of 8 photographs, of which the
    network takes one photograph of each class for another class; images say their number."""
    from ml.network.model import build_folded
    from ml.training.assembly import Taught, fill
    from ml.training.recipes.recipe import FOUR_CLASSES

    shape = InputShape(32, 32)
    recipe = Recipe(
        name="tiny", version="1", classes=FOUR_CLASSES[:2], shape=shape,
        architecture=Architecture(alpha=0.35), dropout=0.0, head_passes=1, head_rate=1e-3,
        references=3, attribution="By somebody.",
    )  # fmt: skip
    samples, truth, predicted = [], [], []
    for photograph in range(8):
        for copy in range(3):
            label = photograph % 2
            file = f"{photograph}-{copy}.png"
            source = "near" if photograph < 4 else "far"
            samples.append(
                Sample(Path(file), file, FOUR_CLASSES[label], source, "", f"p{photograph}")
            )
            truth.append(label)
            predicted.append(1 - label if photograph >= 6 else label)
    images = np.zeros((24, 40, 40, 3), np.uint8)
    images[:] = (np.arange(24) * 10)[:, np.newaxis, np.newaxis, np.newaxis]
    learn = Labelled(tuple(samples), images, np.array(truth, np.int64))
    features = np.random.default_rng(0).random((24, 1280)).astype(np.float32)
    learned = Outputs(np.eye(2, dtype=np.float32)[predicted], features)
    folded = build_folded(recipe.architecture, shape, 2)
    folder = tmp_path_factory.mktemp("taught")
    with warnings.catch_warnings():
        # Keras 3.15 hands its variables to h5py, which asks them for copies in NumPy 2's way.
        warnings.filterwarnings("ignore", "__array__ implementation", DeprecationWarning)
        fill(folder, Taught(folded, recipe, learn, learn), learned, None, None)
    names = {path.name for path in folder.iterdir()}
    assert names == {"network.weights.h5", "model.onnx", "head.npz", "references.npz"}
    references = References.load(replace(shipped, path=folder))
    assert references is not None
    return references


def numbers(references: References) -> list[int]:
    """The number of the image that each reference shows."""
    pictures = [Image.open(io.BytesIO(data)) for data in references.pictures]
    assert {picture.size for picture in pictures} == {(32, 32)}
    return [round(float(np.asarray(picture).mean()) / 10) for picture in pictures]


def test_one_copy_of_a_photograph_is_a_reference_and_no_second(chosen: References) -> None:
    photographs = [number // 3 for number in numbers(chosen)]
    assert len(photographs) == len(set(photographs)) == 6


def test_a_cell_that_the_network_takes_for_another_is_no_reference(chosen: References) -> None:
    assert {number // 3 for number in numbers(chosen)} == set(range(6))


def test_a_reference_says_its_own_class_and_source(chosen: References) -> None:
    shown = numbers(chosen)
    classes = ["eosinophil", "lymphocyte"]
    assert list(chosen.labels) == [classes[number // 3 % 2] for number in shown]
    assert list(chosen.sources) == ["near" if number < 12 else "far" for number in shown]
    assert chosen.attribution == "By somebody."
