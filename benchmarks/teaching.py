"""A step of teaching with batch norms inside their convolutions, against the two layers apart.

    python -m benchmarks.teaching --side 128

Both networks are MobileNetV2 with frozen statistics, learn from the same random batch with the same
optimizer, and take turns.
"""

from __future__ import annotations

import statistics
import time
from typing import Any

import click
import keras
import numpy as np

from ml.bundle import Architecture
from ml.decoding import InputShape
from ml.network.model import build
from ml.training.batches import Batch
from ml.training.teacher import Teacher

CLASSES, BATCH = 8, 32


class Frozen(keras.layers.BatchNormalization):  # type: ignore[misc]
    """A batch norm that always uses its stored statistics; gamma and beta learn."""

    def call(self, inputs: Any, training: bool | None = None, mask: Any = None) -> Any:
        """Normalise by the stored mean and variance."""
        return super().call(inputs, training=False, mask=mask)


def apart(side: int) -> keras.Model:
    """The network with its batch norms as layers of their own."""
    image = keras.Input((side, side, 3))
    plain = keras.applications.MobileNetV2(
        input_tensor=image, include_top=False, weights=None, pooling="avg"
    )
    head = keras.layers.Dense(CLASSES, activation="softmax")(plain.output)

    def frozen(layer: keras.Layer) -> keras.Layer:
        kind = Frozen if isinstance(layer, keras.layers.BatchNormalization) else type(layer)
        return kind.from_config(layer.get_config())

    return keras.models.clone_model(keras.Model(image, head), clone_function=frozen)


def a_batch(side: int) -> Batch:
    """Noise, with labels."""
    rng = np.random.default_rng(0)
    images = rng.integers(0, 256, (BATCH, side, side, 3)).astype(np.float32)
    return images, np.eye(CLASSES, dtype=np.float32)[rng.integers(0, CLASSES, BATCH)]


@click.command()
@click.option("--side", default=128, show_default=True)
@click.option("--steps", default=10, show_default=True)
def main(side: int, steps: int) -> None:
    """Print seconds a step of each, and how they stand to each other."""
    networks = {
        "apart": apart(side),
        "inside": build(Architecture(), InputShape(side, side), CLASSES),
    }
    teachers = {name: Teacher(network, 1e-4) for name, network in networks.items()}
    batch = a_batch(side)
    times: dict[str, list[float]] = {name: [] for name in teachers}
    for step in range(steps + 1):
        for name, teacher in teachers.items():
            started = time.perf_counter()
            teacher.learn(batch)
            # The first step compiles.
            if step:
                times[name].append(time.perf_counter() - started)
    medians = {name: statistics.median(each) for name, each in times.items()}
    for name, median in medians.items():
        click.echo(f"{name}: {median:.3f} s a step of {BATCH} images")
    click.echo(f"inside / apart: {medians['inside'] / medians['apart']:.2f}")


if __name__ == "__main__":
    main()
