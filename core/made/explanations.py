"""Why an image got its class: which explanations are wanted, and what they hold.

How it is made and handed over is in `making`. Its pictures lie in the blob store below
its ``blob_key``; those of the model's reference cells are kept once for each model.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from sqlalchemy import Select, select
from sqlalchemy.orm import Session

from core import leases
from core.db import insert_if_new
from core.errors import Conflict
from core.leases import Claim
from core.made import making
from core.states import ImageState, MakingState
from core.tables import Explanation, Image, Model, Prediction

# The crop the network saw; what supports the class; what supports it over the next class.
CROP, HEAT, CONTRAST = "crop", "heat", "contrast"
PICTURES = (CROP, HEAT, CONTRAST)


@dataclass(frozen=True, slots=True)
class ExplanationClaim(Claim):
    """A lease on an explanation, and the image and classes to explain.

    ``label`` is the class that the model ``model_digest`` gave the bytes of ``sha256``, ``other``
    the next most probable one, or None where the model knows a single class.
    """

    image_id: int
    sha256: str
    model_digest: str
    label: str
    other: str | None


@dataclass(frozen=True, slots=True)
class Neighbour:
    """A reference cell that resembles the image; ``similarity`` is 0 to 1."""

    index: int
    label: str
    source: str
    similarity: float


@dataclass(frozen=True, slots=True)
class Findings:
    """What an explanation holds beside its pictures.

    ``empty`` names those of its maps in which no place speaks for the class. ``of_each_class`` is
    the nearest reference of each class; it and ``nearest`` are empty where the model carries no
    references.
    """

    label: str
    other: str | None
    empty: tuple[str, ...] = ()
    nearest: tuple[Neighbour, ...] = ()
    of_each_class: tuple[Neighbour, ...] = ()
    attribution: str = ""

    @classmethod
    def read(cls, stored: Mapping[str, Any]) -> Findings:
        """Return what `finish` wrote."""
        nearest, of_each_class = (
            tuple(Neighbour(**neighbour) for neighbour in stored[name])
            for name in ("nearest", "of_each_class")
        )
        return cls(
            label=stored["label"],
            other=stored["other"],
            empty=tuple(stored["empty"]),
            nearest=nearest,
            of_each_class=of_each_class,
            attribution=stored["attribution"],
        )


def picture_key(blob_key: str, name: str) -> str:
    """Return where one of an explanation's `PICTURES` is."""
    return f"{blob_key}/{name}.png"


def reference_key(model_digest: str, index: int) -> str:
    """Return where the picture of a model's reference cell is."""
    return f"references/{model_digest}/{index}.jpg"


def subject(session: Session, image: Image) -> Image:
    """Return the image whose verdict this one carries: itself, or the first of equal bytes."""
    return session.get_one(Image, image.duplicate_of_id) if image.duplicate_of_id else image


def find(session: Session, image: Image) -> Explanation | None:
    """Return the explanation of an image's present verdict, if one was asked for."""
    judged = subject(session, image)
    return session.scalars(_of(judged)).first()


def order(session: Session, image: Image) -> Explanation:
    """Return the explanation of an image's present verdict, wanted anew if it failed before.

    Raises:
        Conflict: the image has no verdict, or its picture was deleted.
    """
    judged = subject(session, image)
    if judged.state is not ImageState.CLASSIFIED or judged.model_digest is None:
        raise Conflict("There is nothing to explain until the image is classified.")
    if judged.format is None:
        raise Conflict(
            "The picture of this image was deleted, so the network can't look at it again."
        )
    # Two clicks at once make one explanation.
    row = {"image_id": judged.id, "model_digest": judged.model_digest}
    session.execute(insert_if_new(session, Explanation).values(**row))
    wanted = session.scalars(_of(judged).with_for_update()).one()
    if wanted.state is MakingState.FAILED:
        making.start_again(session, wanted)
    making.ring_if_waiting(session, wanted)
    return wanted


def claim(
    session: Session, explanation_id: int, worker: str, seconds: float
) -> ExplanationClaim | None:
    """Take the explanation for ``seconds``, or return None if it is made or another's."""
    fence = leases.take(session, Explanation, explanation_id, worker, seconds)
    if fence is None:
        return None
    wanted = session.get_one(Explanation, explanation_id)
    image = session.get_one(Image, wanted.image_id)
    prediction = session.get_one(Prediction, (wanted.image_id, wanted.model_digest))
    return ExplanationClaim(
        Explanation,
        explanation_id,
        fence,
        image_id=image.id,
        sha256=image.sha256 or "",
        model_digest=wanted.model_digest,
        label=prediction.label,
        other=_runner_up(session.get_one(Model, wanted.model_digest), prediction),
    )


def finish(session: Session, claim: ExplanationClaim, blob_key: str, findings: Findings) -> None:
    """Hand the explanation over, its pictures being in the store already. Raises `LeaseLost`."""
    making.finish(session, claim, blob_key, findings=asdict(findings))


def _of(judged: Image) -> Select[Explanation]:
    return select(Explanation).where(
        Explanation.image_id == judged.id, Explanation.model_digest == judged.model_digest
    )


def _runner_up(model: Model, prediction: Prediction) -> str | None:
    pairs = zip(prediction.probabilities, model.classes, strict=True)
    others = [(probability, name) for probability, name in pairs if name != prediction.label]
    return max(others)[1] if others else None
