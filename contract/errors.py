"""What is answered, with a status of 400 or more, instead of what was asked for."""

from __future__ import annotations

from pydantic import Field

from contract.base import Answer


class ErrorDetails(Answer):
    """What went wrong."""

    code: str = Field(description="A stable word for programs, such as `not_found`.")
    message: str = Field(description="A sentence for people: what went wrong and what to do.")


class ErrorAnswer(Answer):
    """The only key of an error is its details."""

    error: ErrorDetails
