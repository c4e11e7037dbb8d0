"""Random changes to a training image that leave the cell what it is.

A cell has no upright side, and how large, dark, sharp and coloured it looks depends on the
microscope, the stain and the camera. Colour is changed as stains change it: in optical density,
where the amount of each dye adds up (A. C. Ruifrok & D. A. Johnston, Anal. Quant. Cytol. Histol.
23, 2001).
"""

from __future__ import annotations

import math

import cv2
import numpy as np
from numpy.typing import NDArray

from ml.decoding import InputShape, Pixels
from ml.training.recipes.recipe import Jitter

# Densities are of levels lifted by this, so that the darkest ones stay finite.
_LIFT = 8.0
_DENSITIES = -np.log((np.arange(256, dtype=np.float32) + _LIFT) / (255 - _LIFT))
_GREY_RANGE = (60, 240)

# What a unit of eosin (on red cells) and of the azures (on nuclei) takes in of red, green and blue,
# halfway between the training images of two laboratories.
_EOSIN, _AZURE = np.array([0.42, 0.74, 0.52]), np.array([0.52, 0.84, 0.15])
_NEITHER = np.cross(_EOSIN, _AZURE) / np.linalg.norm(np.cross(_EOSIN, _AZURE))
_AMOUNTS = np.linalg.inv(np.column_stack([_EOSIN, _AZURE, _NEITHER]))

Transform = NDArray[np.float64]
Densities = NDArray[np.float32]
# The parameters of the beta distributions that the papers draw the share of an image from.
MIXUP, CUTMIX = 0.2, 1.0
Floats = NDArray[np.float32]


def changed(
    image: Pixels, jitter: Jitter, rng: np.random.Generator, shape: InputShape | None = None
) -> Pixels:
    """A changed copy of `image`, uint8 (h, w, 3), in `shape`: its middle, at the same scale.

    What lies round the middle comes into sight when the image is turned, zoomed or shifted; what
    lies beyond it is filled by reflection.
    """
    shape = shape or InputShape(*image.shape[:2])
    return _roughened(_stained(_moved(image, jitter, rng, shape), jitter, rng), jitter, rng)


def _moved(image: Pixels, jitter: Jitter, rng: np.random.Generator, shape: InputShape) -> Pixels:
    """Turned, flipped, zoomed, stretched and shifted."""
    return np.asarray(
        cv2.warpAffine(
            image,
            _transform(image.shape[:2], jitter, rng, shape),
            (shape.width, shape.height),
            flags=cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP,
            borderMode=cv2.BORDER_REFLECT_101,
        ),
        np.uint8,
    )


def _transform(
    size: tuple[int, ...], jitter: Jitter, rng: np.random.Generator, shape: InputShape
) -> Transform:
    """float64 (2, 3): output place → input place, about the middles of both."""
    angle = rng.uniform(-math.pi, math.pi) * jitter.turn
    zoom, wider = _around_one(rng, jitter.zoom), _around_one(rng, jitter.stretch / 2)
    across, down = zoom * wider * rng.choice((-1, 1)), zoom / wider
    cosine, sine = math.cos(angle), math.sin(angle)
    turn = np.array([[cosine * across, -sine * down], [sine * across, cosine * down]])
    shift = rng.uniform(-jitter.shift, jitter.shift, 2) * (shape.width, shape.height)
    middle = np.array([size[1] - 1, size[0] - 1]) / 2 + shift
    offset = middle - turn @ np.array([shape.width - 1, shape.height - 1]) / 2
    return np.column_stack([turn, offset])


def _stained(image: Pixels, jitter: Jitter, rng: np.random.Generator) -> Pixels:
    """As if stained for longer or shorter, with dyes of another hue, under another light."""
    dyes = np.diag(_around_one(rng, jitter.density) * _around_one(rng, jitter.stain, 3))
    dyes += rng.uniform(-jitter.hue, jitter.hue, (3, 3)) * (1 - np.eye(3))
    dyes = dyes @ _other_dyes(jitter.dyes, rng)
    light = _around_one(rng, jitter.light) * _around_one(rng, jitter.light / 2, 3)
    bend = np.float32(_around_one(rng, jitter.contrast))
    density: Densities = np.maximum(cv2.LUT(image, _DENSITIES), 0) ** bend
    if rng.random() < jitter.fade:
        density = _faded(density, rng)
    dyed = cv2.transform(density, dyes.astype(np.float32))
    levels = np.exp(-dyed) * ((255 - _LIFT) * light).astype(np.float32) - _LIFT
    return np.clip(levels + 0.5, 0, 255).astype(np.uint8)


def _other_dyes(spread: float, rng: np.random.Generator) -> NDArray[np.float64]:
    """float64 (3, 3): densities → what they were with an eosin and azures of other colours.

    Red cells may be grey beside magenta nuclei in one laboratory, and pink beside blue ones in
    another. The azures, which nuclei are made out by, change half as much.
    """
    eosin = _EOSIN * _around_one(rng, spread, 3)
    azure = _AZURE * _around_one(rng, spread / 2, 3)
    return np.column_stack([eosin, azure, _NEITHER]) @ _AMOUNTS


