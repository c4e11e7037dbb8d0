"""The one shape of an answer: what a model says of an image."""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import Any, NamedTuple

from lexicon.outcomes import Outcome


class Box(NamedTuple):
    """A rectangle in an image, its edges as shares of the image's width and height, 0 to 1."""

    left: float
    top: float
    right: float
    bottom: float

    def rounded(self, digits: int) -> Box:
        """The same, its edges rounded to so many digits."""
        return Box(*(round(edge, digits) for edge in self))


@dataclass(frozen=True, slots=True)
class Verdict:
    """What one model says of one image.

    ``label`` is the most probable class and ``confidence`` its probability; ``probabilities`` are
    in the order of the model's classes and sum to 1. ``candidates`` are the classes that it can't
    tell apart, the most probable first; ``reason`` is why it was not accepted, a code of
    `lexicon.outcomes`; ``familiarity`` is the share of the model's validation cells at least as
    unusual as this one, 0 to 1; ``box`` is where the cell was found.
    """

    label: str
    confidence: float
    outcome: Outcome
    probabilities: tuple[float, ...]
    candidates: tuple[str, ...] = ()
    reason: str = ""
    familiarity: float | None = None
    box: Box | None = None

    def columns(self) -> dict[str, Any]:
        """Return the fields as a table keeps them; without candidates the label is the only one."""
        kept = {name: _plain(getattr(self, name)) for name in FIELDS}
        return kept | {"candidates": kept["candidates"] or [self.label]}

    @classmethod
    def of(cls, *columns: Any) -> Verdict:
        """Return the verdict whose fields a table keeps so, in the order of `FIELDS`."""
        kept = dict(zip(FIELDS, columns, strict=True))
        kept["outcome"] = Outcome(kept["outcome"])
        kept["probabilities"] = tuple(kept["probabilities"])
        kept["candidates"] = tuple(kept["candidates"])
        kept["box"] = kept["box"] and Box(*kept["box"])
        return cls(**kept)


FIELDS = tuple(field.name for field in fields(Verdict))


def _plain(value: Any) -> Any:
    if isinstance(value, tuple):
        return list(value)
    return value.value if isinstance(value, Outcome) else value
