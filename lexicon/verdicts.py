"""The verdict: what a model says about an image, in one form for all rooms."""

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
        """Return the same box with its edges rounded to ``digits`` digits."""
        return Box(*(round(edge, digits) for edge in self))


@dataclass(frozen=True, slots=True)
class Verdict:
    """What one model says about one image.

    ``label`` is the most probable class and ``confidence`` its probability; ``probabilities`` are
    in the order of the model's classes and sum to 1. ``candidates`` are the classes that it can't
    tell apart, the most probable first; ``reason`` says why the image was not accepted, as a code
    of `lexicon.outcomes`; ``familiarity`` is the share of the model's validation cells that are at
    least as unusual as this one, 0 to 1; ``box`` is where the cell was found.
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
        values = {name: _plain(getattr(self, name)) for name in FIELDS}
        return values | {"candidates": values["candidates"] or [self.label]}

    @classmethod
    def of(cls, *columns: Any) -> Verdict:
        """Return the verdict from the columns of a table, in the order of `FIELDS`."""
        values = dict(zip(FIELDS, columns, strict=True))
        values["outcome"] = Outcome(values["outcome"])
        values["probabilities"] = tuple(values["probabilities"])
        values["candidates"] = tuple(values["candidates"])
        values["box"] = values["box"] and Box(*values["box"])
        return cls(**values)


FIELDS = tuple(field.name for field in fields(Verdict))


def _plain(value: Any) -> Any:
    if isinstance(value, tuple):
        return list(value)
    return value.value if isinstance(value, Outcome) else value
