"""Whether the server can serve: the answer of `/healthz`, which anybody may ask for."""

from __future__ import annotations

from pydantic import Field

from contract.base import Answer


class Health(Answer):
    """What is usable. The status is 503 if pages and work can't go on, else 200."""

    database: bool = Field(description="Whether the database can be written to.")
    queue: bool = Field(description="Whether the broker answers. Without it, work starts later.")
    store: bool = Field(description="Whether the store of images can be written to.")
    space: bool = Field(description="Whether the disks have room for new images.")
    workers: int | None = Field(description="How many workers are alive, null if not known.")
    problems: tuple[str, ...] = Field(description="What is out of order, as codes of errors.")
