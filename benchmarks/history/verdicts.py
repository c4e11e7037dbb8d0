"""What a model might have said of an image: drawn so that a laboratory's bins look like its own."""

from __future__ import annotations

from random import Random

from lexicon.cells import CELL_TYPES
from lexicon.outcomes import BETWEEN_CLASSES, REASONS, Outcome
from lexicon.verdicts import Box, Verdict

CLASSES = [cell.name for cell in CELL_TYPES]
# Of a hundred leucocytes in blood, some sixty are neutrophils and one is a basophil.
_COMMON = (58, 24, 7, 4, 1, 3, 2, 1)
_OUTCOMES = {Outcome.ACCEPTED: 80, Outcome.UNCERTAIN: 13, Outcome.UNFAMILIAR: 7}
_STRANGE = [reason for reason in REASONS if reason != BETWEEN_CLASSES]


def draw(rng: Random) -> Verdict:
    """Draw a verdict: the class, how sure, and what else stands beside it."""
    best, second = _two_classes(rng)
    outcome = rng.choices(tuple(Outcome), tuple(_OUTCOMES.values()))[0]
    sure = outcome is not Outcome.UNCERTAIN
    # Below 0.45 the second class would be the more probable one.
    confidence = 1 - rng.random() ** 3 * 0.2 - 0.0001 if sure else rng.uniform(0.45, 0.9)
    strange = outcome is Outcome.UNFAMILIAR
    reason = rng.choice(_STRANGE) if strange else "" if sure else BETWEEN_CLASSES
    left, top = rng.uniform(0.1, 0.3), rng.uniform(0.1, 0.3)
    return Verdict(
        label=CLASSES[best],
        confidence=round(confidence, 7),
        outcome=outcome,
        candidates=(CLASSES[best],) if sure else (CLASSES[best], CLASSES[second]),
        reason=reason,
        familiarity=round(rng.random() * (0.05 if strange else 1), 3),
        box=Box(left, top, left + 0.5, top + 0.5).rounded(5),
        probabilities=_probabilities(best, second, confidence),
    )


def _two_classes(rng: Random) -> tuple[int, int]:
    best = rng.choices(range(len(CLASSES)), _COMMON)[0]
    return best, (best + rng.randrange(1, len(CLASSES))) % len(CLASSES)


def _probabilities(best: int, second: int, confidence: float) -> tuple[float, ...]:
    """Return one number per class, summing to 1: most of what the best leaves is the second's."""
    rest = 1 - confidence
    probabilities = [rest * 0.2 / (len(CLASSES) - 2)] * len(CLASSES)
    probabilities[best], probabilities[second] = confidence, rest * 0.8
    return tuple(round(probability, 7) for probability in probabilities)
