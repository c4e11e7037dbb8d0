"""Frozen statistics, folding and the ONNX export, on networks small enough to be quick."""

from __future__ import annotations

from pathlib import Path

import h5py
import keras
import numpy as np
import onnxruntime
import pytest
from numpy.typing import NDArray

from ml.bundle import Architecture, Bundle
from ml.decoding import InputShape, Pixels
from ml.network.convolutions import NormalizedConvolution
from ml.network.export import export_onnx
from ml.network.model import WeightsUnavailable, build, build_folded, fold, load_imagenet
from ml.serving import Classifier
from ml.trust.calibration import softmax


@pytest.fixture(scope="module")
def networks() -> tuple[keras.Model, keras.Model]:
    """A small random network, its statistics as unlike 0 and 1 as trained ones, and its folding."""
    architecture, shape = Architecture(alpha=0.35, pooled=False), InputShape(64, 96)
    network = build(architecture, shape, 4, dropout=0.5)
    rng = np.random.default_rng(0)
    for layer in network.layers:
        if isinstance(layer, NormalizedConvolution):
            size = layer.gamma.shape[0]
            gamma, deviation = rng.uniform(0.7, 1.3, (2, size))
            beta, mean = rng.normal(0, 0.2, (2, size))
            # Kernels this large keep the signal alive through all 52 layers (He et al. 2015).
            inputs = 9 if layer.filters is None else np.prod(layer.kernel.shape[:3])
            kernel = rng.normal(0, np.sqrt(2 / inputs), layer.kernel.shape)
            layer.set_weights([kernel, gamma, beta, mean, deviation])
    folded = build_folded(architecture, shape, 4)
    fold(network, folded)
    return network, folded


def batch_for(network: keras.Model) -> NDArray[np.uint8]:
    """8 images of noise, uint8."""
    size = (8, *network.input_shape[1:])
    return np.random.default_rng(1).integers(0, 256, size, dtype=np.uint8)


def test_the_folded_network_computes_what_the_trained_one_does(
    networks: tuple[keras.Model, keras.Model],
) -> None:
    network, folded = networks
    batch = batch_for(network).astype(np.float32)
    trained = network.predict(batch, verbose=0)
    assert np.ptp(trained, axis=0).max() > 1e-3
    assert np.abs(trained - folded.predict(batch, verbose=0)).max() <= 1e-4
    assert not [name for layer in folded.layers if "norm" in (name := type(layer).__name__.lower())
                and layer.weights]  # fmt: skip


def test_the_onnx_network_computes_what_the_folded_one_does(
    networks: tuple[keras.Model, keras.Model], tmp_path: Path
) -> None:
    _, folded = networks
    export_onnx(folded, tmp_path / "model.onnx")
    session = onnxruntime.InferenceSession(
        tmp_path / "model.onnx", providers=["CPUExecutionProvider"]
    )
    batch = batch_for(folded)
    (logits,) = session.run(["logits"], {"image": batch})
    expected = folded.predict(batch.astype(np.float32), verbose=0)
    assert np.abs(softmax(logits) - expected).max() <= 1e-4


def test_a_layer_of_an_unknown_kind_is_not_exported(tmp_path: Path) -> None:
    image = keras.Input((8, 8, 3))
    network = keras.Model(image, keras.layers.UpSampling2D()(image))
    with pytest.raises(KeyError, match="UpSampling2D"):
        export_onnx(network, tmp_path / "model.onnx")
    assert not (tmp_path / "model.onnx").exists()


def test_the_shipped_onnx_network_agrees_with_keras_on_200_real_images(
    exact: Classifier, by_tensorflow: Classifier, crops: Pixels
) -> None:
    assert len(crops) == 200
    by_keras, by_onnx = (softmax(by.classify(crops).logits) for by in (by_tensorflow, exact))
    assert np.abs(by_keras - by_onnx).max() <= 1e-4


def tensors(path: Path) -> list[NDArray[np.float32]]:
    """Every array of a weights file."""
    arrays: list[NDArray[np.float32]] = []
    with h5py.File(path) as file:
        file.visititems(
            lambda _, item: arrays.append(item[()]) if isinstance(item, h5py.Dataset) else None
        )
    return arrays


def directions(kernel: NDArray[np.float32]) -> NDArray[np.float32]:
    """Each output channel's kernel at length 1: what folding, which only scales it, can't change.

    A depthwise kernel (height, width, channels, 1) has its channels last but one. A channel that
    is dead, all zeros, has no direction and stays zero.
    """
    axes = (0, 1) if kernel.shape[-1] == 1 else (0, 1, 2)
    length = np.sqrt((kernel**2).sum(axis=axes, keepdims=True))
    scaled: NDArray[np.float32] = kernel / np.maximum(length, 1e-12)
    return scaled


def test_no_tensor_of_imagenet_is_in_the_shipped_weights(shipped: Bundle, imagenet: Path) -> None:
    """Neither as published nor scaled, as folding alone would leave it."""
    foreign = [tensor for tensor in tensors(imagenet) if tensor.ndim == 4]
    ours = [tensor for tensor in tensors(shipped.weights) if tensor.ndim == 4]
    assert len(ours) == len(foreign) == 52
    for kernel in ours:
        same = [other for other in foreign if other.shape == kernel.shape]
        assert same
        for other in same:
            assert not np.allclose(directions(kernel), directions(other), atol=1e-5)


def test_no_bias_of_the_shipped_weights_is_a_vector_of_imagenet(
    shipped: Bundle, imagenet: Path
) -> None:
    foreign = [tensor for tensor in tensors(imagenet) if tensor.ndim == 1]
    for bias in (tensor for tensor in tensors(shipped.weights) if tensor.ndim == 1):
        assert not any(np.array_equal(bias, other) for other in foreign)


def test_imagenet_weights_that_are_not_there_are_named(tmp_path: Path) -> None:
    network = build(Architecture(), InputShape(32, 32), 4)
    with pytest.raises(WeightsUnavailable, match=r"nowhere\.weights\.h5.*--weights"):
        load_imagenet(network, tmp_path / "nowhere.weights.h5")
