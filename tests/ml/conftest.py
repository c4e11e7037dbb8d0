"""Real images, the shipped bundle, and one tiny real training run, shared by the room's tests."""

from __future__ import annotations

import csv
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import islice
from pathlib import Path

import numpy as np
import pytest

from ml.bundle import Architecture, Bundle, default_bundle_path
from ml.data import Sample, read_folder
from ml.decoding import InputShape, Pixels
from ml.reading import read
from ml.serving import Classifier, load_classifier
from ml.serving.onnxruntime_backend import OnnxClassifier
from ml.training.recipes.recipe import FOUR_CLASSES, Jitter, Recipe

ROOT = Path(__file__).parents[2]
WEIGHTS = "mobilenet_v2_imagenet_no_top.weights.h5"


@pytest.fixture(scope="session")
def data(data_folder: Path) -> Path:
    """The folder of real image sets."""
    return data_folder


@pytest.fixture(scope="session")
def imagenet(data: Path) -> Path:
    """The ImageNet weights that stand beside the real images."""
    path = data.parent / "weights" / WEIGHTS
    if not path.is_file():
        pytest.skip(f"The ImageNet weights are not at {path}.")
    return path


@pytest.fixture(scope="session")
def shipped() -> Bundle:
    """The bundle that ships."""
    return Bundle.load(default_bundle_path())


@pytest.fixture(scope="session")
def by_onnxruntime(shipped: Bundle) -> Classifier:
    """The shipped bundle as a machine without a GPU runs it."""
    return load_classifier(shipped, gpus=lambda: ())


@pytest.fixture(scope="session")
def exact(shipped: Bundle) -> Classifier:
    """The shipped bundle's network in float by ONNX Runtime."""
    return OnnxClassifier(shipped, exact=True)


@pytest.fixture(scope="session")
def by_tensorflow(shipped: Bundle) -> Classifier:
    """The shipped bundle as a machine with a GPU runs it; TensorFlow computes on what there is."""
    return load_classifier(shipped, gpus=lambda: ("GPU:0",))


@pytest.fixture(scope="session")
def bccd4(data: Path) -> list[Sample]:
    """The whole of bccd4 with its photographs."""
    return read_folder(data / "bccd4")


@pytest.fixture(scope="session")
def crops(bccd4: list[Sample], shipped: Bundle) -> Pixels:
    """200 real images of the test split, every class among them, as the shipped bundle takes them:
    uint8 (200, height, width, 3)."""
    test = [sample for sample in bccd4 if sample.split == "test"]
    chosen = list(islice(test[:: len(test) // 200], 200))
    metadata = shipped.metadata
    readings = [read(s.path.read_bytes(), metadata.shape, metadata.preprocessing) for s in chosen]
    return np.stack([reading.pixels for reading in readings])


@pytest.fixture(scope="session")
def small_set(bccd4: list[Sample], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A data folder of 48 training and 16 test images: of each class 3 photographs, 4 copies of
    each, and of another photograph 4 copies to test by."""
    folder = tmp_path_factory.mktemp("small_set")
    rows = []
    for sample in _few(bccd4, "train", 3) + _few(bccd4, "test", 1):
        target = folder / sample.file
        target.parent.mkdir(parents=True, exist_ok=True)
        target.symlink_to(sample.path)
        split, label, file = sample.file.split("/")
        rows.append([split, label, file, sample.group])
    with (folder / "source_map.csv").open("w", newline="") as file_:
        csv.writer(file_).writerows([["split", "label", "file", "source_image"], *rows])
    return folder


@pytest.fixture(scope="session")
def recipe() -> Recipe:
    """A recipe for a very small network and two short passes."""
    return Recipe(
        name="tiny",
        version="1.0.0",
        classes=FOUR_CLASSES,
        shape=InputShape(32, 32),
        architecture=Architecture(alpha=0.35),
        dropout=0.3,
        head_passes=2,
        head_rate=1e-3,
        passes=2,
        rate=3e-4,
        batch=16,
        jitter=Jitter(),
        int8=False,
    )


@pytest.fixture(scope="session")
def small_weights(recipe: Recipe, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Random weights in the place of ImageNet's, for the network of the tiny recipe; every gamma is
    4, for with ones next to nothing of an image would reach the last layer."""
    import keras

    path = tmp_path_factory.mktemp("weights") / "base.weights.h5"
    keras.utils.set_random_seed(0)
    alpha, shape = recipe.architecture.alpha, (32, 32, 3)
    build = keras.applications.MobileNetV2
    with _uncompiled():
        base = build(shape, alpha=alpha, include_top=False, weights=None)
        for layer in base.layers:
            if isinstance(layer, keras.layers.BatchNormalization):
                layer.gamma.assign(4.0 * layer.gamma)
        base.save_weights(path)
    return path


@pytest.fixture(scope="session")
def tiny_run(
    small_set: Path, small_weights: Path, recipe: Recipe, tmp_path_factory: pytest.TempPathFactory
) -> Path:
    """The folder of a whole run on the small set by the tiny recipe."""
    from ml.training.fitting import TrainingRun
    from ml.training.train import train

    out = tmp_path_factory.mktemp("runs") / "tiny"
    with _uncompiled():
        train(TrainingRun(recipe, read_folder(small_set), out, small_weights, 0, _silent))
    return out


@pytest.fixture
def uncompiled() -> Iterator[None]:
    """TensorFlow runs uncompiled during the test."""
    with _uncompiled():
        yield


@contextmanager
def _uncompiled() -> Iterator[None]:
    """Let TensorFlow run uncompiled: compiling would take longer than these few steps."""
    import tensorflow as tf

    tf.config.run_functions_eagerly(True)
    try:
        with warnings.catch_warnings():
            # Keras 3.15 hands its variables to h5py, which asks them for copies in NumPy 2's way.
            warnings.filterwarnings("ignore", "__array__ implementation", DeprecationWarning)
            warnings.filterwarnings("ignore", "Even though the `tf.config", UserWarning)
            yield
    finally:
        tf.config.run_functions_eagerly(False)


def _silent(stage: str, done: float, note: str) -> None:
    """Show no progress."""


def _few(samples: list[Sample], split: str, photographs: int) -> list[Sample]:
    """Of each class, 4 samples of each of that many photographs."""
    groups: dict[tuple[str, str], list[Sample]] = {}
    for sample in samples:
        if sample.split == split:
            groups.setdefault((sample.label, sample.group or ""), []).append(sample)
    chosen: list[Sample] = []
    for label in sorted({label for label, _ in groups}):
        ours = [members for (name, _), members in sorted(groups.items()) if name == label]
        chosen += [sample for members in ours[:photographs] for sample in members[:4]]
    return chosen
