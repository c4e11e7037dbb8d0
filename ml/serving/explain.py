"""Why: what each place of an image added to the score of a class, without gradients.

The network ends in a feature map A, averaged over its places (or flattened), and one dense layer.
The logit of class k is then a sum over the places, plus a bias:

    logit_k = bias_k + Σ_place Σ_c kernel[c, k] · A[c, place] / places

The summand of a place is the class activation map of Zhou et al. 2016 ("Learning Deep Features for
Discriminative Localization"). For a head like this Grad-CAM (Selvaraju et al. 2017) weights the
channels by the same numbers, since the gradient of the logit by A is the kernel: so the map is
exact, and a CPU worker needs no TensorFlow for it.

A map has few places (nine at 96 pixels). `map_classes` therefore reads the image shifted by
fractions of a place, interleaves what comes of it ("shift and stitch", Long et al. 2015), and takes
means over the width of a place: a place at the rim says other things of the same cell than one
within, and the means are free of the pattern that this leaves.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import NDArray
from PIL import Image

from ml.bundle import Bundle
from ml.decoding import InputShape, Pixels

HEAD = "head.npz"
# An image is read at so many shifts along each side, an even number that a map's places are
# divided by.
SHIFTS = 4
# Teal to yellow, the upper half of the viridis map: even steps of lightness for colour-blind eyes
# too, and hues that no stain has.
_RAMP = ((33, 145, 140), (41, 175, 127), (94, 201, 98), (173, 220, 48), (253, 231, 37))
_OPAQUE = 216
_HALVINGS = 5

Map = NDArray[np.float32]


class FeatureMapper(Protocol):
    """A classifier that shows what its head sees."""

    def activations(self, batch: Pixels) -> NDArray[np.float32]:
        """uint8 (N, height, width, 3) → the last feature map, float32 (N, F, h, w)."""


@dataclass(frozen=True)
class Head:
    """The last layer. `kernel` is float32 (F, classes) if the places are averaged before it, or
    (h, w, F, classes) if they are flattened; `bias` is float32 (classes,)."""

    kernel: NDArray[np.float32]
    bias: NDArray[np.float32]

    @classmethod
    def load(cls, bundle: Bundle) -> Head:
        """The head of a bundle's network."""
        with np.load(bundle.path / HEAD, allow_pickle=False) as arrays:
            return cls(arrays["kernel"], arrays["bias"])


@dataclass(frozen=True)
class ClassMaps:
    """What a network looked at in one image: a map for each class asked for, and `features`,
    float32 (F,), the mean of the unshifted feature map over its places."""

    maps: tuple[Map, ...]
    features: NDArray[np.float32]


def head_arrays(network: Any) -> dict[str, NDArray[np.float32]]:
    """The arrays of `HEAD` for a folded Keras network (see `build_folded`)."""
    kernel, bias = network.layers[-1].get_weights()
    height, width, channels = network.get_layer("flat").input.shape[1:]
    if height * width > 1:
        kernel = kernel.reshape(height, width, channels, -1)
    return {"kernel": np.asarray(kernel, np.float32), "bias": np.asarray(bias, np.float32)}


def write_head(folder: Path, network: Any) -> None:
    """Write `HEAD` into the folder of a bundle that is being made."""
    arrays = head_arrays(network)
    np.savez(folder / HEAD, kernel=arrays["kernel"], bias=arrays["bias"])


def contributions(activations: NDArray[np.float32], head: Head, class_index: int) -> Map:
    """What each place adds to the logit of a class: their sum and the bias are the logit.

    The difference of two classes' contributions is what speaks for one rather than the other.

    Args:
        activations: the last feature map of one image, float32 (F, h, w).
        head: the layer after it.
        class_index: the index of the class among the bundle's classes.

    Returns:
        float32 (h, w), in logits; negative where a place speaks against the class.
    """
    weights = head.kernel[..., class_index]
    if head.kernel.ndim == 2:
        places = activations.shape[1] * activations.shape[2]
        weights = np.broadcast_to(weights / places, (*activations.shape[1:], len(weights)))
    return np.asarray(np.einsum("fhw,hwf->hw", activations, weights), dtype=np.float32)


def map_classes(
    network: FeatureMapper, head: Head, pixels: Pixels, class_indices: Sequence[int]
) -> ClassMaps:
    """Read one image, uint8 (height, width, 3), at every shift and map each of some classes.

    The maps are float32 (h · SHIFTS, w · SHIFTS), in logits of one place.
    """
    plain = network.activations(pixels[np.newaxis])[0]
    seen = network.activations(shifted(pixels, plain.shape[1], plain.shape[2]))
    maps = tuple(
        _evened(_stitched([contributions(activations, head, index) for activations in seen]))
        for index in class_indices
    )
    return ClassMaps(maps, plain.mean(axis=(1, 2)))


