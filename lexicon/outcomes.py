"""What is said of an image beside its class: the outcome in words, why it is so, what to do.

One table for network, pages, exports, PDF and terminal.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum

from lexicon.cells import cell_type

# It stands by every class of which the model has seen only some dozens of images.
FEW_IMAGES = "few training images"
CALIBRATED = (
    "Calibrated: of familiar cells that are given 90 %, about nine in ten are of that class."
)
CALIBRATED_ELSEWHERE = "Calibrated for familiar cells only, and this is none: do not rely on them."
NOT_CALIBRATED = "Not calibrated: this model may be surer than it is right."
# Why a verdict is not accepted. The last is the one reason that the classes in question explain.
NO_SMEAR, NO_CELL, SEVERAL_CELLS = "no_smear", "no_cell", "several_cells"
UNLIKE_TRAINING, BETWEEN_CLASSES = "unlike_training", "between_classes"
_SHOWN_CODES = 3
# From so many cells on, this share of unfamiliar ones says something of the slide: of a known
# laboratory's cells one in twenty is.
_FEWEST, _MANY = 20, 0.25


class Outcome(StrEnum):
    """How far a verdict goes: a class, a choice between classes, or no known cell.

    Only accepted cells are counted by class; the others wait for a person. In alphabetical order,
    so that a database sorts what needs a person to one end.
    """

    ACCEPTED = "accepted"
    UNCERTAIN = "uncertain"
    UNFAMILIAR = "unfamiliar"


TO_CHECK = (Outcome.UNCERTAIN, Outcome.UNFAMILIAR)


@dataclass(frozen=True, slots=True)
class Mark:
    """How the cells of an outcome are shown where classes are: by word, sign, colour, pattern."""

    outcome: Outcome
    label: str
    sign: str
    colour: str


# The colours are of no class; charts hatch both, so that neither stands on colour alone.
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
        "Its colours are not those of a stained blood smear: leave it out, or send the picture of"
        " a cell in its place.",
    ),
    NO_CELL: Reason(
        "no cell found",
        "No stained cell was found. Check the picture: crop to one cell in focus and send it"
        " again, or leave it out.",
    ),
    SEVERAL_CELLS: Reason(
        "several cells", "Several cells were seen: crop to one cell and send it again."
    ),
    UNLIKE_TRAINING: Reason(
        "unlike the training images",
        "It looks unlike the cells that the model was trained on: classify it by eye. If many of"
        " a slide are so, its stain or magnification may be one the model does not know.",
    ),
    BETWEEN_CLASSES: Reason(
        "between classes",
        "The model can't tell these classes apart here: look at the cell and decide.",
    ),
}


def calibration(calibrated: bool, outcome: str = Outcome.ACCEPTED) -> str:
    """Return how far the probabilities of an image with this outcome may be believed."""
    if not calibrated:
        return NOT_CALIBRATED
    return CALIBRATED_ELSEWHERE if outcome == Outcome.UNFAMILIAR else CALIBRATED


def reason(code: str) -> Reason:
    """Return the words of a reason; one that this table lacks speaks by its own code."""
    words = code.replace("_", " ")
    return REASONS.get(code) or Reason(words, f"The model says: {words}. Look at it and decide.")


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
    """Return what to do about a job in which many cells are unfamiliar; "" where they are few."""
    if classified < _FEWEST or unfamiliar < _MANY * classified:
        return ""
    return (
        f"{unfamiliar:,} of {classified:,} cells are unfamiliar. If most are good pictures of one"
        " cell, the model does not know this stain, microscope or camera: an administrator can"
        " teach it with your crops, best with some 100 labelled ones (hematovision adapt)."
    )


def codes(candidates: Sequence[str]) -> str:
    """Return the short codes of a choice, such as ``EO / NE``."""
    shown = [cell_type(name).code for name in candidates[:_SHOWN_CODES]]
    more = len(candidates) - len(shown)
    return " / ".join([*shown, f"+{more}"] if more else shown)


@dataclass(frozen=True, slots=True)
class Familiarity:
    """How usual a cell looks: a word, and what the number behind it means."""

    word: str
    sentence: str


def familiarity(share: float) -> Familiarity:
    """Put into words which share of the known cells, 0 to 1, look at least as unusual.

    The known cells are those that the model was checked with: its validation images.
    """
    hundredth = round(share * 100)
    if hundredth < 1:
        return Familiarity("Very unusual", "Hardly any known cell looks as unusual as this one.")
    look = "looks" if hundredth == 1 else "look"
    many = f"{hundredth} of 100 known cells {look} at least as unusual."
    if share < 0.05:
        return Familiarity("Unusual", f"Only {many}")
    return Familiarity("Less usual" if share < 0.2 else "Usual", many)
