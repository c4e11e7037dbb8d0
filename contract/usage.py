"""The storage in use, and the limits."""

from __future__ import annotations

from pydantic import Field

from contract.base import Answer


class Usage(Answer):
    """What is in use; null means that there is no limit."""

    bytes: int = Field(description="Storage of images.")
    bytes_allowed: int | None
    open_jobs: int = Field(description="Jobs that have not ended.")
    open_jobs_allowed: int | None


class UsageAnswer(Answer):
    """What this person uses, and all people together."""

    person: Usage
    laboratory: Usage
