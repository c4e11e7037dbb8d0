"""A job's images in bins: which bin, in which order, page by page, and what stands beside one."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from sqlalchemy import Select, func, select, tuple_
from sqlalchemy.orm import Session

from core.cells import cell_type, display_order
from core.intake import one_line
from core.models import Image
from core.states import ImageState
from web.cursors import after_image, read_image_cursor, read_position
from web.errors import BadInput

PAGE = 60
LARGEST_PAGE = 500
ORDERS = {"high": "Most certain first", "low": "Least certain first"}
_PROBLEMS = {
    ImageState.FAILED: "Failed",
    ImageState.REFUSED: "Refused",
}
_OTHERS = {
    ImageState.EXPECTED: "Not yet arrived",
    ImageState.RECEIVED: "Waiting",
    ImageState.DUPLICATE: "Duplicates",
}
_OUTCOMES = {"uncertain": "Uncertain", "unfamiliar": "Unfamiliar"}


@dataclass(frozen=True, slots=True)
class Bin:
    """What is shown: one state, of the classified perhaps one class or outcome, and the order.

    ``label`` is the class as the image's row holds it; in addresses and in JSON it is ``class``.
    """

    state: ImageState = ImageState.CLASSIFIED
    label: str = ""
    outcome: str = ""
    order: str = "high"

    @property
    def by_confidence(self) -> bool:
        """Only what was classified has a confidence; all else stays as it was announced."""
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
    """A bin in the list beside the gallery. ``kind`` is problem, review, all, class or other."""

    bin: Bin
    title: str
    count: int
    kind: str
    code: str = ""
    colour: str = ""


def read_bin(arguments: Mapping[str, str]) -> Bin:
    """Return the bin that query parameters name. Raises `BadInput`."""
    try:
        state = ImageState(arguments.get("state") or ImageState.CLASSIFIED)
    except ValueError as error:
        raise BadInput(f"A state is one of {', '.join(ImageState)}.") from error
    order = arguments.get("order") or "high"
    if order not in ORDERS:
        raise BadInput("The order is high or low.")
    label, outcome = (one_line(arguments.get(name, "")) for name in ("class", "outcome"))
    return Bin(state, label[:40], outcome[:16], order)


def _inside(job_id: int, bin_: Bin) -> Select[Image]:
    query = select(Image).where(Image.job_id == job_id, Image.state == bin_.state)
    if bin_.label:
        query = query.where(Image.label == bin_.label)
    return query.where(Image.outcome == bin_.outcome) if bin_.outcome else query


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
    found = list(session.scalars(query.limit(size + 1)))
    if len(found) <= size:
        return found, None
    last = found[size - 1]
    return found[:size], after_image(last) if bin_.by_confidence else str(last.position)


def _by_confidence(query: Select[Image], order: str, before: str) -> Select[Image]:
    place = tuple_(Image.confidence, Image.id)
    if before:
        cursor = read_image_cursor(before)
        query = query.where(place > cursor if order == "low" else place < cursor)
    if order == "low":
        return query.order_by(Image.confidence, Image.id)
    return query.order_by(Image.confidence.desc(), Image.id.desc())


def neighbours(session: Session, image: Image, bin_: Bin) -> tuple[int | None, int | None]:
    """Return the ids of the images before and after this one in a bin's order."""
    query = _inside(image.job_id, bin_)
    if bin_.by_confidence and image.confidence is not None:
        here = after_image(image)
        back = "low" if bin_.order == "high" else "high"
        ways = _by_confidence(query, back, here), _by_confidence(query, bin_.order, here)
    else:
        ways = (
            query.where(Image.position < image.position).order_by(Image.position.desc()),
            query.where(Image.position > image.position).order_by(Image.position),
        )
    previous, following = (session.scalars(way.limit(1)).first() for way in ways)
    return previous.id if previous else None, following.id if following else None


def choices(session: Session, job_id: int, states: Mapping[ImageState, int]) -> list[Choice]:
    """Return the bins that are not empty: what needs a person first, then all, then the classes."""
    found = [
        Choice(Bin(state), title, states[state], "problem")
        for state, title in _PROBLEMS.items()
        if states.get(state)
    ]
    found += _outcomes(session, job_id)
    classified = states.get(ImageState.CLASSIFIED, 0)
    if classified:
        found.append(Choice(Bin(), "All cells", classified, "all"))
        found += _classes(session, job_id)
    return found + [
        Choice(Bin(state), title, states[state], "other")
        for state, title in _OTHERS.items()
        if states.get(state)
    ]


def _outcomes(session: Session, job_id: int) -> list[Choice]:
    rows = session.execute(
        select(Image.outcome, func.count())
        .where(Image.job_id == job_id, Image.state == ImageState.CLASSIFIED)
        .where(Image.outcome.in_(_OUTCOMES))
        .group_by(Image.outcome)
    )
    counts = {outcome or "": count for outcome, count in rows}
    return [
        Choice(Bin(outcome=outcome), title, counts[outcome], "review")
        for outcome, title in _OUTCOMES.items()
        if outcome in counts
    ]


def _classes(session: Session, job_id: int) -> list[Choice]:
    rows = session.execute(
        select(Image.label, func.count())
        .where(Image.job_id == job_id, Image.state == ImageState.CLASSIFIED)
        .group_by(Image.label)
    )
    found = []
    for name, count in sorted(rows, key=lambda row: display_order(row[0] or "")):
        cell = cell_type(name or "")
        bin_ = Bin(label=cell.name)
        found.append(Choice(bin_, cell.label, count, "class", cell.code, cell.colour))
    return found
