"""A network being taught: its weights, their moving average, and the optimizer's memory; and the
file that keeps all of it.

A checkpoint is an uncompressed .npz: one array for each variable, and the facts as JSON. No pickle.

Needs TensorFlow; a CPU worker never imports this module.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from zipfile import BadZipFile

import keras
import numpy as np
import tensorflow as tf
from numpy.typing import NDArray

from ml.errors import MlError
from ml.training.batches import Batch

# A batch of images or features (N, …) → float32 (N, …).
Answer = Callable[[NDArray[Any]], NDArray[np.float32]]


FACTS = "facts"
Arrays = Mapping[str, NDArray[Any]]


class CheckpointUnreadable(MlError):
    """A checkpoint that is missing or damaged, or belongs to another network."""


class Teacher:
    """Teaches `network` batch by batch, with Adam at `rate`, a number or a schedule.

    `momentum` is that of the moving average of the weights (0: none is kept). TensorFlow runs
    without XLA, which on a CPU is ten times slower than oneDNN for these networks.
    """

    def __init__(
        self, network: keras.Model, rate: Any, *, smoothing: float = 0.0, momentum: float = 0.0
    ) -> None:
        self.network, self.momentum = network, momentum
        self.loss = keras.losses.CategoricalCrossentropy(label_smoothing=smoothing)
        self.optimizer = keras.optimizers.Adam(rate)
        self.optimizer.build(network.trainable_variables)
        taught = network.trainable_variables if momentum else []
        self.average = [keras.Variable(v, trainable=False, dtype=v.dtype) for v in taught]
        wanted = tf.TensorSpec((None, network.output_shape[-1]), tf.float32)
        self._step = tf.function(self._learn, input_signature=[_given(network), wanted])
        self.answer = answering(network)

    def learn(self, batch: Batch) -> float:
        """Learn from one batch; returns its mean loss, which is no number if a gradient is none."""
        return float(self._step(*(tf.constant(part) for part in batch)))

    def begin(self, seed: int, number: int) -> None:
        """Start pass `number`: what dropout drops depends on the seed and the pass alone."""
        for index, layer in enumerate(self.network.layers):
            generator = getattr(layer, "seed_generator", None)
            if generator is not None:
                draws = np.random.default_rng([seed, number, index])
                generator.state.assign(draws.integers(2**31, size=2).astype("uint32"))

    @contextmanager
    def averaged(self) -> Iterator[None]:
        """The network with the averaged weights, if an average is kept, in the place of its own."""
        own = [_copy(variable) for variable in self.network.trainable_variables]
        self.settle()
        try:
            yield
        finally:
            for variable, value in zip(self.network.trainable_variables, own, strict=True):
                variable.assign(value)

    def settle(self) -> None:
        """Give the network the averaged weights for good, if an average is kept."""
        # strict would refuse the case of no average at all.
        for variable, mean in zip(self.network.trainable_variables, self.average, strict=False):
            variable.assign(mean.value)

    def state(self) -> dict[str, NDArray[Any]]:
        """A copy of every number that teaching depends on, by name."""
        return {name: _copy(variable) for name, variable in self._variables().items()}

    def weights(self) -> dict[str, NDArray[Any]]:
        """A copy of the network's weights, by path."""
        return {variable.path: _copy(variable) for variable in self.network.weights}

    def take(self, state: Mapping[str, NDArray[Any]]) -> None:
        """Go on from a `state`.

        Raises:
            CheckpointUnreadable: if it is that of another network or optimizer.
        """
        variables = self._variables()
        if {name: v.shape for name, v in variables.items()} != {
            name: tuple(array.shape) for name, array in state.items()
        }:
            message = "The checkpoint belongs to another network. Start a new run."
            raise CheckpointUnreadable(message)
        for name, variable in variables.items():
            variable.assign(state[name])

    def _variables(self) -> dict[str, Any]:
        named = {f"weights/{v.path}": v for v in self.network.weights}
        named |= {f"optimizer/{n:03}": v for n, v in enumerate(self.optimizer.variables)}
        return named | {f"average/{n:03}": v for n, v in enumerate(self.average)}

    def _learn(self, images: Any, labels: Any) -> Any:
        variables = self.network.trainable_variables
        with tf.GradientTape() as tape:
            loss = self.loss(labels, self.network(images, training=True))
        gradients = tape.gradient(loss, variables)
        self.optimizer.apply_gradients(zip(gradients, variables, strict=True))
        # At first the average follows the weights closely, so that it forgets where they began.
        steps = tf.cast(self.optimizer.iterations.value, tf.float32)
        share = tf.minimum(self.momentum, (1.0 + steps) / (10.0 + steps))
        for mean, variable in zip(self.average, variables, strict=False):
            mean.assign(share * mean.value + (1.0 - share) * variable.value)
        # Some processors' fused layers turn what is no number into 0, so that the loss looks fine.
        return loss + 0.0 * tf.linalg.global_norm(gradients)


def answering(network: keras.Model) -> Answer:
    """Return the network's answer function without learning, compiled once for all sizes."""
    compute = tf.function(
        lambda batch: network(batch, training=False), input_signature=[_given(network)]
    )
    return lambda batch: np.asarray(compute(tf.constant(batch, tf.float32)), np.float32)


def falling(
    rate: float, steps: int, warmup: int = 0, rest: float = 0.0
) -> keras.optimizers.schedules.CosineDecay:
    """A rate that rises over `warmup` steps to `rate` and falls to `rest` times it by a cosine."""
    warmup = min(warmup, steps - 1)
    if warmup < 1:
        return keras.optimizers.schedules.CosineDecay(rate, steps, rest)
    return keras.optimizers.schedules.CosineDecay(
        rate / 10, steps - warmup, rest, warmup_target=rate, warmup_steps=warmup
    )


def save_checkpoint(path: Path, arrays: Arrays, facts: Mapping[str, Any]) -> None:
    """Write a checkpoint aside, then put it in the place of the one before."""
    aside = path.with_name(f".{path.name}")
    with aside.open("wb") as file:
        # NumPy's annotations take the arrays' names for its own options.
        np.savez(file, **{FACTS: np.array(json.dumps(facts)), **arrays})  # type: ignore[arg-type]
    aside.replace(path)


def restore_checkpoint(path: Path) -> tuple[dict[str, NDArray[Any]], dict[str, Any]]:
    """The arrays and the facts of a checkpoint.

    Raises:
        CheckpointUnreadable: if it is missing or damaged.
    """
    try:
        # Opened here, for NumPy leaves the file of a damaged archive open.
        with path.open("rb") as opened, np.load(opened, allow_pickle=False) as file:
            arrays = {name: file[name] for name in file.files}
        return arrays, json.loads(str(arrays.pop(FACTS)))
    except (OSError, ValueError, KeyError, BadZipFile) as error:
        message = f"The checkpoint {path} can't be read ({error}). Start the run in a new folder."
        raise CheckpointUnreadable(message) from error


def _copy(variable: Any) -> NDArray[Any]:
    """TensorFlow's array may share the variable's memory, and change with it."""
    return np.array(variable.numpy())


def _given(network: keras.Model) -> Any:
    return tf.TensorSpec((None, *network.input_shape[1:]), tf.float32)
