"""The differential of a job: accepted cells by class, and separately the cells for review."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from sqlalchemy import Integer, cast, func, select, true
from sqlalchemy.orm import InstrumentedAttribute, Session

from core.db import entries
from core.tables import Model, Shard
from lexicon.cells import display_order
from lexicon.outcomes import Outcome, advice


@dataclass(frozen=True, slots=True)
class ClassCount:
    """The accepted cells of one class: their number, share of all accepted, and 95 % interval."""

    name: str
    count: int
    share: float
    low: float
    high: float


@dataclass(frozen=True, slots=True)
class Differential:
    """The classes in display order. classified = accepted + uncertain + unfamiliar, always."""

    classes: tuple[ClassCount, ...]
    accepted: int
    uncertain: int
    unfamiliar: int

    @property
    def classified(self) -> int:
        """All cells that have a verdict."""
        return self.accepted + self.to_check

    @property
    def to_check(self) -> int:
        """Cells that need review by a person."""
        return self.uncertain + self.unfamiliar

    @property
    def advice(self) -> str:
        """What to do if many are unfamiliar, in a sentence or two; empty if they are few."""
        return advice(self.unfamiliar, self.classified)

    @property
    def outcomes(self) -> dict[Outcome, int]:
        """The counts by outcome."""
        counts = (self.accepted, self.uncertain, self.unfamiliar)
        return dict(zip(Outcome, counts, strict=True))


def differential(session: Session, job_id: int) -> Differential:
    """Add up what the shards of a job have counted: no image row is read.

    The interval is Wilson's score interval (E. B. Wilson, JASA 22, 1927).
    """
    uncertain, unfamiliar = session.execute(
        select(func.sum(Shard.uncertain), func.sum(Shard.unfamiliar)).where(Shard.job_id == job_id)
    ).one()
    accepted = _added_up(session, job_id, Shard.accepted)
    total = sum(accepted.values())
    names = sorted(accepted, key=display_order)
    classes = tuple(_class_count(name, accepted[name], total) for name in names)
    return Differential(classes, total, int(uncertain or 0), int(unfamiliar or 0))


def _added_up(
    session: Session, job_id: int, column: InstrumentedAttribute[dict[str, int]]
) -> dict[str, int]:
    """Return the sums of what the shards count by name, added up by the database: a third of the
    time."""
    counted = entries(column).table_valued("key", "value")
    rows = session.execute(
        select(counted.c.key, func.sum(cast(counted.c.value, Integer)))
        .select_from(Shard)
        .join(counted, true())
        .where(Shard.job_id == job_id)
        .group_by(counted.c.key)
    )
    return {name: int(count) for name, count in rows}


def _class_count(name: str, count: int, total: int) -> ClassCount:
    z = 1.959964
    share = count / total
    centre = (share + z * z / (2 * total)) / (1 + z * z / total)
    half = z / (1 + z * z / total) * (share * (1 - share) / total + z * z / (4 * total**2)) ** 0.5
    return ClassCount(name, count, share, max(0.0, centre - half), min(1.0, centre + half))


def to_check(session: Session, job_ids: Iterable[int]) -> dict[int, int]:
    """Return how many cells need review, for each job that has any."""
    waiting = func.sum(Shard.uncertain + Shard.unfamiliar)
    rows = session.execute(
        select(Shard.job_id, waiting)
        .where(Shard.job_id.in_(list(job_ids)))
        .group_by(Shard.job_id)
        .having(waiting > 0)
    )
    return {job_id: int(count) for job_id, count in rows}


@dataclass(frozen=True, slots=True)
class Judge:
    """A model whose verdicts count in a job, and how many of them."""

    model: Model
    count: int


def judges(session: Session, job_id: int) -> tuple[Judge, ...]:
    """Return the models whose verdicts count in this job, first used first.

    There are several if a run under another model was cancelled or could not judge every image.
    """
    counts = _added_up(session, job_id, Shard.judged_by)
    query = select(Model).where(Model.digest.in_(counts))
    models = session.scalars(query.order_by(Model.first_used_at, Model.digest))
    return tuple(Judge(model, counts[model.digest]) for model in models)


def few_shot(models: Iterable[Model]) -> frozenset[str]:
    """Return the classes that any of these models learned from few images."""
    return frozenset(name for model in models for name in model.facts.get("few_shot", ()))


def calibrated(models: Iterable[Model]) -> bool:
    """Say whether the confidences of all these models mean what they say.

    A bundle with numbers to judge itself by has its probabilities calibrated by them, unless it
    says that they are not its own.
    """
    numbers = [model.facts.get("trust") for model in models]
    return all(trust and trust.get("calibrated", True) for trust in numbers)
