"""Images and their results."""

from __future__ import annotations

from pydantic import Field

from contract.base import Answer, Cursor, Digest, FileState, Share
from contract.cells import BestGuess, Box, Candidates, CellClass, Familiarity, OutcomeWord
from contract.models import ModelIdentity


class Tile(Answer):
    """An image as the gallery shows it; without a result, what says the result is null or empty."""

    id: int
    name: str = Field(description="The file's path, as it was sent.")
    state: FileState
    class_name: BestGuess | None = Field(alias="class")
    label: str | None = Field(description="The same class for people.")
    code: str | None = Field(description="The same class in two or three letters.")
    colour: str | None = Field(description="Its colour in charts, such as `#0072B2`.")
    few_shot: bool = Field(description="Whether the model was trained on few images of it.")
    confidence: Share | None = Field(description="Probability of the class, 0 to 1.")
    reason: str | None = Field(
        description="Why it was not accepted, or has no result, as a word for programs."
    )
    message: str | None = Field(description="What went wrong with the file, in a sentence.")
    url: str = Field(description="The path of its page.")
    thumbnail: str | None = Field(description="The path of a small copy, null if there is none.")
    pictured: bool = Field(description="Whether the copy is there, or has yet to be made.")
    outcome: OutcomeWord | None
    outcome_words: str | None = Field(description="The outcome and the reason, for people.")
    candidates: Candidates
    codes: str | None = Field(description="The candidates in letters, such as `EO / NE`.")
    why: str | None = Field(description="The reason in a few words.")


class TilePage(Answer):
    """A page of a job's images."""

    images: list[Tile]
    next: Cursor | None


class ClassProbability(CellClass):
    """One class and its probability."""

    probability: Share


class ImageDetails(Tile):
    """One image with all its probabilities; a duplicate carries the result of the first file."""

    duplicate_of: int | None = Field(description="The id of the first file of the same bytes.")
    job: int = Field(description="The id of its job.")
    size: int = Field(description="The file's size in bytes.")
    format: str | None = Field(description="`JPEG`, for example; null without a stored file.")
    width: int | None = Field(description="In pixels.")
    height: int | None = Field(description="In pixels.")
    sha256: Digest | None
    picture: str | None = Field(description="The path of a large copy, null if there is none.")
    explanation: str | None = Field(description="The reason in a sentence, and what to do.")
    familiarity: Familiarity | None
    box: Box | None
    calibrated: bool = Field(description="Whether the probabilities are calibrated.")
    classes: list[ClassProbability] = Field(description="All classes, the most probable first.")
    model: ModelIdentity | None = Field(description="The model that says so.")
