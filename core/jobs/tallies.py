"""What a shard counts: the result in force for each of its images.

A result stands until a later one replaces it. The shards of a new run therefore begin with what
their images have from the run before, and at any moment the shards of a job add up to its images.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import bindparam, func, select, update
from sqlalchemy.orm import Session

from core.db import in_parts
from core.states import ImageState
from core.tables import Image, Shard
from lexicon.outcomes import TO_CHECK, Outcome


@dataclass(frozen=True, slots=True)
class Result:
    """The results in force of ``count`` images. ``kept``: a later run could not judge them."""

    state: ImageState
    outcome: str | None = None
    label: str | None = None
    model: str | None = None
    kept: bool = False
    count: int = 1


def tally(results: Iterable[Result]) -> dict[str, Any]:
    """Return what a shard's row counts of its images."""
    classified = failed = kept = 0
    accepted: Counter[str] = Counter()
    models: Counter[str] = Counter()
    others = dict.fromkeys(TO_CHECK, 0)
    for result in results:
        if result.state is ImageState.FAILED:
            failed += result.count
        if result.state is not ImageState.CLASSIFIED:
            continue
        classified += result.count
        kept += result.count if result.kept else 0
        models[result.model or ""] += result.count
        if result.outcome in others:
            others[Outcome(result.outcome)] += result.count
        else:
            accepted[result.label or ""] += result.count
    return {
        "classified": classified,
        "failed": failed,
        "kept": kept,
        "accepted": dict(accepted),
        "uncertain": others[Outcome.UNCERTAIN],
        "unfamiliar": others[Outcome.UNFAMILIAR],
        "judged_by": dict(models),
    }


_VALUES: dict[str, Any] = {name: bindparam(f"new_{name}") for name in tally(())}
_TALLY = update(Shard).where(Shard.id == bindparam("shard")).values(_VALUES)


def count_again(session: Session, shard_ids: Sequence[int]) -> None:
    """Write what stands of the images of these shards into their rows."""
    rows = []
    for part in in_parts(shard_ids):
        for id_, results in _results(session, part).items():
            counted = {f"new_{name}": value for name, value in tally(results).items()}
            rows.append({"shard": id_, **counted})
    if rows:
        session.connection().execute(_TALLY, rows)
        session.expire_all()


def _results(session: Session, shard_ids: Sequence[int]) -> dict[int, list[Result]]:
    """Return what stands of each shard's images, added up by the database."""
    results: dict[int, list[Result]] = {id_: [] for id_ in shard_ids}
    has_message = Image.message.is_not(None)
    columns = (
        Image.shard_id,
        Image.state,
        Image.outcome,
        Image.label,
        Image.model_digest,
        has_message,
    )
    counted = select(*columns, func.count()).where(Image.shard_id.in_(shard_ids)).group_by(*columns)
    for id_, state, outcome, label, model, kept, count in session.execute(counted):
        results[id_ or 0].append(Result(state, outcome, label, model, kept, count))
    return results
