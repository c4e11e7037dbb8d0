"""The network in 8 bits: it answers as the float one does, or it is not used."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx
import pytest

from ml.bundle import Bundle, default_bundle_path
from ml.bundle.folder import INT8
from ml.reading import read
from ml.serving import load_classifier
from ml.serving.onnxruntime_backend import OnnxClassifier, gains_by_int8
from ml.training.quantization import Fitness, fitness, quantize

exact_in_int8 = pytest.mark.skipif(
    not gains_by_int8(), reason="8-bit sums overflow on a processor without VNNI"
)


@pytest.fixture(scope="module")
def shipped() -> Bundle:
    return Bundle.load(default_bundle_path())


@pytest.fixture(scope="module")
def crops(shipped: Bundle, data: Path) -> np.ndarray:
    """Forty real crops of the test split, as the network sees them."""
    metadata = shipped.metadata
    files = sorted((data / "bccd4" / "TEST").glob("*/*.jpeg"))[::62][:40]
    return np.stack(
        [read(f.read_bytes(), metadata.shape, metadata.preprocessing).pixels for f in files]
    )


@pytest.fixture(scope="module")
def small(shipped: Bundle, crops: np.ndarray, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("small") / "int8.onnx"
    quantize(shipped.onnx, path, crops[::2])
    return path


@exact_in_int8
def test_it_answers_as_the_float_network_does(
    shipped: Bundle, small: Path, crops: np.ndarray
) -> None:
    truth = OnnxClassifier(shipped, exact=True).classify(crops).logits.argmax(axis=1)
    compared = fitness(shipped.onnx, small, crops, truth)
    assert compared.images == 40
    assert compared.agreement >= 0.95
    assert (compared.only_int8, compared.only_float) == (0, round((1 - compared.agreement) * 40))


def test_it_is_a_quarter_of_the_size(shipped: Bundle, small: Path) -> None:
    assert small.stat().st_size < 0.35 * shipped.onnx.stat().st_size


def test_all_weights_take_eight_bits_but_those_of_the_first_convolutions(small: Path) -> None:
    weights = onnx.load(small).graph.initializer
    by_name = {weight.name: onnx.numpy_helper.to_array(weight) for weight in weights}
    kernels = {name: array for name, array in by_name.items() if "/kernel" in name}
    ints = {n: a for n, a in kernels.items() if a.dtype == np.int8 and a.ndim == 4}
    floats = {n for n, a in kernels.items() if a.dtype == np.float32 and a.ndim == 4}
    assert len(ints) == 49
    assert {name.split("/")[0] for name in floats} == {
        "Conv1",
        "expanded_conv_depthwise",
        "expanded_conv_project",
    }


def test_the_shipped_bundle_has_one_that_is_run(shipped: Bundle) -> None:
    assert shipped.int8 is not None
    assert shipped.metadata.int8["used"]
    assert shipped.metadata.int8["p"] >= 0.05
    expected = "onnxruntime int8" if gains_by_int8() else "onnxruntime"
    assert load_classifier(shipped, device="cpu").backend == expected
    assert OnnxClassifier(shipped, exact=True).backend == "onnxruntime"


def test_a_bundle_without_one_runs_in_float(shipped: Bundle) -> None:
    files = {name: digest for name, digest in shipped.metadata.files.items() if name != INT8}
    plain = replace(shipped, metadata=replace(shipped.metadata, files=files))
    assert plain.int8 is None
    assert load_classifier(plain, device="cpu").backend == "onnxruntime"


def test_the_shipped_one_agrees_with_the_float_network(shipped: Bundle, crops: np.ndarray) -> None:
    exact = OnnxClassifier(shipped, exact=True).classify(crops)
    outputs = load_classifier(shipped, device="cpu").classify(crops)
    same = exact.logits.argmax(axis=1) == outputs.logits.argmax(axis=1)
    assert same.mean() >= 0.95
    assert np.linalg.norm(exact.features - outputs.features) < 0.2 * np.linalg.norm(exact.features)


@pytest.mark.parametrize(
    ("facts", "gains"),
    [
        ("processor\t: 0\nflags\t\t: fpu avx2 avx512_vnni\n", True),
        ("processor\t: 0\nflags\t\t: fpu avx_vnni sse\n", True),
        ("processor\t: 0\nflags\t\t: fpu avx2 avx512f\n", False),
        ("processor\t: 0\nFeatures\t: fp asimd asimddp\n", False),
        (None, False),
    ],
)
def test_a_processor_without_vnni_gains_nothing(
    tmp_path: Path, facts: str | None, gains: bool
) -> None:
    path = tmp_path / "cpuinfo"
    if facts is not None:
        path.write_text(facts)
    assert gains_by_int8(path) is gains


@pytest.mark.parametrize(("only_int8", "only_float", "fit"), [(3, 5, True), (0, 8, False)])
def test_answers_that_differ_by_more_than_chance_are_not_used(
    only_int8: int, only_float: int, fit: bool
) -> None:
    from ml.metrics import mcnemar

    compared = Fitness(100, 0.9, only_int8, only_float, mcnemar(only_int8, only_float))
    assert compared.fit is fit