def _faded(density: Densities, rng: np.random.Generator) -> Densities:
    """The densities of the channels drawn together, so that shape and grain must tell the cell."""
    grey = density @ rng.dirichlet((2, 3, 1)).astype(np.float32)
    share = np.float32(rng.uniform(0.3, 1.0))
    tone = _around_one(rng, 0.25, 3).astype(np.float32)
    return np.asarray((1 - share) * density + share * grey[..., np.newaxis] * tone, np.float32)


def _roughened(image: Pixels, jitter: Jitter, rng: np.random.Generator) -> Pixels:
    """Now and then sharpened, out of focus, noisy, compressed, or with a patch hidden."""
    if rng.random() < jitter.sharpen:
        image = _sharpened(image, rng)
    elif rng.random() < jitter.blur:
        image = np.asarray(cv2.GaussianBlur(image, (0, 0), rng.uniform(0.4, 2.0)), np.uint8)
    if rng.random() < jitter.noise:
        image = _noisy(image, rng)
    if rng.random() < jitter.compression:
        quality = [cv2.IMWRITE_JPEG_QUALITY, int(rng.integers(40, 90))]
        encoded = cv2.imencode(".jpg", image, quality)[1]
        image = np.asarray(cv2.imdecode(encoded, cv2.IMREAD_COLOR), np.uint8)
    if rng.random() < jitter.erase:
        image = _erased(image, rng)
    return image


def _sharpened(image: Pixels, rng: np.random.Generator) -> Pixels:
    """As cameras do it: what a blur takes away is added."""
    gain = rng.uniform(0.3, 1.5)
    soft = cv2.GaussianBlur(image, (0, 0), rng.uniform(0.8, 2.0))
    return np.asarray(cv2.addWeighted(image, 1 + gain, soft, -gain, 0), np.uint8)


def _noisy(image: Pixels, rng: np.random.Generator) -> Pixels:
    grey = rng.normal(0, rng.uniform(2, 9), (*image.shape[:2], 1))
    colored = rng.normal(0, rng.uniform(0, 5), image.shape)
    return np.clip(image + grey + colored, 0, 255).astype(np.uint8)


def _erased(image: Pixels, rng: np.random.Generator) -> Pixels:
    """A square of one colour in place of a part (Z. Zhong et al., Random Erasing, 2017)."""
    height, width = image.shape[:2]
    side = int(min(height, width) * rng.uniform(0.12, 0.3))
    top, left = rng.integers(0, height - side), rng.integers(0, width - side)
    hidden = image.copy()
    hidden[top : top + side, left : left + side] = rng.integers(*_GREY_RANGE, 3)
    return hidden


def _around_one(
    rng: np.random.Generator, spread: float, count: int | None = None
) -> NDArray[np.float64]:
    """Factors as often above one as below: exp of a uniform draw from -spread to spread."""
    return np.asarray(np.exp(rng.uniform(-spread, spread, count)), np.float64)


def mixed(
    images: Floats, labels: Floats, share: float, rng: np.random.Generator
) -> tuple[Floats, Floats]:
    """Copies of a batch in which about `share` of the images are mixed with others of it.

    Args:
        images: float32 (N, height, width, 3).
        labels: float32 (N, classes), each row's sum 1.
        share: of the images, 0 to 1; half of them by MixUp, half by CutMix.
        rng: where the draws come from.
    """
    partners = rng.permutation(len(images))
    blended, described = images.copy(), labels.copy()
    for index in np.flatnonzero(rng.random(len(images)) < share):
        partner = images[partners[index]]
        mix = _mixup if rng.random() < 0.5 else _cutmix
        blended[index], weight = mix(images[index], partner, rng)
        described[index] = weight * labels[index] + (1 - weight) * labels[partners[index]]
    return blended, described


def _mixup(image: Floats, other: Floats, rng: np.random.Generator) -> tuple[Floats, float]:
    """The two laid over each other, and the share of the first."""
    weight = rng.beta(MIXUP, MIXUP)
    return (weight * image + (1 - weight) * other).astype(np.float32), weight


def _cutmix(image: Floats, other: Floats, rng: np.random.Generator) -> tuple[Floats, float]:
    """The first with a rectangle of the second in it, and the share of the first that is left."""
    height, width = image.shape[:2]
    side = math.sqrt(1 - rng.beta(CUTMIX, CUTMIX))
    tall, wide = round(side * height), round(side * width)
    top, left = rng.integers(height - tall + 1), rng.integers(width - wide + 1)
    cut = image.copy()
    cut[top : top + tall, left : left + wide] = other[top : top + tall, left : left + wide]
    return cut, 1 - tall * wide / (height * width)
