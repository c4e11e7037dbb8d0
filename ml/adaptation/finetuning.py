"""Trains a whole network further, gently, on a few cells of a new laboratory.

The network is the folded one of a bundle: it has no statistics that could drift. The bundle's own
reference cells, or others that it was trained on, are taught along (rehearsal: Robins,
"Catastrophic forgetting, rehearsal and pseudorehearsal", 1995), as often as the new ones, so that
it does not forget what it knew.

Needs TensorFlow; a CPU worker never imports this module.
"""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import cv2
import keras
import numpy as np
from PIL import Image

from ml.answers import Outputs
from ml.bundle import Bundle
from ml.data import Labelled, Report, Sample
from ml.data.dataset import group_of
from ml.data.loading import joined
from ml.decoding import InputShape, Pixels
from ml.network.model import build_folded
from ml.serving.neighbours import References
from ml.training.assembly import Taught, outputs
from ml.training.batches import Batches
from ml.training.fitting import TrainingFailed
from ml.training.recipes.recipe import Jitter, Recipe
from ml.training.teacher import Teacher, falling
from ml.trust.unfamiliar import Nearest

# How the bundle's own cells are called among the data folders; no folder has such a name.
OWN = "/references"
PASSES, RATE, BATCH, AVERAGE, SMOOTHING = 12, 1e-4, 16, 0.95, 0.05


def network_of(bundle: Bundle) -> keras.Model:
    """The bundle's folded network, a new copy of it."""
    metadata = bundle.metadata
    network = build_folded(metadata.architecture, metadata.shape, len(metadata.classes))
    network.load_weights(bundle.weights)
    return network


def recipe_of(bundle: Bundle) -> Recipe:
    """How the bundle's network is taught on: as its recipe jitters images, if it still can be read
    so, and otherwise as recipes do by default."""
    metadata, steps = bundle.metadata, bundle.metadata.preprocessing
    stored = metadata.recipe.get("stored")
    return Recipe(
        name=metadata.name,
        version=metadata.version,
        classes=metadata.classes,
        shape=metadata.shape,
        architecture=metadata.architecture,
        dropout=0.0,
        head_passes=0,
        head_rate=0.0,
        passes=PASSES,
        rate=RATE,
        batch=BATCH,
        smoothing=SMOOTHING,
        average=AVERAGE,
        locate=bool(steps.locator),
        margin=steps.margin,
        span=steps.span,
        doubt=steps.doubt,
        stored=InputShape(**stored) if stored and steps.locator else None,
        jitter=_jitter(metadata.recipe.get("jitter")),
    )


def own_cells(bundle: Bundle, shape: InputShape) -> Labelled | None:
    """The bundle's reference cells, uint8 (R, height, width, 3) in `shape`, or None if it carries
    none. What `shape` has round the network's own input is filled by reflection."""
    references = References.load(bundle)
    if references is None:
        return None
    images = [_framed(data, bundle.metadata.shape, shape) for data in references.pictures]
    classes = bundle.metadata.classes
    samples = [
        Sample(Path(), f"{index:04}", label, OWN, "", f"{index:04}")
        for index, label in enumerate(references.labels)
    ]
    truth = np.array([classes.index(label) for label in references.labels], np.int64)
    return Labelled(tuple(samples), np.stack(images), truth)


def as_own(cells: Labelled) -> Labelled:
    """Cells that a bundle without reference cells rehearses in their place."""
    samples = [replace(s, source=OWN, group=group_of(s)) for s in cells.samples]
    return replace(cells, samples=tuple(samples))


def taught_on(
    bundle: Bundle, cells: Sequence[Labelled], share: int, seed: int, report: Report
) -> keras.Model:
    """The bundle's network after some passes over cells, new ones and its own.

    Args:
        bundle: whose network it is; it is not changed.
        cells: of one data folder or more, in the size that the recipe keeps images in.
        share: how many images of each data folder a pass draws.
        seed: of all draws.
        report: called as it goes on.

    Raises:
        TrainingFailed: if the loss is no number any more.
    """
    data = joined(cells)
    sources = tuple((name, 1.0) for name in sorted({s.source for s in data.samples}))
    recipe = replace(recipe_of(bundle), sources=sources, per_pass=len(sources) * share)
    batches = Batches(data, recipe, seed)
    steps = -(-batches.plan.size // recipe.batch) * recipe.passes
    network = network_of(bundle)
    rate = falling(recipe.rate, steps, max(1, steps // 10))
    teacher = Teacher(network, rate, smoothing=recipe.smoothing, momentum=recipe.average)
    for number in range(1, recipe.passes + 1):
        losses = [teacher.learn(batch) for batch in batches.of_pass(number)]
        if not np.isfinite(losses).all():
            message = "The loss is no longer a number, so the network can't be trained further; "
            raise TrainingFailed(message + "choose --how head or recalibrate.")
        words = f"pass {number} of {recipe.passes}: loss {np.mean(losses):.3f}"
        report("teaching", number / recipe.passes, words)
    teacher.settle()
    return network


def seen(bundle: Bundle, network: keras.Model, cells: Labelled) -> Outputs:
    """What a network of the bundle's make gives of cells in the size that images are kept in."""
    return outputs(Taught(network, recipe_of(bundle), cells, cells), cells.images)


def gate_over(bundle: Bundle, network: keras.Model, cells: Sequence[Labelled]) -> Nearest | None:
    """What tells strangers from cells for a network, with these cells as references; None if the
    bundle has no gate. Every sample must name its photograph."""
    if not bundle.metadata.trust:
        return None
    together = joined(cells)
    names = [f"{sample.source}/{sample.group}" for sample in together.samples]
    return Nearest.fit(seen(bundle, network, together), together.truth, names)


def _framed(data: bytes, input_: InputShape, shape: InputShape) -> Pixels:
    """A picture in the size of the input, with the frame that `shape` has round it."""
    picture = Image.open(io.BytesIO(data)).convert("RGB")
    size = (input_.width, input_.height)
    pixels = np.asarray(picture.resize(size, Image.Resampling.BICUBIC), np.uint8)
    # As `ml.training.batches.middle` takes it off.
    top, left = (shape.height - input_.height) // 2, (shape.width - input_.width) // 2
    down, right = shape.height - input_.height - top, shape.width - input_.width - left
    framed = cv2.copyMakeBorder(pixels, top, down, left, right, cv2.BORDER_REFLECT_101)
    return np.asarray(framed, np.uint8)


def _jitter(fields: Mapping[str, Any] | None) -> Jitter:
    try:
        return Jitter(**(fields or {}))
    except TypeError:
        return Jitter()
