"""A job's images in bins: which bin, in which order, page by page, and each image's neighbours."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from sqlalchemy import Select, select, tuple_
from sqlalchemy.orm import Session

from core import jobs
from core.errors import BadInput
from core.jobs import ClassCount, JobOverview
from core.states import ImageState
from core.tables import Image
from lexicon.cells import cell_type
from lexicon.names import one_line
from lexicon.outcomes import MARKS, Outcome
from web.listing.cursors import after_image, read_image_cursor, read_position

PAGE = 60
LARGEST_PAGE = 500
ORDERS = {
    "high": "Most certain first",
    "low": "Least certain first",
    "check": "To check first: unfamiliar, then uncertain",
}
_PROBLEMS = {
    ImageState.FAILED: "Failed",
    ImageState.REFUSED: "Refused",
}
_OTHERS = {
    ImageState.EXPECTED: "Not yet arrived",
    ImageState.RECEIVED: "Waiting",
    ImageState.DUPLICATE: "Duplicates",
}


@dataclass(frozen=True, slots=True)
class Bin:
    """What is shown: one state, for classified images perhaps one class or outcome, and the order.

    ``label`` is the class as the image's row holds it; in addresses and in JSON it is ``class``.
    A class without an outcome means its accepted cells, which count as that class. A class with
    another outcome means the cells for which it is the best guess.
    """

    state: ImageState = ImageState.CLASSIFIED
    label: str = ""
    outcome: str = ""
    order: str = "high"

    @property
    def orders(self) -> dict[str, str]:
        """The orders that make a difference here: a single outcome has none to put first."""
        mixed = not self.outcome and not self.label
        return {key: words for key, words in ORDERS.items() if mixed or key != "check"}

    @property
    def by_confidence(self) -> bool:
        """Whether the bin is sorted by confidence: only classified images have one."""
        return self.state is ImageState.CLASSIFIED

    def parameters(self) -> dict[str, str]:
        """Return the query parameters that name this bin, defaults left out."""
        named = {
            "state": "" if self.by_confidence else self.state.value,
            "class": self.label,
            "outcome": self.outcome,
            "order": "" if self.order == "high" else self.order,
        }
        return {key: value for key, value in named.items() if value}


@dataclass(frozen=True, slots=True)
class Choice:
    """A bin in the list beside the gallery. ``kind`` is problem, review, all, class or other.

    Bins other than "all" have no image in common: their counts add up to the files received.
    """

    bin: Bin
    title: str
    count: int
    kind: str
    code: str = ""
    colour: str = ""
    outcome: str = ""
    few_shot: bool = False


def read_bin(arguments: Mapping[str, str]) -> Bin:
    """Return the bin that query parameters name. Raises `BadInput`."""
    try:
        state = ImageState(arguments.get("state") or ImageState.CLASSIFIED)
    except ValueError as error:
        raise BadInput(f"The state must be one of {', '.join(ImageState)}.") from error
    order = arguments.get("order") or "high"
    if order not in ORDERS:
        raise BadInput(f"The order must be one of {', '.join(ORDERS)}.")
    label, outcome = (one_line(arguments.get(name, "")) for name in ("class", "outcome"))
    return Bin(state, label[:40], outcome[:16], order)


def _inside(job_id: int, bin_: Bin) -> Select[Image]:
    query = select(Image).where(Image.job_id == job_id, Image.state == bin_.state)
    outcome = bin_.outcome or (Outcome.ACCEPTED if bin_.label else "")
    if bin_.label:
        query = query.where(Image.label == bin_.label)
    return query.where(Image.outcome == outcome) if outcome else query


def page(
    session: Session, job_id: int, bin_: Bin, before: str, size: int = PAGE
) -> tuple[list[Image], str | None]:
    """Return up to ``size`` images that follow the cursor ``before``, and the next cursor."""
    query = _inside(job_id, bin_)
    if bin_.by_confidence:
        query = _by_confidence(query, bin_.order, before)
    else:
        query = query.order_by(Image.position)
        query = query.where(Image.position > read_position(before)) if before else query
    images = list(session.scalars(query.limit(size + 1)))
    if len(images) <= size:
        return images, None
    return images[:size], _cursor(images[size - 1], bin_)


def _cursor(image: Image, bin_: Bin) -> str:
    if not bin_.by_confidence:
        return str(image.position)
    return after_image(image, by_outcome=bin_.order == "check")


def _by_confidence(
    query: Select[Image], order: str, before: str, *, back: bool = False
) -> Select[Image]:
    """Order by confidence, or by outcome first, and start after a cursor; ``back`` reverses.

    In alphabetical order, too, uncertain comes after accepted, and unfamiliar after both.
    """
    by_outcome, rising = order == "check", (order == "low") != back
    columns = (Image.outcome, Image.confidence, Image.id)[0 if by_outcome else 1 :]
    if before:
        key, cursor = tuple_(*columns), read_image_cursor(before, by_outcome=by_outcome)
        query = query.where(key > cursor if rising else key < cursor)
    # The indexes hold only images with a verdict.
    query = query.where(Image.confidence.is_not(None))
    return query.order_by(*(column if rising else column.desc() for column in columns))


def neighbours(session: Session, image: Image, bin_: Bin) -> tuple[int | None, int | None]:
    """Return the ids of the images before and after this one in a bin's order."""
    query = _inside(image.job_id, bin_)
    if bin_.by_confidence and image.confidence is not None:
        here = _cursor(image, bin_)
        ways = (
            _by_confidence(query, bin_.order, here, back=True),
            _by_confidence(query, bin_.order, here),
        )
    else:
        ways = (
            query.where(Image.position < image.position).order_by(Image.position.desc()),
            query.where(Image.position > image.position).order_by(Image.position),
        )
    previous, following = (session.scalars(way.limit(1)).first() for way in ways)
    return previous.id if previous else None, following.id if following else None


def choices(overview: JobOverview) -> list[Choice]:
    """Return the bins that are not empty: those that need review, then all cells, then classes."""
    states, differential = overview.counts.by_state, overview.differential
    problems, others = (_by_state(states, titles) for titles in (_PROBLEMS, _OTHERS))
    if not differential.classified:
        return [*problems, *others]
    unsure = [
        Choice(Bin(outcome=mark.outcome), mark.label, count, "review", outcome=mark.outcome)
        for mark in MARKS.values()
        if (count := differential.outcomes[mark.outcome])
    ]
    few = jobs.few_shot(overview.models)
    classes = [_class(counted, counted.name in few) for counted in differential.classes]
    return [
        *problems,
        *unsure,
        Choice(Bin(), "All cells", differential.classified, "all"),
        *classes,
        *others,
    ]


def _by_state(states: Mapping[ImageState, int], titles: Mapping[ImageState, str]) -> list[Choice]:
    kind = "problem" if titles is _PROBLEMS else "other"
    return [
        Choice(Bin(state), title, states[state], kind)
        for state, title in titles.items()
        if states.get(state)
    ]


def _class(counted: ClassCount, few: bool) -> Choice:
    cell = cell_type(counted.name)
    bin_ = Bin(label=cell.name)
    return Choice(bin_, cell.label, counted.count, "class", cell.code, cell.colour, few_shot=few)
