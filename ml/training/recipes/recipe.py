"""What a recipe says: everything a training run depends on, but for data, weights and seed."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any, Literal

from pydantic import TypeAdapter, ValidationError

from ml.bundle import Architecture
from ml.decoding import InputShape
from ml.errors import MlError

FOUR_CLASSES = ("eosinophil", "lymphocyte", "monocyte", "neutrophil")
EIGHT_CLASSES = (
    "basophil",
    "eosinophil",
    "erythroblast",
    "immature_granulocyte",
    "lymphocyte",
    "monocyte",
    "neutrophil",
    "platelet",
)
# What says which recipe it is rather than what it does; the protocol has an option of its own.
FIXED = ("changes", "name", "protocol", "version")
LEAKING = "leaking"


@dataclass(frozen=True)
class Jitter:
    """How far training images are changed (see `ml.training.augmentation`); zero changes nothing.

    `turn` is a share of a full turn; `shift` one of the side. `zoom`, `stretch`, `density` (how
    long it was stained), `stain` (each colour channel's density), `light` and `contrast` are the
    logarithms of the largest factors; so is `dyes`, of the factors by which the colours of eosin
    and of the azures change in each channel, the one apart from the others. `hue` is how much of a
    channel's density another one takes on. `fade`, `sharpen`, `blur`, `noise`, `compression` and
    `erase` are the shares of images that it happens to: that their colours fade towards grey, and
    so on.
    """

    turn: float = 1.0
    zoom: float = 0.2
    stretch: float = 0.12
    shift: float = 0.08
    density: float = 0.2
    stain: float = 0.15
    hue: float = 0.1
    dyes: float = 0.0
    light: float = 0.06
    contrast: float = 0.1
    fade: float = 0.0
    sharpen: float = 0.0
    blur: float = 0.3
    noise: float = 0.2
    compression: float = 0.2
    erase: float = 0.1


@dataclass(frozen=True)
class Recipe:
    """One way to train a network; a key that is none of these is an error.

    Images: `locate` crops to the cell first, to a square of `span` red-cell diameters or, where it
    is 0 or no red cells are seen, `margin` times as long as the cell; training images are kept in
    the size `stored`, of the same scale as `shape` but with more round the cell, for jitter to
    bring into sight (None: `shape`); `jitter` changes them; `mix` is the share of images mixed with
    another one, by MixUp or CutMix; `style` that of images that take on another one's style inside
    the network.

    Samples: `sources` are the data folders to learn from and how often each is drawn (empty: any,
    equally often); `per_class` caps the images of a class from one folder, spread over its
    photographs (None takes all); `per_pass` images are drawn a pass, every class equally often
    (None: every image once); an image of a `few_shot` class is drawn at most `few_shot_repeat`
    times a pass; `validation` is the share of photographs held out. The protocol "random" holds
    out images whatever photograph they are of, which leaks: only to repeat published figures.

    Passes: `head_passes` train the head on the features of the frozen base, computed once, from
    `head_rate` down to nothing by a cosine; `passes` then train everything, from `rate` down to
    `rest` times it. `average` is the momentum of the moving average of the weights that is judged
    and kept (0: none); with a rate that does not fall, it is what brings them to rest. After
    `patience` passes without a better validation score training stops, and the best pass's weights
    are kept (0: it never stops, and the last pass's are).

    Serving: with `int8` the network is written in 8 bits, too, if it answers alike, for CPUs that
    gain by it (see `ml.training.quantization`).

    Judging: an image with no class as probable as `doubt` is looked at from more sides; with
    `trust`, the validation photographs say when to believe the network (see `ml.trust`);
    `references` cells of each class go with it to compare new ones with, for which `attribution`
    says whose images they are and under which licences.

    `changes` are the fields set otherwise than in the recipe's file, as FIELD=VALUE.

    Raises:
        ValueError: if a number is out of its range, a few-shot class is no class, or `stored` is
            set without `locate`.
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
    rest: float = 0.0
    batch: int = 32
    smoothing: float = 0.0
    average: float = 0.0
    patience: int = 0
    locate: bool = False
    margin: float = 1.3
    span: float = 0.0
    stored: InputShape | None = None
    jitter: Jitter | None = None
    mix: float = 0.0
    style: float = 0.0
    sources: tuple[tuple[str, float], ...] = ()
    per_class: int | None = None
    per_pass: int | None = None
    few_shot: tuple[str, ...] = ()
    few_shot_repeat: int = 1
    validation: float = 0.12
    protocol: Literal["grouped", "random"] = "grouped"
    int8: bool = True
    doubt: float = 0.0
    trust: bool = False
    references: int = 0
    attribution: str = ""
    intended_use: str = ""
    changes: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        for name in ("dropout", "smoothing", "average", "validation"):
            if not 0 <= getattr(self, name) < 1:
                raise ValueError(f"{name} must be at least 0 and below 1")
        for name in ("doubt", "mix", "rest", "style"):
            if not 0 <= getattr(self, name) <= 1:
                raise ValueError(f"{name} must be from 0 to 1")
        for name in ("batch", "few_shot_repeat", "per_pass", "per_class"):
            value = getattr(self, name)
            if value is not None and value < 1:
                raise ValueError(f"{name} must be at least 1")
        for name in ("head_passes", "head_rate", "passes", "rate", "patience"):
            if getattr(self, name) < 0:
                raise ValueError(f"{name} must not be negative")
        if self.stored is not None and not self.locate:
            raise ValueError("stored needs locate: of whole images nothing more can be kept")
        if not set(self.few_shot) <= set(self.classes):
            raise ValueError("few_shot must name classes of the recipe")
        if any(weight <= 0 for _, weight in self.sources):
            raise ValueError("the weights of sources must be above 0")

    @property
    def stored_shape(self) -> InputShape:
        """The size that training images are kept in."""
        return self.stored or self.shape


class BadChange(MlError):
    """A change to a recipe names no field of it, or a value that the field can't take."""


def variant(recipe: Recipe, changes: Sequence[str]) -> Recipe:
    """The recipe with each `FIELD=VALUE` applied, under a name of its own.

    A field inside another one is named with a dot (`jitter.zoom=0.3`); a tuple is written as
    JSON or, where it holds words, with commas; `none` stands for no value. The name tells a
    variant from the recipe, and two variants from each other.

    Raises:
        BadChange: if there is no such field, or the value is not of its type or range.
    """
    if not changes:
        return recipe
    values = asdict(recipe)
    for change in changes:
        _set(values, change)
    try:
        changed = TypeAdapter(Recipe).validate_python(values)
    except ValidationError as error:
        raise BadChange(_sentence(error)) from None
    mark = hashlib.sha256("\n".join(sorted(changes)).encode()).hexdigest()[:6]
    return replace(changed, name=f"{recipe.name}-variant-{mark}", changes=tuple(changes))


def leaking(recipe: Recipe) -> Recipe:
    """The recipe by the random protocol, under a name that says that its scores leak."""
    return replace(recipe, name=f"{recipe.name}-{LEAKING}", protocol="random")


def _set(values: dict[str, Any], change: str) -> None:
    path, equals, text = change.partition("=")
    *parents, field = path.strip().split(".")
    if not equals or not field:
        raise BadChange(f"{change!r} is not a change to a recipe. Write FIELD=VALUE.")
    target: Any = values
    for parent in parents:
        target = target.get(parent) if isinstance(target, dict) else None
    if not isinstance(target, dict) or field not in target or path in FIXED:
        owner = ".".join(parents) or "a recipe"
        fields = sorted(set(target) - set(FIXED)) if isinstance(target, dict) else []
        what = f"the fields of {owner} are {', '.join(fields)}" if fields else f"{owner} has none"
        raise BadChange(f"{path.strip()!r} can't be set: {what}.")
    target[field] = _value(text.strip(), target[field])


def _value(text: str, now: Any) -> Any:
    """Return the value that a command-line text means; `now` is the field's present value."""
    if text.lower() == "none":
        return None
    if text.startswith(("[", "{")):
        try:
            return json.loads(text)
        except ValueError:
            raise BadChange(f"{text!r} is not JSON.") from None
    if isinstance(now, tuple):
        return tuple(word.strip() for word in text.split(",") if word.strip())
    return text


def _sentence(error: ValidationError) -> str:
    first = error.errors()[0]
    field = ".".join(str(part) for part in first["loc"])
    told = first["msg"].removeprefix("Value error, ")
    where = f"{field}={first['input']} is refused: " if field else ""
    return f"The recipe can't be changed like this: {where}{told}."
