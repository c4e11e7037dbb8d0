"""Models, as the API and the pages show them."""

from __future__ import annotations

import datetime as dt
from collections.abc import Sequence
from dataclasses import dataclass

from contract.cells import CellClass
from contract.models import ChoosableModel
from core import jobs
from core.registry import Agreement, Listed, Score, read_scores
from core.tables import Model
from web.shown.summaries import cell_class


def summarise_model(model: Model) -> ChoosableModel:
    """Return a model with its classes; those with few training images are marked."""
    few = jobs.few_shot([model])
    return ChoosableModel(
        digest=model.digest,
        name=model.name,
        version=model.version,
        state=model.state.value,
        classes=[cell_class(name, few) for name in model.classes],
    )


@dataclass(frozen=True, slots=True)
class AgreedClass:
    """Of the images that the active model puts into a class: how many, how many both put there."""

    cell: CellClass
    images: int
    equal: int

    @property
    def share(self) -> float:
        """Share of the images on which both agree, 0 to 1."""
        return self.equal / self.images


@dataclass(frozen=True, slots=True)
class ListedModel:
    """A model for administrators: scores, use, and its agreement with the active one.

    ``workers`` have loaded it; without ``complete`` its results are kept, but not its bundle;
    ``other_classes`` says whether its classes differ from those of the active model.
    """

    model: ChoosableModel
    scores: Sequence[Score]
    jobs: int
    workers: int
    complete: bool
    added_at: dt.datetime | None
    activated_at: dt.datetime | None
    sources: Sequence[str]
    signed_by: str
    agreement: Agreement | None
    agreed_classes: Sequence[AgreedClass]
    other_classes: bool


def summarise_listed(listed: Listed, current: Model | None, workers: int) -> ListedModel:
    """Return a model for administrators, beside the ``current`` one, which is active."""
    model, agreement = listed.model, listed.agreement
    return ListedModel(
        model=summarise_model(model),
        scores=read_scores(model.scores),
        jobs=listed.jobs,
        workers=workers,
        complete=model.added_at is not None,
        added_at=model.added_at,
        activated_at=model.activated_at,
        sources=model.facts.get("sources", ()),
        signed_by=model.signed_by,
        agreement=agreement,
        agreed_classes=[
            AgreedClass(cell_class(agreed.name), agreed.images, agreed.equal)
            for agreed in (agreement.classes if agreement else ())
        ],
        other_classes=set(model.classes) != set(current.classes) if current else False,
    )
