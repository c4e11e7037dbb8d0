"""All results of a job in one file, `results.json`."""

from __future__ import annotations

from pydantic import Field

from contract.base import Answer, Digest, FileState, Share
from contract.cells import BestGuess, Box, Candidates, Familiarity, OutcomeWord
from contract.jobs import JobDetails


class ResultModel(Answer):
    """A model whose results are in the file."""

    name: str
    version: str
    digest: Digest
    classes: list[str] = Field(description="What it tells apart, in the network's order.")
    few_shot: list[str] = Field(description="Those of which it was trained on few images.")
    calibrated: bool = Field(description="Whether its probabilities are calibrated.")


class ResultsHead(Answer):
    """What stands before the files."""

    notice: str = Field(description="What the results may be used for.")
    job: JobDetails
    models: list[ResultModel]


class ResultFile(Answer):
    """One file and its result; a duplicate carries the result of the first file."""

    file: str = Field(description="The file's path, as it was sent.")
    state: FileState
    class_name: BestGuess | None = Field(alias="class")
    confidence: Share | None = Field(description="Probability of the class, 0 to 1.")
    outcome: OutcomeWord | None
    candidates: Candidates
    reason: str = Field(description="Why it was not accepted, as a word; empty if it was.")
    familiarity: Familiarity | None
    box: Box | None
    model_digest: Digest | None
    probabilities: dict[str, float] = Field(description="By class, 0 to 1; their sum is 1.")
    message: str | None = Field(description="What went wrong, or which file it is identical to.")


class Results(ResultsHead):
    """The whole file."""

    files: list[ResultFile] = Field(description="All files, in the order of the manifest.")
