"""Explanations of an image's result: ordered, and as plain values for the API and the pages."""

from __future__ import annotations

from collections.abc import Collection, Sequence

from flask import url_for
from sqlalchemy.orm import Session

from core import jobs
from core.errors import BlobMissing, Conflict, NotFound
from core.made import explanations
from core.made.explanations import CONTRAST, CROP, HEAT, Findings, Neighbour
from core.people import accounts
from core.states import MakingState
from core.tables import Explanation, Image, Model
from web.actions.audit import record_reading
from web.security.caller import person
from web.shown.summaries import Summary, named
from web.wiring import wired


def order(image_id: int) -> Summary:
    """Order the explanation of an image this person may see."""
    wiring = wired()
    with wiring.database.writing() as session:
        image = accounts.find_image(session, person(), image_id)
        wanted = explanations.order(session, image)
        summary = _summary(session, image, wanted)
    return summary


def summarise_explanation(session: Session, image: Image) -> Summary | None:
    """Return the state of an image's explanation and its content; None if it was not requested."""
    found = explanations.find(session, image)
    return _summary(session, image, found) if found else None


def find_ready(session: Session, image_id: int) -> tuple[Explanation, Findings]:
    """Return the finished explanation of an image this person may see.

    Raises:
        NotFound: this person can see no such image, or no explanation was requested.
        Conflict: it is not finished, or it failed.
    """
    image = accounts.find_image(session, person(), image_id)
    record_reading(image.job_id)
    found = explanations.find(session, image)
    if found is None:
        raise NotFound("No explanation of this image has been requested yet. Request one first.")
    if found.state is not MakingState.READY or found.findings is None:
        raise Conflict(found.message or "The explanation is still being made. Try again soon.")
    return found, Findings.read(found.findings)


def picture(session: Session, image_id: int, name: str) -> bytes:
    """Return one of an explanation's pictures, a PNG. Raises as `find_ready`, and `BlobMissing`."""
    found, _ = find_ready(session, image_id)
    return wired().blobs.get(explanations.picture_key(found.blob_key or "", name))


def reference(session: Session, image_id: int, index: int) -> bytes:
    """Return the picture of a reference cell that an explanation names, a JPEG.

    Raises:
        BlobMissing: the explanation names no such cell; and as `find_ready`.
    """
    found, findings = find_ready(session, image_id)
    if index not in {one.index for one in (*findings.nearest, *findings.of_each_class)}:
        raise BlobMissing("The explanation names no such reference cell.")
    return wired().blobs.get(explanations.reference_key(found.model_digest, index))


def _summary(session: Session, image: Image, found: Explanation) -> Summary:
    summary: Summary = {
        "state": found.state.value,
        "message": found.message,
        "url": url_for("explanation_api.get_explanation", image_id=image.id),
        "model_digest": found.model_digest,
    }
    if found.state is not MakingState.READY or found.findings is None:
        return summary
    few = jobs.few_shot([session.get_one(Model, found.model_digest)])
    return summary | _said(image.id, Findings.read(found.findings), few)


def _said(image_id: int, findings: Findings, few: Collection[str]) -> Summary:
    other = findings.other
    return {
        **named(findings.label, findings.label in few),
        "rather_than": named(other, other in few) if other else None,
        "crop": _picture(image_id, CROP),
        "heat": _picture(image_id, HEAT),
        "contrast": _picture(image_id, CONTRAST) if other else None,
        "nearest": _neighbours(image_id, findings.nearest, few),
        "nearest_of_each_class": _neighbours(image_id, findings.of_each_class, few),
        "empty": list(findings.empty),
        "attribution": findings.attribution,
    }


def _picture(image_id: int, name: str) -> str:
    return url_for("explanation_api.get_picture", image_id=image_id, name=name)


def _neighbours(image_id: int, found: Sequence[Neighbour], few: Collection[str]) -> list[Summary]:
    route = "explanation_api.get_reference"
    return [
        named(one.label, one.label in few)
        | {
            "similarity": one.similarity,
            "source": one.source,
            "picture": url_for(route, image_id=image_id, index=one.index),
        }
        for one in found
    ]
