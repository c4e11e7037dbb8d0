"""What a recipe says: everything a training run depends on, but for data, weights and seed."""

from __future__ import annotations

from dataclasses import dataclass

from ml.bundle import Architecture
from ml.images import InputShape


@dataclass(frozen=True)
class Jitter:
    """How far training images are changed (see `ml.augmentation`); zero changes nothing.

    `turn` is a share of a full turn; `zoom`, `stretch` and `shift` are shares of the side;
    `light` and `contrast` are relative; `tint` is the relative change of each colour channel.
    """

    turn: float = 0.5
    zoom: float = 0.2
    stretch: float = 0.1
    shift: float = 0.05
    light: float = 0.1
    contrast: float = 0.15
    tint: float = 0.05


@dataclass(frozen=True)
class Recipe:
    """One way to train a network; a key that is none of these is an error.

    `per_class` caps the images of a class from one data folder, spread over its photographs
    (None takes all); `head_passes` train the head on the features of the frozen base, computed
    once, at `head_rate`; `passes` then train everything, from `rate` down to nothing by a cosine,
    on images changed by `jitter`. `validation` is the share of photographs held out.
    """

    name: str
    version: str
    classes: tuple[str, ...]
    shape: InputShape
    architecture: Architecture
    dropout: float
    head_passes: int
    head_rate: float
    passes: int = 0
    rate: float = 0.0
    batch: int = 32
    smoothing: float = 0.0
    jitter: Jitter | None = None
    per_class: int | None = None
    validation: float = 0.12
    intended_use: str = ""
