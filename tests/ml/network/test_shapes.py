"""Export and style on networks of a few layers: every padding, size and head that there can be."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import keras
import numpy as np
import onnx
import onnxruntime
import pytest
from numpy.typing import NDArray

from ml.network.convolutions import NormalizedConvolution
from ml.network.export import export_onnx
from ml.network.model import FEATURES, StyleMixing, parts
from ml.trust.calibration import softmax

Floats = NDArray[np.float32]
layers = keras.layers


def small(body: Any, size: tuple[int, int], pooled: bool = True) -> keras.Model:
    """A network whose body is these layers, ended as all networks here are."""
    keras.utils.set_random_seed(0)
    image = keras.Input((*size, 3), name="image")
    values = layers.Rescaling(1 / 127.5, -1.0, name="scaled")(image)
    for layer in body:
        values = layer(values)
    values = layers.ReLU(6.0, name=FEATURES)(values)
    if pooled:
        values = layers.AveragePooling2D(tuple(values.shape[1:3]), name="pooled")(values)
    flat = layers.Flatten(name="flat")(values)
    network = keras.Model(image, layers.Dense(3, activation="softmax", name="probabilities")(flat))
    rng = np.random.default_rng(1)
    for layer in network.layers:
        if layer.weights:
            layer.set_weights([rng.normal(0, 0.5, w.shape) for w in layer.get_weights()])
    return network


def noise(network: keras.Model, count: int = 5) -> NDArray[np.uint8]:
    size = (count, *network.input_shape[1:])
    return np.random.default_rng(2).integers(0, 256, size, dtype=np.uint8)


def served(network: keras.Model, path: Path, batch: NDArray[np.uint8]) -> tuple[Floats, ...]:
    """Logits, features and activations of the exported network."""
    export_onnx(network, path)
    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    found = session.run(["logits", "features", "activations"], {"image": batch})
    return tuple(np.asarray(array, np.float32) for array in found)


BODIES = {
    "same, stride 1": lambda: [layers.Conv2D(4, 3, padding="same")],
    "same, stride 2": lambda: [layers.Conv2D(4, 3, strides=2, padding="same")],
    "same, stride 2, kernel 5": lambda: [layers.Conv2D(4, 5, strides=2, padding="same")],
    "valid, stride 2": lambda: [layers.Conv2D(4, 3, strides=2)],
    "depthwise, same": lambda: [layers.DepthwiseConv2D(3, padding="same")],
    "depthwise, stride 2, same": lambda: [layers.DepthwiseConv2D(3, strides=2, padding="same")],
    "padded one way": lambda: [
        layers.ZeroPadding2D(((0, 1), (0, 1))),
        layers.Conv2D(4, 3, strides=2),
    ],
    "padded unevenly": lambda: [
        layers.ZeroPadding2D(((2, 0), (1, 3))),
        layers.DepthwiseConv2D(3),
        layers.Conv2D(5, 1),
    ],
}


@pytest.mark.parametrize("size", [(8, 8), (9, 9), (10, 7)])
@pytest.mark.parametrize("body", BODIES)
def test_onnx_pads_and_strides_as_keras_does(
    body: str, size: tuple[int, int], tmp_path: Path
) -> None:
    network = small(BODIES[body](), size)
    batch = noise(network)
    logits, features, activations = served(network, tmp_path / "model.onnx", batch)
    maps, _ = parts(network)
    expected = np.asarray(maps(batch.astype(np.float32)))
    assert np.abs(activations - expected.transpose(0, 3, 1, 2)).max() <= 1e-4
    assert np.abs(features - expected.mean(axis=(1, 2))).max() <= 1e-4
    probabilities = np.asarray(network(batch.astype(np.float32)))
    assert np.ptp(probabilities, axis=0).max() > 1e-3
    assert np.abs(softmax(logits) - probabilities).max() <= 1e-4


def test_a_flattened_head_keeps_each_weight_at_its_place(tmp_path: Path) -> None:
    network = small([layers.Conv2D(4, 3, strides=2)], (9, 11), pooled=False)
    batch = noise(network)
    logits, _, _ = served(network, tmp_path / "model.onnx", batch)
    expected = np.asarray(network(batch.astype(np.float32)))
    assert np.ptp(expected, axis=0).max() > 1e-3
    assert np.abs(softmax(logits) - expected).max() <= 1e-4


def test_a_shortcut_is_added(tmp_path: Path) -> None:
    keras.utils.set_random_seed(0)
    image = keras.Input((8, 8, 3), name="image")
    first = layers.Conv2D(4, 1)(layers.Rescaling(1 / 127.5, -1.0)(image))
    second = layers.Add()([first, layers.Conv2D(4, 3, padding="same")(first)])
    seen = layers.ReLU(6.0, name=FEATURES)(second)
    flat = layers.Flatten(name="flat")(layers.AveragePooling2D((8, 8))(seen))
    network = keras.Model(image, layers.Dense(3, activation="softmax")(flat))
    batch = noise(network)
    logits, _, _ = served(network, tmp_path / "model.onnx", batch)
    assert np.abs(softmax(logits) - np.asarray(network(batch.astype(np.float32)))).max() <= 1e-4


@pytest.mark.parametrize("count", [1, 2, 17])
def test_a_batch_of_any_size_gives_each_image_what_it_gets_alone(
    count: int, tmp_path: Path
) -> None:
    network = small(BODIES["same, stride 2"](), (9, 9))
    batch = noise(network, count)
    together, _, _ = served(network, tmp_path / "model.onnx", batch)
    assert together.shape == (count, 3)
    for number in range(count):
        alone, _, _ = served(network, tmp_path / "model.onnx", batch[number : number + 1])
        assert np.abs(alone[0] - together[number]).max() <= 1e-5


def test_the_exported_network_takes_bytes_of_its_own_size_alone(tmp_path: Path) -> None:
    network = small(BODIES["valid, stride 2"](), (9, 9))
    export_onnx(network, tmp_path / "model.onnx")
    graph = onnx.load(tmp_path / "model.onnx").graph
    (image,) = graph.input
    kind = image.type.tensor_type
    assert kind.elem_type == onnx.TensorProto.UINT8
    assert [one.dim_value or one.dim_param for one in kind.shape.dim] == ["batch", 9, 9, 3]
    assert [output.name for output in graph.output] == ["logits", "features", "activations"]


def test_the_two_parts_of_a_network_are_the_network() -> None:
    network = small(BODIES["same, stride 1"](), (8, 8))
    batch = noise(network).astype(np.float32)
    maps, head = parts(network)
    logits = np.asarray(head(maps(batch)))
    assert np.abs(softmax(logits) - np.asarray(network(batch))).max() <= 1e-5


@pytest.mark.parametrize("padding", ["same", "valid"])
@pytest.mark.parametrize("depthwise", [False, True])
@pytest.mark.parametrize(("size", "strides"), [(1, 1), (1, 2), (3, 1), (3, 2), (5, 2)])
def test_a_convolution_and_its_batch_norm_are_one_step(
    size: int, strides: int, depthwise: bool, padding: str
) -> None:
    keras.utils.set_random_seed(0)
    rng = np.random.default_rng(3)
    options: dict[str, Any] = {"strides": strides, "padding": padding, "use_bias": False}
    convolution = (
        layers.DepthwiseConv2D(size, **options) if depthwise else layers.Conv2D(6, size, **options)
    )
    values = rng.normal(0, 1, (2, 8, 7, 4)).astype(np.float32)
    normalization = layers.BatchNormalization(epsilon=1e-3)
    normalization(convolution(values))
    channels = normalization.gamma.shape[0]
    normalization.set_weights(
        [*rng.normal(1, 0.3, (2, channels)), rng.normal(0, 1, channels), rng.random(channels) + 0.1]
    )
    both = NormalizedConvolution.like(convolution)
    both.build(values.shape)
    both.take(convolution, normalization)
    apart = np.asarray(normalization(convolution(values), training=False))
    together = np.asarray(both(values))
    assert together.shape == apart.shape
    assert np.abs(together - apart).max() <= 1e-4
    kernel, bias = both.folded()
    plain = type(convolution).from_config({**convolution.get_config(), "use_bias": True})
    plain.build(values.shape)
    plain.set_weights([kernel, bias])
    assert np.abs(np.asarray(plain(values)) - apart).max() <= 1e-4


def styled(seed: int = 0) -> Floats:
    """Feature maps of 16 images, each with means and spreads of its own."""
    rng = np.random.default_rng(seed)
    values = rng.normal(size=(16, 12, 12, 3)) * rng.uniform(0.5, 3, (16, 1, 1, 3))
    return np.asarray(values + rng.normal(size=(16, 1, 1, 3)) * 4, np.float32)


def standardised(values: Floats) -> Floats:
    mean, spread = values.mean(axis=(1, 2), keepdims=True), values.std(axis=(1, 2), keepdims=True)
    return np.asarray((values - mean) / spread, np.float32)


def test_style_is_mixed_while_learning_and_never_else() -> None:
    values, layer = styled(), StyleMixing(1.0)
    assert np.array_equal(np.asarray(layer(values, training=False)), values)
    assert np.array_equal(np.asarray(layer(values)), values)
    assert np.abs(np.asarray(layer(values, training=True)) - values).max() > 0.5


def test_a_share_of_nothing_mixes_no_style() -> None:
    values = styled()
    assert np.allclose(np.asarray(StyleMixing(0.0)(values, training=True)), values, atol=1e-4)


def test_what_is_seen_stays_whatever_style_it_takes_on() -> None:
    """Each channel is only brighter or darker, and of more or less contrast, than it was."""
    values = styled()
    mixed = np.asarray(StyleMixing(1.0)(values, training=True))
    assert np.abs(standardised(mixed) - standardised(values)).max() < 0.02


def test_a_style_lies_between_two_of_the_batch() -> None:
    values = styled()
    mixed = np.asarray(StyleMixing(1.0)(values, training=True))
    for of in (np.mean, np.std):
        before, after = of(values, axis=(1, 2)), of(mixed, axis=(1, 2))
        assert (after >= before.min(axis=0) - 1e-2).all()
        assert (after <= before.max(axis=0) + 1e-2).all()


def test_about_the_share_of_images_takes_on_another_style() -> None:
    values = np.concatenate([styled(seed) for seed in range(12)])
    mixed = np.asarray(StyleMixing(0.5)(values, training=True))
    changed = np.abs(mixed - values).max(axis=(1, 2, 3)) > 1e-2
    assert 0.25 < changed.mean() < 0.65


def test_a_style_layer_is_made_again_from_its_configuration() -> None:
    layer = StyleMixing(0.3, name="style")
    again = StyleMixing.from_config(layer.get_config())
    assert (again.share, again.name) == (0.3, "style")
