"""How well another model agrees with the active one on the images that both have judged."""

from __future__ import annotations

from dataclasses import dataclass

from sqlalchemy import case, func, select
from sqlalchemy.orm import Session, aliased

from core.tables import Prediction
from lexicon.cells import display_order


@dataclass(frozen=True, slots=True)
class ClassAgreement:
    """Images that the active model puts into one class, and how many of them both put there."""

    name: str
    images: int
    equal: int


@dataclass(frozen=True, slots=True)
class Agreement:
    """Over all images that both models have judged, and by the active model's classes."""

    images: int
    equal: int
    classes: tuple[ClassAgreement, ...]

    @property
    def share(self) -> float | None:
        """Share of the images on whose class both agree, 0 to 1; None before there is any."""
        return self.equal / self.images if self.images else None


def compare(session: Session, active: str, other: str) -> Agreement:
    """Compare the classes two models, named by their digests, have given to the same images."""
    ours, theirs = aliased(Prediction), aliased(Prediction)
    rows = session.execute(
        select(ours.label, func.count(), func.sum(case((ours.label == theirs.label, 1), else_=0)))
        .join(theirs, theirs.image_id == ours.image_id)
        .where(ours.model_digest == active, theirs.model_digest == other)
        .group_by(ours.label)
    )
    classes = tuple(
        ClassAgreement(name, count, int(equal))
        for name, count, equal in sorted(rows, key=lambda row: display_order(row[0]))
    )
    images, equal = (sum(getattr(one, kind) for one in classes) for kind in ("images", "equal"))
    return Agreement(images, equal, classes)
