"""The door: what is sent is hashed, looked at by its headers, counted against quotas, and kept.

`door` takes one file, `archives` many in one body. Nothing is decoded here, and no job is known.
"""

from core.intake.door import (
    SMALLEST_SIDE,
    Accepted,
    Arrival,
    Limits,
    accept,
    refusal,
    refused_by_name,
)
from core.intake.quotas import Usage

__all__ = [
    "SMALLEST_SIDE",
    "Accepted",
    "Arrival",
    "Limits",
    "Usage",
    "accept",
    "refusal",
    "refused_by_name",
]
