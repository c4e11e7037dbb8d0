"""How often a bundle accepts images, how often it is then right, and what it turns away."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from lexicon.outcomes import Outcome
from lexicon.verdicts import Verdict
from ml.evaluation.judging import Judged
from ml.metrics import auroc
from ml.serving import Row
from ml.trust import NOT_ONE_CELL


@dataclass(frozen=True)
class Outcomes:
    """The outcomes of the images of one class, of one source, or of all.

    Counts, and: `wrong` of the accepted ones that are wrong; `reasons` why others were not
    accepted; `coverage`, the share whose candidates hold the label; `size`, how many candidates
    an image has on average.
    """

    name: str
    images: int
    accepted: int
    uncertain: int
    unfamiliar: int
    wrong: int
    reasons: dict[str, int]
    coverage: float
    size: float


@dataclass(frozen=True)
class TurnedAway:
    """The outcomes of a folder of images that show no cell of a known class.

    Counts; `auroc` is how often a judged cell is more familiar than one of these, where an image
    in which not one cell is seen counts as the least familiar; None where the bundle does not say
    how familiar images are.
    """

    name: str
    images: int
    caught: int
    uncertain: int
    accepted: int
    unreadable: int
    reasons: dict[str, int]
    auroc: float | None


def outcomes(judged: Judged, name: str) -> Outcomes:
    """The outcomes of these images, at least one."""
    counted = Counter(verdict.outcome for verdict in judged.verdicts)
    candidates = [verdict.candidates or (verdict.label,) for verdict in judged.verdicts]
    pairs = zip(judged.samples, candidates, strict=True)
    accepted = judged.with_outcome(Outcome.ACCEPTED)
    return Outcomes(
        name=name,
        images=len(judged),
        accepted=counted[Outcome.ACCEPTED],
        uncertain=counted[Outcome.UNCERTAIN],
        unfamiliar=counted[Outcome.UNFAMILIAR],
        wrong=int((~accepted.right).sum()),
        reasons=_reasons(judged.verdicts),
        coverage=float(np.mean([sample.label in names for sample, names in pairs])),
        size=float(np.mean([len(names) for names in candidates])),
    )


def turned_away(name: str, rows: Sequence[Row], judged: Judged) -> TurnedAway:
    """The outcomes of a folder of unfamiliar images, compared with the judged cells."""
    verdicts = [row.verdict for row in rows if row.verdict is not None]
    counted = Counter(verdict.outcome for verdict in verdicts)
    return TurnedAway(
        name=name,
        images=len(rows),
        caught=counted[Outcome.UNFAMILIAR],
        uncertain=counted[Outcome.UNCERTAIN],
        accepted=counted[Outcome.ACCEPTED],
        unreadable=len(rows) - len(verdicts),
        reasons=_reasons(verdicts),
        auroc=_separation(judged.verdicts, verdicts),
    )


def _reasons(verdicts: Sequence[Verdict]) -> dict[str, int]:
    return dict(sorted(Counter(verdict.reason for verdict in verdicts if verdict.reason).items()))


def _separation(cells: Sequence[Verdict], strangers: Sequence[Verdict]) -> float | None:
    higher, lower = _ranks(cells), _ranks(strangers)
    return auroc(higher, lower) if len(higher) and len(lower) else None


def _ranks(verdicts: Sequence[Verdict]) -> NDArray[np.float64]:
    """How familiar each image is, if known; images without exactly one cell rank lowest."""
    ranked = [verdict for verdict in verdicts if verdict.familiarity is not None]
    return np.array(
        [-1 if verdict.reason in NOT_ONE_CELL else verdict.familiarity for verdict in ranked],
        np.float64,
    )
