"""Explanations of an image's result: ordered, and as the API sends and the pages show them."""

from __future__ import annotations

from collections.abc import Container, Sequence

from flask import url_for
from sqlalchemy.orm import Session

from contract.explanations import ExplanationStatus, ReadyExplanation, ReferenceCell
from core import jobs
from core.errors import BlobMissing, Conflict, NotFound
from core.made import explanations
from core.made.explanations import CONTRAST, CROP, HEAT, Findings, Neighbour
from core.people import accounts
from core.states import MakingState
from core.tables import Explanation, Image, Model
from web.actions.audit import record_reading
from web.security.caller import person
from web.shown.summaries import cell_class, class_values
from web.wiring import wired


def order(image_id: int) -> ExplanationStatus:
    """Order the explanation of an image this person may see, or return the one there is."""
    with wired().database.writing() as session:
        image = accounts.find_image(session, person(), image_id)
        return _summarise(session, image, explanations.order(session, image))


def summarise_explanation(session: Session, image: Image) -> ExplanationStatus | None:
    """Return an image's explanation, a `ReadyExplanation` if it is; None if nobody asked for it."""
    explanation = explanations.find(session, image)
    return _summarise(session, image, explanation) if explanation else None


def find_ready(session: Session, image_id: int) -> tuple[Explanation, Findings]:
    """Return the finished explanation of an image this person may see.

    Raises:
        NotFound: this person can see no such image, or no explanation was requested.
        Conflict: it is not finished, or it failed.
    """
    image = accounts.find_image(session, person(), image_id)
    record_reading(image.job_id)
    explanation = explanations.find(session, image)
    if explanation is None:
        raise NotFound("No explanation of this image has been requested yet. Request one first.")
    if explanation.state is not MakingState.READY or explanation.findings is None:
        late = "The explanation is still being made. Try again soon."
        raise Conflict(explanation.message or late)
    return explanation, Findings.read(explanation.findings)


def picture(session: Session, image_id: int, name: str) -> bytes:
    """Return one of an explanation's pictures, a PNG. Raises as `find_ready`, and `BlobMissing`."""
    explanation, _ = find_ready(session, image_id)
    return wired().blobs.get(explanations.picture_key(explanation.blob_key or "", name))


def reference(session: Session, image_id: int, index: int) -> bytes:
    """Return the picture of a reference cell that an explanation names, a JPEG.

    Raises:
        BlobMissing: the explanation names no such cell; and as `find_ready`.
    """
    explanation, findings = find_ready(session, image_id)
    named = (*findings.nearest, *findings.of_each_class)
    if index not in {neighbour.index for neighbour in named}:
        raise BlobMissing("The explanation names no such reference cell.")
    return wired().blobs.get(explanations.reference_key(explanation.model_digest, index))


def _summarise(session: Session, image: Image, explanation: Explanation) -> ExplanationStatus:
    status = ExplanationStatus(
        state=explanation.state.value,
        message=explanation.message,
        url=url_for("explanation_api.get_explanation", image_id=image.id),
        model_digest=explanation.model_digest,
    )
    if explanation.state is not MakingState.READY or explanation.findings is None:
        return status
    findings = Findings.read(explanation.findings)
    other = findings.other
    few = jobs.few_shot([session.get_one(Model, explanation.model_digest)])
    return ReadyExplanation(
        **vars(status),
        **class_values(findings.label, few),
        rather_than=cell_class(other, few) if other else None,
        crop=_picture(image.id, CROP),
        heat=_picture(image.id, HEAT),
        contrast=_picture(image.id, CONTRAST) if other else None,
        nearest=_reference_cells(image.id, findings.nearest, few),
        nearest_of_each_class=_reference_cells(image.id, findings.of_each_class, few),
        empty=list(findings.empty),
        attribution=findings.attribution,
    )


def _picture(image_id: int, name: str) -> str:
    return url_for("explanation_api.get_picture", image_id=image_id, name=name)


def _reference_cells(
    image_id: int, neighbours: Sequence[Neighbour], few: Container[str]
) -> list[ReferenceCell]:
    route = "explanation_api.get_reference"
    return [
        ReferenceCell(
            **class_values(neighbour.label, few),
            similarity=neighbour.similarity,
            source=neighbour.source,
            picture=url_for(route, image_id=image_id, index=neighbour.index),
        )
        for neighbour in neighbours
    ]
