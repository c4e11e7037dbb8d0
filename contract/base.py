"""What all answers and requests have in common."""

from __future__ import annotations

from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field

Time = Annotated[
    str,
    Field(
        description="A time in ISO 8601, with its offset from UTC.",
        json_schema_extra={"format": "date-time"},
    ),
]
Share = Annotated[float, Field(description="A part of a whole, 0 to 1.")]
Digest = Annotated[str, Field(description="SHA-256 in lower-case hexadecimal: 64 characters.")]
FileState = Annotated[
    str,
    Field(description="`expected`, `received`, `classified`, `duplicate`, `refused` or `failed`."),
]
Cursor = Annotated[
    str,
    Field(description="Send it as `before` to get the next page. Its content is not for reading."),
]


class Answer(BaseModel):
    """What the server says. Keys that a newer server adds are passed over."""

    model_config = ConfigDict(
        frozen=True, extra="ignore", validate_by_name=True, validate_by_alias=True
    )


class Request(BaseModel):
    """What a program sends as the JSON body of a request."""

    model_config = ConfigDict(frozen=True)
