"""PDF reports: ordered, made, and fetched once they are ready."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from contract.base import Answer, Request

MakingState = Annotated[str, Field(description="`waiting`, `making`, `ready` or `failed`.")]


class ReportOrder(Request):
    """What is ordered."""

    paper: str = Field(default="A4", description="The size of its pages: A4 or Letter.")


class ReportStatus(Answer):
    """How far a report is."""

    id: int
    state: MakingState
    paper: str
    message: str | None = Field(description="Why it is late, or could not be made, in a sentence.")
    url: str = Field(description="The path of the PDF, once the report is ready.")
