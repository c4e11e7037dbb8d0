"""A class of cells, as every answer names it, and what a model says of one cell."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from contract.base import Answer

BestGuess = Annotated[
    str,
    Field(description="The most probable class; unless the outcome is accepted, only a guess."),
]
OutcomeWord = Annotated[str, Field(description="`accepted`, `uncertain` or `unfamiliar`.")]
Candidates = Annotated[
    list[str],
    Field(description="The classes that the model can't tell apart, the most probable first."),
]
Familiarity = Annotated[
    float,
    Field(
        description="Share of the model's validation cells that look at least as unusual, 0 to 1."
    ),
]
Box = Annotated[
    tuple[float, float, float, float],
    Field(description="Left, top, right and bottom edge as shares of width and height, 0 to 1."),
]


class CellClass(Answer):
    """A class of cells: its name for programs, and how it is shown to people."""

    class_name: str = Field(alias="class", description="Its name for programs: `neutrophil`.")
    label: str = Field(description="Its name for people: `Neutrophil`.")
    code: str = Field(description="Two or three letters for narrow places: `NE`.")
    colour: str = Field(description="Its colour in charts, such as `#0072B2`.")
    few_shot: bool = Field(description="Whether the model was trained on few images of it.")