def shifted(pixels: Pixels, rows: int, columns: int) -> Pixels:
    """The image at shifts that share out each place of a (rows, columns) map evenly, the
    uncovered edge repeated: uint8 (SHIFTS², height, width, 3)."""
    height, width = pixels.shape[:2]
    down, across = _offsets(height / rows), _offsets(width / columns)
    most = max(*down, *across)
    wide = np.pad(pixels, ((most, most), (most, most), (0, 0)), mode="edge")
    return np.stack(
        [
            wide[most + top : most + top + height, most + left : most + left + width]
            for top in down
            for left in across
        ]
    )


def heat_map(contributed: Map, shape: InputShape, enlarged: int = 1) -> Pixels:
    """What speaks for a class, as a picture to lay over the image.

    The strongest place is opaque yellow, weaker ones teal and more transparent; what speaks against
    the class is not shown. A map with nothing positive is fully transparent.

    Args:
        contributed: of one image, plain or at every shift.
        shape: that of the image.
        enlarged: how many times larger the picture is.

    Returns:
        uint8 (height · enlarged, width · enlarged, 4), red, green, blue and opacity.
    """
    drawn = _laid_over(contributed, shape, enlarged)
    strength = np.clip(drawn / max(float(drawn.max()), 1e-9), 0, 1)
    picture: Pixels = _colours()[(strength * 255).round().astype(np.uint8)]
    return picture


def _laid_over(contributed: Map, shape: InputShape, enlarged: int) -> Map:
    """The map, smooth and as large as the picture, each place about the middle of what it sees."""
    rows, columns = contributed.shape
    # Beyond the outermost places their values go on, as far as a map can be out of place.
    wide = np.pad(contributed.astype(np.float32), SHIFTS, mode="edge")
    top, left = SHIFTS - _late(shape.height, rows), SHIFTS - _late(shape.width, columns)
    smooth = Image.fromarray(wide).resize(
        (shape.width * enlarged, shape.height * enlarged),
        Image.Resampling.BICUBIC,
        box=(left, top, left + columns, top + rows),
    )
    return np.asarray(smooth, dtype=np.float32)


def _late(side: int, places: int) -> float:
    """How much later than in an even division the middle of what a place sees comes, in places.

    MobileNetV2 halves an image five times by a kernel of 3. It pads an even side at its end alone:
    place i of the result then sees about place 2i + 1, and not 2i, of what it came from.
    """
    middle, step, size = 0, 1, side
    for _ in range(_HALVINGS):
        middle += step * (1 - size % 2)
        step, size = step * 2, (size + 1) // 2
    return (middle + 0.5 - side / size / 2) * places / side


def _colours() -> Pixels:
    """Colour and opacity for each of 256 strengths, uint8 (256, 4)."""
    strength = np.linspace(0, 1, 256)
    steps = np.linspace(0, 1, len(_RAMP))
    channels = [np.interp(strength, steps, colours) for colours in zip(*_RAMP, strict=True)]
    return np.stack([*channels, strength * _OPAQUE], axis=-1).round().astype(np.uint8)


def _offsets(stride: float) -> list[int]:
    """Shifts in pixels that lie evenly about none, a `SHIFTS`-th of a place apart."""
    return [round((2 * i - SHIFTS + 1) * stride / (2 * SHIFTS)) for i in range(SHIFTS)]


def _stitched(maps: Sequence[Map]) -> Map:
    """Interleave the maps of all shifts, which go down and then across, into one fine map."""
    rows, columns = maps[0].shape
    grid = np.stack(maps).reshape(SHIFTS, SHIFTS, rows, columns)
    return grid.transpose(2, 0, 3, 1).reshape(rows * SHIFTS, columns * SHIFTS)


def _evened(stitched: Map) -> Map:
    """Means over the width of a place, about each fine place."""
    weights = np.full(SHIFTS + 1, 1 / SHIFTS, np.float32)
    weights[[0, -1]] /= 2
    for _ in range(2):
        wide = np.pad(stitched, ((SHIFTS // 2, SHIFTS // 2), (0, 0)), mode="edge")
        stitched = (sliding_window_view(wide, SHIFTS + 1, axis=0) @ weights).T
    return stitched
