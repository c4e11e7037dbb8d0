"""Explanations: what the network looked at in an image, and the cells that resemble it."""

from __future__ import annotations

from pydantic import Field

from contract.base import Answer, Digest
from contract.cells import CellClass
from contract.reports import MakingState


class ExplanationStatus(Answer):
    """How far an explanation is."""

    state: MakingState
    message: str | None = Field(description="Why it could not be made, in a sentence.")
    url: str = Field(description="The path of this answer.")
    model_digest: Digest


class ReferenceCell(CellClass):
    """A cell of the model's references that resembles the image."""

    similarity: float = Field(description="The cosine of their features, 0 to 1.")
    source: str = Field(description="The collection that the cell is from.")
    picture: str = Field(description="The path of its picture, a JPEG.")


class ReadyExplanation(CellClass, ExplanationStatus):
    """An explanation that is ready; the class is the one that is explained."""

    rather_than: CellClass | None = Field(description="The next most probable class.")
    crop: str = Field(description="The path of the crop that the network saw, a PNG.")
    heat: str = Field(description="The path of a map, a PNG: what supports the class.")
    contrast: str | None = Field(description="The same: what supports it rather than the next.")
    nearest: list[ReferenceCell] = Field(description="The most similar ones; may be empty.")
    nearest_of_each_class: list[ReferenceCell]
    empty: list[str] = Field(description="Those of the maps in which nothing supports the class.")
    attribution: str = Field(description="Whom to name where the reference cells are shown.")
