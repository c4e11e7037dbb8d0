"""Files on their way in: announced, sent one by one or as an archive, refused or skipped."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from contract.base import Answer, Cursor, FileState, Request
from lexicon.folders import SKIPS

MOST_ENTRIES = 1000
_LARGEST = 2**62

FileName = Annotated[str, Field(max_length=4096, description="The file's path in its folder.")]


class AnnouncedFile(Request):
    """One line of a manifest."""

    name: FileName
    size: Annotated[int, Field(ge=0, le=_LARGEST, description="In bytes.")]
    sha256: (
        Annotated[str, Field(pattern=r"^[0-9a-f]{64}$", description="In hexadecimal.")] | None
    ) = None


class UnsentFile(Request):
    """A file that is not sent, and why."""

    name: FileName
    reason: Literal[tuple(SKIPS)]  # type: ignore[valid-type]


class Manifest(Request):
    """Files that will be sent, and those that are skipped."""

    files: Annotated[list[AnnouncedFile], Field(max_length=MOST_ENTRIES)]
    skipped: Annotated[tuple[UnsentFile, ...], Field(max_length=MOST_ENTRIES)] = ()


class FileStatus(Answer):
    """What became of a file."""

    id: int = Field(description="The id of the image.")
    state: FileState
    reason: str | None = Field(description="Why it was refused, as a word for programs.")
    message: str | None = Field(description="Why it was refused, in a sentence.")


class ManifestLine(FileStatus):
    """What became of an announced file."""

    needed: bool = Field(description="Whether its bytes are to be sent.")


class ManifestAnswer(Answer):
    """One line for each announced file, in the same order."""

    files: list[ManifestLine]


class RefusedFile(Answer):
    """A file that was not accepted."""

    name: str
    reason: str = Field(description="Why, as a word for programs.")
    message: str = Field(description="Why, in a sentence.")


class SkippedFile(Answer):
    """A file that is no part of the job."""

    name: str
    reason: str = Field(description="Why, as a word for programs.")
    message: str = Field(description="Why, for people.")


class ArchiveReceipt(Answer):
    """How many files of an archive were accepted, refused and skipped: each is one of the three."""

    accepted: int
    refused: int
    skipped: int
    refusals: list[RefusedFile] = Field(description="The first of the refused files.")
    skips: list[SkippedFile] = Field(description="The first of the skipped files.")


class SkippedPage(Answer):
    """A page of the files that were skipped."""

    files: list[SkippedFile]
    next: Cursor | None


class ProblemFile(Answer):
    """A file of a job that has no result."""

    name: str
    state: str = Field(description="`refused` or `failed`.")
    reason: str | None = Field(description="Why, as a word for programs.")
    message: str | None = Field(description="Why, in a sentence.")


class ProblemPage(Answer):
    """A page of the files that were refused or failed."""

    files: list[ProblemFile]
    next: Cursor | None
