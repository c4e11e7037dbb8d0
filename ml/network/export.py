"""The folded Keras network as an ONNX graph that ONNX Runtime runs fast on a CPU.

The graph takes uint8 (N, height, width, 3) and scales it inside; the convolutions run on
channels-first data, with padding merged into them. Each kind of layer has one function here;
a layer of an unknown kind is an error rather than a guess.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import keras
import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

from ml.network.model import FEATURES

OPSET, IR_VERSION = 17, 9


def export_onnx(network: keras.Model, path: Path) -> None:
    """Write `network` (see `build_folded`) to `path`, with a dynamic batch size."""
    graph = _Graph(network)
    model = helper.make_model(
        graph.finish(),
        opset_imports=[helper.make_opsetid("", OPSET)],
        ir_version=IR_VERSION,
        producer_name="hematovision",
    )
    onnx.checker.check_model(model, full_check=True)
    onnx.save_model(model, str(path))


class _Graph:
    """The ONNX graph while it grows; `names` maps each Keras tensor to its ONNX value."""

    def __init__(self, network: keras.Model) -> None:
        self.network = network
        self.nodes: list[onnx.NodeProto] = []
        self.weights: list[onnx.TensorProto] = []
        self.names: dict[int, str] = {}
        self.pads: dict[str, list[int]] = {}
        self.shape_before_flat: tuple[int, ...] = ()

    def finish(self) -> onnx.GraphProto:
        """Emit every layer and close the graph."""
        self.names[id(self.network.inputs[0])] = "image"
        for layer in self.network.layers:
            _EMITTERS[type(layer).__name__](self, layer)
        maps = self.names[id(self.network.get_layer(FEATURES).output)]
        self.add("Identity", [maps], "activations")
        self.add("ReduceMean", [maps], "features", axes=[2, 3], keepdims=0)
        height, width = self.network.input_shape[1:3]
        image = helper.make_tensor_value_info(
            "image", TensorProto.UINT8, ["batch", height, width, 3]
        )
        return helper.make_graph(
            self.nodes, "hematovision", [image], self._outputs(), initializer=self.weights
        )

    def _outputs(self) -> list[onnx.ValueInfoProto]:
        """The outputs that may be requested; others are not copied out."""
        height, width, channels = self.network.get_layer(FEATURES).output.shape[1:]
        shapes = {
            "logits": ["batch", self.network.output_shape[-1]],
            "features": ["batch", channels],
            "activations": ["batch", channels, height, width],
        }
        return [
            helper.make_tensor_value_info(name, TensorProto.FLOAT, shape)
            for name, shape in shapes.items()
        ]

    def inputs(self, layer: keras.Layer) -> list[str]:
        """The ONNX values that flow into `layer`."""
        tensors = layer.input if isinstance(layer.input, list) else [layer.input]
        return [self.names[id(tensor)] for tensor in tensors]

    def add(self, kind: str, inputs: list[str], output: str, **attributes: Any) -> None:
        """Add a node that makes the value `output`."""
        self.nodes.append(helper.make_node(kind, inputs, [output], name=output, **attributes))

    def emit(self, layer: keras.Layer, kind: str, extra: list[str], **attributes: Any) -> None:
        """Add the node that stands for `layer`, its value named after it."""
        self.add(kind, self.inputs(layer) + extra, layer.name, **attributes)
        self.names[id(layer.output)] = layer.name

    def constant(self, name: str, value: NDArray[Any]) -> str:
        """Store an array in the graph and return its name."""
        self.weights.append(numpy_helper.from_array(np.ascontiguousarray(value), name))
        return name

    def forward(self, layer: keras.Layer) -> None:
        """Let `layer` stand for its input: it computes nothing when serving."""
        self.names[id(layer.output)] = self.inputs(layer)[0]


def _input(graph: _Graph, layer: keras.Layer) -> None:
    graph.names[id(layer.output)] = "image"


def _rescaling(graph: _Graph, layer: keras.Layer) -> None:
    """Bytes are turned to channels first while they are still one byte each."""
    graph.add("Transpose", graph.inputs(layer), "channels_first", perm=[0, 3, 1, 2])
    graph.add("Cast", ["channels_first"], "floats", to=TensorProto.FLOAT)
    scale = graph.constant("scale", np.array(layer.scale, np.float32))
    offset = graph.constant("offset", np.array(layer.offset, np.float32))
    graph.add("Mul", ["floats", scale], "multiplied")
    graph.add("Add", ["multiplied", offset], layer.name)
    graph.names[id(layer.output)] = layer.name


def _padding(graph: _Graph, layer: keras.Layer) -> None:
    """Remember the padding for the convolution that follows, which takes it as an attribute."""
    graph.forward(layer)
    (top, bottom), (left, right) = layer.padding
    graph.pads[graph.names[id(layer.output)]] = [top, left, bottom, right]


def _convolution(graph: _Graph, layer: keras.Layer) -> None:
    kernel, bias = layer.get_weights()
    depthwise = isinstance(layer, keras.layers.DepthwiseConv2D)
    # Keras keeps (height, width, in, out), ONNX wants (out, in / groups, height, width); a
    # depthwise kernel (height, width, channels, 1) turns into (channels, 1, height, width).
    order = (2, 3, 0, 1) if depthwise else (3, 2, 0, 1)
    extra = [
        graph.constant(f"{layer.name}/kernel", kernel.transpose(order)),
        graph.constant(f"{layer.name}/bias", bias),
    ]
    graph.emit(
        layer,
        "Conv",
        extra,
        kernel_shape=list(layer.kernel_size),
        strides=list(layer.strides),
        group=kernel.shape[2] if depthwise else 1,
        pads=_pads(graph, layer),
    )


def _pads(graph: _Graph, layer: keras.Layer) -> list[int]:
    """Top, left, bottom, right; Keras' "same" pads the end more than the start."""
    if layer.padding == "valid":
        return graph.pads.get(graph.inputs(layer)[0], [0, 0, 0, 0])
    starts, ends = [], []
    for size, kernel, stride in zip(
        layer.input.shape[1:3], layer.kernel_size, layer.strides, strict=True
    ):
        total = max((-(-size // stride) - 1) * stride + kernel - size, 0)
        starts.append(total // 2)
        ends.append(total - total // 2)
    return starts + ends


def _relu(graph: _Graph, layer: keras.Layer) -> None:
    names = [value.name for value in graph.weights]
    if "zero" not in names:
        graph.constant("zero", np.array(0, np.float32))
        graph.constant("six", np.array(layer.max_value, np.float32))
    graph.emit(layer, "Clip", ["zero", "six"])


def _pooling(graph: _Graph, layer: keras.Layer) -> None:
    """The head's pooling covers the whole feature map."""
    graph.emit(layer, "GlobalAveragePool", [])


def _flatten(graph: _Graph, layer: keras.Layer) -> None:
    graph.shape_before_flat = tuple(layer.input.shape[1:])
    graph.emit(layer, "Flatten", [], axis=1)


def _dense(graph: _Graph, layer: keras.Layer) -> None:
    """The rows are reordered, since the features were flattened channels first."""
    kernel, bias = layer.get_weights()
    by_place = kernel.reshape(*graph.shape_before_flat, kernel.shape[-1])
    rows = by_place.transpose(2, 0, 1, 3).reshape(kernel.shape)
    names = [
        graph.constant("head/kernel", rows),
        graph.constant("head/bias", bias),
    ]
    graph.add("Gemm", graph.inputs(layer) + names, "logits")


_EMITTERS: dict[str, Callable[[_Graph, keras.Layer], None]] = {
    "InputLayer": _input,
    "Rescaling": _rescaling,
    "ZeroPadding2D": _padding,
    "Conv2D": _convolution,
    "DepthwiseConv2D": _convolution,
    "FoldedNormalization": _Graph.forward,
    "Dropout": _Graph.forward,
    "ReLU": _relu,
    "Add": lambda graph, layer: graph.emit(layer, "Add", []),
    "AveragePooling2D": _pooling,
    "Flatten": _flatten,
    "Dense": _dense,
}
