"""How much of what the processor can compute at all the bare loop and the platform use.

    python -m benchmarks.limit ../shared/data/bccd4/TRAIN --images 2000 --pairs 5

The peak is that of a large matrix product on all cores, measured beside every run: of float32 by
NumPy, or of 8 bits by ONNX Runtime for a bundle that runs so. What an image needs is counted from
the network's graph, convolutions and dense layers, twice the multiply-adds; an image that is looked
at again counts again.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import click
import numpy as np
import onnx
import onnxruntime
from onnx import TensorProto, helper

from benchmarks.peers.bare import BareLoop
from benchmarks.rig import job_speed, running, spread
from benchmarks.table import Row, show
from ml.answers import Outputs
from ml.bundle import Bundle, default_bundle_path
from ml.decoding import Pixels
from ml.serving.looking import classify_with_second_looks
from worker.main import available_cores

_SIDE, _PRODUCTS = 3072, 4
_OPSET, _IR_VERSION = 17, 9


def peak(*, int8: bool) -> float:
    """Operations/s of a large matrix product on all cores, in float32 or in 8 bits."""
    product = _product_of_bytes() if int8 else _product_of_floats()
    product()
    started = time.perf_counter()
    for _ in range(_PRODUCTS):
        product()
    return _PRODUCTS * 2 * _SIDE**3 / (time.perf_counter() - started)


def _product_of_floats() -> Callable[[], object]:
    rng = np.random.default_rng(0)
    left, right = (rng.random((_SIDE, _SIDE), dtype=np.float32) for _ in range(2))
    return lambda: left @ right


def _product_of_bytes() -> Callable[[], object]:
    """Activations of 8 bits by weights of 7, into sums of 32."""
    rng, shape = np.random.default_rng(0), (_SIDE, _SIDE)
    weights = rng.integers(-64, 64, shape, np.int8)
    node = helper.make_node("MatMulInteger", ["left", "right"], ["sums"])
    graph = helper.make_graph(
        [node],
        "product",
        [helper.make_tensor_value_info("left", TensorProto.UINT8, shape)],
        [helper.make_tensor_value_info("sums", TensorProto.INT32, shape)],
        [onnx.numpy_helper.from_array(weights, "right")],
    )
    model = helper.make_model(
        graph, opset_imports=[helper.make_opsetid("", _OPSET)], ir_version=_IR_VERSION
    )
    session = onnxruntime.InferenceSession(model.SerializeToString())
    left = rng.integers(0, 255, shape, np.uint8)
    return lambda: session.run(None, {"left": left})


def flop(bundle: Bundle) -> float:
    """FLOP of one look at one image: twice the multiply-adds of its convolutions and products."""
    model = onnx.shape_inference.infer_shapes(onnx.load(bundle.onnx))
    graph = model.graph
    shapes = {
        value.name: [dim.dim_value or 1 for dim in value.type.tensor_type.shape.dim]
        for value in (*graph.value_info, *graph.input, *graph.output)
    }
    weights = {weight.name: list(weight.dims) for weight in graph.initializer}
    total = 0
    for node in graph.node:
        if node.op_type == "Conv":
            # One filter's weights for every place of the output, whichever channel it is.
            total += math.prod(shapes[node.output[0]]) * math.prod(weights[node.input[1]][1:])
        elif node.op_type in ("Gemm", "MatMul") and node.input[1] in weights:
            total += math.prod(weights[node.input[1]])
    return 2.0 * total


def looks(loop: BareLoop, images: Pixels) -> float:
    """How often an image is looked at, on the average."""
    seen = 0

    def count(part: Pixels) -> Outputs:
        nonlocal seen
        seen += len(part)
        return loop.classifier.classify(part)

    classify_with_second_looks(count, images, loop.classifier.bundle.metadata.preprocessing.doubt)
    return seen / len(images)


def measure(files: Sequence[Path], bundle: Path, pairs: int) -> list[Row]:
    """The network alone, the bare loop and the platform against the peak."""
    network = Bundle.load(bundle)
    loop = BareLoop(network)
    held = loop.pixels(files[:1000])
    once = flop(network)
    each = once * looks(loop, held)
    alone, bare, whole = [], [], []
    with running(bundle=str(bundle.absolute())) as rig:
        rig.wait_for_workers(available_cores())
        for _ in range(pairs):
            most = peak(int8=network.int8 is not None)
            alone.append(loop.decoded(held) * once / most)
            bare.append(loop.files(files) * each / most)
            whole.append(job_speed(rig, files) * each / most)
    title = f"{network.metadata.name} {network.metadata.shape.width} px"
    kind = "8-bit" if network.int8 else "float32"
    each_look = f"{each / once:.2f} looks of {once / 1e9:.3f} G operations"
    figure = f"peak {most / 1e9:.0f} G {kind} operations/s; {each_look}"
    names = ("network alone", "bare loop with reading", "platform")
    return [
        Row(f"{name}, {title}", "the arithmetic limit", tuple(ratios), figure)
        for name, ratios in zip(names, (alone, bare, whole), strict=True)
    ]


@click.command()
@click.argument("folder", type=click.Path(exists=True, path_type=Path))
@click.option("--images", default=2000, show_default=True, help="Images of each run.")
@click.option("--pairs", default=5, show_default=True, help="How often each is measured.")
@click.option("--bundle", type=click.Path(exists=True, path_type=Path), help="Model bundle.")
def main(folder: Path, images: int, pairs: int, bundle: Path | None) -> None:
    """Print the share of the arithmetic limit that is reached on images of FOLDER."""
    show(measure(spread(folder, images), bundle or default_bundle_path(), pairs))


if __name__ == "__main__":
    main()
