"""The models that classify, and which of them a job may be given to."""

from __future__ import annotations

from pydantic import Field

from contract.base import Answer, Digest
from contract.cells import CellClass


class ModelIdentity(Answer):
    """Which model it is. Two models of one name and version have different digests."""

    name: str
    version: str
    digest: Digest


class ChoosableModel(Answer):
    """A model that a job may be given to."""

    digest: Digest
    name: str
    version: str
    state: str = Field(description="`active`, `shadow`, `candidate` or `retired`.")
    classes: list[CellClass] = Field(description="What it tells apart, in the network's order.")


class ModelList(Answer):
    """The models that this person may choose, the active one first."""

    models: list[ChoosableModel]
