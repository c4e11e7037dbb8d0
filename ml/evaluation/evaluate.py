"""The evaluation of a bundle that was judged on labelled images."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from lexicon.outcomes import Outcome
from ml.bundle import Bundle
from ml.data.dataset import data_hash
from ml.evaluation.choosing import Choice
from ml.evaluation.comparison import Comparison
from ml.evaluation.judging import Judged
from ml.evaluation.outcomes import Outcomes, TurnedAway, outcomes
from ml.evaluation.workload import Confidence, Load, by_both, by_confidence, by_outcome, confidence
from ml.metrics import (
    Interval,
    Scores,
    class_intervals,
    score,
    score_intervals,
)
from ml.trust import Trust
from ml.trust.conformal import ClassCoverage, coverages

LEAK_WARNING = (
    "WARNING: THIS SPLIT LEAKS. The network may have been trained on copies of the photographs it "
    "is judged on, so the scores say nothing about new photographs. Never publish them as accuracy."
)


@dataclass(frozen=True)
class Part:
    """The scores of some images, with 95 % intervals over their photographs.

    The intervals are empty where photographs are unknown or the split leaks: the images are then
    not independent, and no honest interval exists.
    """

    images: int
    scores: Scores
    intervals: Mapping[str, Interval]
    class_intervals: Mapping[str, Mapping[str, Interval]]


@dataclass(frozen=True)
class Evaluation:
    """The whole evaluation of a bundle on a set of images.

    `few_shot` are the bundle's classes with few training images, `apart` others that are to be
    told apart. `forced` scores the best guess of every image, `accepted` those of the accepted
    images alone, `large` all images but those of `few_shot` and `apart` (None where nothing is
    left, or there is no such class), `by_source` each data folder of several. `promised` is the
    coverage that the bundle promises, None if it does not, and `promise` how that was kept.
    """

    model: str
    digest: str
    sources: tuple[str, ...]
    data: str
    split: str
    leaking: bool
    images: int
    few_shot: tuple[str, ...]
    apart: tuple[str, ...]
    left_out: Mapping[str, int]
    lacking: tuple[str, ...]
    forced: Part
    accepted: Part | None
    large: Part | None
    by_source: Mapping[str, Part]
    outcomes: tuple[Outcomes, ...]
    outcomes_by_source: tuple[Outcomes, ...]
    promised: float | None
    promise: tuple[ClassCoverage, ...]
    confidence: Confidence
    workload: tuple[Load, ...]
    comparison: Comparison | None = None
    unfamiliar: tuple[TurnedAway, ...] = ()

    def as_dict(self) -> dict[str, Any]:
        """The evaluation as JSON knows it."""
        return asdict(self)


def evaluate(
    bundle: Bundle, choice: Choice, judged: Judged, apart: Sequence[str] = ()
) -> Evaluation:
    """Score the bundle's answers on the chosen samples; `apart` classes are also shown apart."""
    metadata = bundle.metadata
    few = metadata.data.get("few_shot", ())
    few_shot = tuple(name for name in metadata.classes if name in few)
    accepted = judged.with_outcome(Outcome.ACCEPTED)
    small = {*few_shot, *apart}
    large = judged.where([sample.label not in small for sample in judged.samples])
    sources, trust = judged.sources, Trust.load(bundle)
    by_source = {
        name: judged.where([sample.source == name for sample in judged.samples])
        for name in (sources if len(sources) > 1 else ())
    }
    return Evaluation(
        model=bundle.title,
        digest=bundle.digest,
        sources=sources,
        data=data_hash(judged.samples),
        split=choice.split,
        leaking=choice.split == "random",
        images=len(judged),
        few_shot=few_shot,
        apart=tuple(apart),
        left_out=choice.left_out,
        lacking=choice.lacking,
        forced=part(judged),
        accepted=part(accepted) if len(accepted) else None,
        large=part(large) if small and len(large) else None,
        by_source={name: part(subset) for name, subset in by_source.items()},
        outcomes=(outcomes(judged, "all"), *_by_class(judged)),
        outcomes_by_source=tuple(outcomes(subset, name) for name, subset in by_source.items()),
        promised=trust.coverage if trust.levels else None,
        promise=_promise(judged, trust),
        confidence=confidence(judged),
        workload=(by_outcome(judged), *by_both(judged), *by_confidence(judged)),
    )


def part(judged: Judged) -> Part:
    """The scores of these images, at least one."""
    scores = score(judged.truth, judged.predicted, judged.classes)
    if not judged.grouped:
        return Part(len(judged), scores, {}, {})
    matrices = judged.matrices()
    intervals, sums = score_intervals(matrices)
    return Part(len(judged), scores, intervals, class_intervals(matrices, sums, judged.classes))


def _promise(judged: Judged, trust: Trust) -> tuple[ClassCoverage, ...]:
    members = trust.promised(judged.probabilities)
    return () if members is None else coverages(members, judged.truth, judged.classes)


def _by_class(judged: Judged) -> list[Outcomes]:
    truth = judged.truth
    numbers = [number for number in range(len(judged.classes)) if (truth == number).any()]
    return [outcomes(judged.where(truth == number), judged.classes[number]) for number in numbers]
