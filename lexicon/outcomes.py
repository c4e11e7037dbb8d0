"""What is said about an image besides its class: its outcome, the reason, and what to do.

The network, pages, exports, the PDF and the terminal all use this one table.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum

from lexicon.cells import cell_type

# Shown with every class of which the model has seen only a few dozen images.
FEW_IMAGES = "few training images"
CALIBRATED = "Calibrated: of familiar cells given 90 % for a class, about nine in ten belong to it."
CALIBRATED_ELSEWHERE = (
    "Calibrated for familiar cells only, and this is not one: do not rely on these probabilities."
)
NOT_CALIBRATED = "Not calibrated: this model may be overconfident."
# Why a verdict is not accepted. Only the last reason is explained by the candidate classes.
NO_SMEAR, NO_CELL, SEVERAL_CELLS = "no_smear", "no_cell", "several_cells"
UNLIKE_TRAINING, BETWEEN_CLASSES = "unlike_training", "between_classes"
_SHOWN_CODES = 3
# In a job with at least this many cells, this share of unfamiliar ones says something about the
# slide: of a known laboratory's cells, one in twenty is unfamiliar.
_FEWEST, _MANY = 20, 0.25


class Outcome(StrEnum):
    """How far a verdict goes: a class, a choice between classes, or no known cell.

    Only accepted cells are counted by class; the others need review. The values are in alphabetical
    order, so that a database sorts those that need review to one end.
    """

    ACCEPTED = "accepted"
    UNCERTAIN = "uncertain"
    UNFAMILIAR = "unfamiliar"


TO_CHECK = (Outcome.UNCERTAIN, Outcome.UNFAMILIAR)


@dataclass(frozen=True, slots=True)
class Mark:
    """How an outcome is shown next to the classes: by word, sign, colour and pattern."""

    outcome: Outcome
    label: str
    sign: str
    colour: str


# No class has these colours; charts hatch both outcomes, so that neither relies on colour alone.
MARKS = {
    Outcome.UNCERTAIN: Mark(Outcome.UNCERTAIN, "Uncertain", "?", "#D6336C"),
    Outcome.UNFAMILIAR: Mark(
        Outcome.UNFAMILIAR, "Unfamiliar", "\N{MULTIPLICATION SIGN}", "#566373"
    ),
}


@dataclass(frozen=True, slots=True)
class Reason:
    """Why an image was not accepted: in a few words, and as a sentence with what to do."""

    words: str
    sentence: str


REASONS = {
    NO_SMEAR: Reason(
        "no stained smear",
        "Its colours are not those of a stained blood smear: leave it out, or send an image of a"
        " cell instead.",
    ),
    NO_CELL: Reason(
        "no cell found",
        "No stained cell was found. Check the image: crop it to one cell in focus and send it"
        " again, or leave it out.",
    ),
    SEVERAL_CELLS: Reason(
        "several cells", "Several cells were found: crop to one cell and send it again."
    ),
    UNLIKE_TRAINING: Reason(
        "unlike the training images",
        "It looks unlike the cells that the model was trained on: classify it by eye. If many"
        " cells on a slide look like this, the model may not know its stain or magnification.",
    ),
    BETWEEN_CLASSES: Reason(
        "between classes",
        "The model can't tell these classes apart here: look at the cell and decide.",
    ),
}


def calibration(calibrated: bool, outcome: str = Outcome.ACCEPTED) -> str:
    """Say how far the probabilities of an image with this outcome can be relied on."""
    if not calibrated:
        return NOT_CALIBRATED
    return CALIBRATED_ELSEWHERE if outcome == Outcome.UNFAMILIAR else CALIBRATED


def reason(code: str) -> Reason:
    """Return the words for a reason; an unknown reason is described by its code."""
    words = code.replace("_", " ")
    return REASONS.get(code) or Reason(
        words, f"The model says: {words}. Look at the cell and decide."
    )


def describe(outcome: str, candidates: Sequence[str], code: str) -> str:
    """Return an outcome in words, such as ``Uncertain: eosinophil or neutrophil``."""
    title = outcome.capitalize()
    names = _either([cell_type(name).label.lower() for name in candidates])
    if outcome == Outcome.UNFAMILIAR and code:
        return f"{title}: {reason(code).words}"
    if outcome != Outcome.UNCERTAIN:
        return title
    if code and code != BETWEEN_CLASSES:
        return f"{title}: {reason(code).words}{', perhaps ' if names else ''}{names}"
    perhaps = "perhaps " if len(candidates) == 1 else ""
    return f"{title}: {perhaps}{names}" if names else title


def _either(names: Sequence[str]) -> str:
    return " or ".join(part for part in (", ".join(names[:-1]), *names[-1:]) if part)


def advice(unfamiliar: int, classified: int) -> str:
    """Return what to do about a job with many unfamiliar cells; "" if there are few."""
    if classified < _FEWEST or unfamiliar < _MANY * classified:
        return ""
    return (
        f"{unfamiliar:,} of {classified:,} cells are unfamiliar. If most are good crops of one"
        " cell, the model does not know this stain, microscope or camera: an administrator can"
        " adapt it with your crops, ideally with about 100 labelled ones (hematovision adapt)."
    )


def codes(candidates: Sequence[str]) -> str:
    """Return the short codes of the candidate classes, such as ``EO / NE``."""
    shown = [cell_type(name).code for name in candidates[:_SHOWN_CODES]]
    more = len(candidates) - len(shown)
    return " / ".join([*shown, f"+{more}"] if more else shown)


@dataclass(frozen=True, slots=True)
class Familiarity:
    """How usual a cell looks: a word, and a sentence that explains the number behind it."""

    word: str
    sentence: str


def familiarity(share: float) -> Familiarity:
    """Put into words what share of the known cells, 0 to 1, look at least as unusual.

    The known cells are the model's validation images.
    """
    hundredth = round(share * 100)
    if hundredth < 1:
        return Familiarity("Very unusual", "Hardly any known cell looks as unusual as this one.")
    look = "looks" if hundredth == 1 else "look"
    many = f"{hundredth} of 100 known cells {look} at least as unusual."
    if share < 0.05:
        return Familiarity("Unusual", f"Only {many}")
    return Familiarity("Less usual" if share < 0.2 else "Usual", many)
