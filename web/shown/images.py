"""Images and their results, as the API sends them and the pages show them."""

from __future__ import annotations

from collections.abc import Container, Sequence
from typing import Any

from flask import url_for
from sqlalchemy import select
from sqlalchemy.orm import Session

from contract.images import ClassProbability, ImageDetails, Tile
from core import jobs
from core.errors import StoreAway
from core.made import derivatives
from core.made.derivatives import TILE_SIDE
from core.states import ImageState
from core.tables import Image, Model, Prediction
from lexicon import outcomes
from lexicon.outcomes import TO_CHECK
from web.shown.summaries import class_values, identify
from web.wiring import wired

# The names of the copies in addresses, which programs may have stored; not exactly their sides.
TILE, LARGE = TILE_SIDE, 1024
# What is said of an image that has no class, no outcome or no verdict of a model yet.
_NO_CLASS: dict[str, Any] = {
    **dict.fromkeys(("class_name", "label", "code", "colour")),
    "few_shot": False,
}
_NO_OUTCOME: dict[str, Any] = {
    **dict.fromkeys(("outcome", "outcome_words", "codes", "why")),
    "candidates": [],
}
_NO_VERDICT: dict[str, Any] = {
    **dict.fromkeys(("explanation", "familiarity", "box", "model")),
    "calibrated": False,
    "classes": [],
}


def summarise_tiles(session: Session, images: Sequence[Image]) -> list[Tile]:
    """Return images for the gallery; those not accepted with their candidate classes and reason."""
    to_check = [image.id for image in images if image.outcome in TO_CHECK]
    predictions = _predictions(session, to_check)
    few = jobs.few_shot(_models(session, images))
    return [Tile(**_values(image, few, predictions.get(image.id))) for image in images]


def _predictions(session: Session, image_ids: Sequence[int]) -> dict[int, Prediction]:
    """Return the predictions that count, by image.

    A list of pairs of keys would say the same, but makes SQLite read the whole table.
    """
    counts = (Prediction.image_id == Image.id) & (Prediction.model_digest == Image.model_digest)
    query = select(Prediction).join(Image, counts).where(Image.id.in_(image_ids))
    return {prediction.image_id: prediction for prediction in session.scalars(query)}


def _models(session: Session, images: Sequence[Image]) -> list[Model]:
    digests = {image.model_digest for image in images if image.model_digest}
    return list(session.scalars(select(Model).where(Model.digest.in_(digests))))


def _values(image: Image, few: Container[str], prediction: Prediction | None) -> dict[str, Any]:
    """Return what a tile says of an image, by the names in `Tile`.

    ``prediction`` may be left out where the image is accepted: its class is the only candidate.
    """
    thumbnail, pictured = _picture(image, TILE)
    named = class_values(image.label, few) if image.label else _NO_CLASS
    return {
        "id": image.id,
        "name": image.name,
        "state": image.state.value,
        **named,
        "confidence": image.confidence,
        "reason": image.reason,
        "message": image.message,
        "url": url_for("images.show_image", image_id=image.id),
        "thumbnail": thumbnail,
        "pictured": pictured,
        **_outcome_values(image, prediction),
    }


def _outcome_values(image: Image, prediction: Prediction | None) -> dict[str, Any]:
    if image.outcome is None:
        return _NO_OUTCOME
    candidates = prediction.candidates if prediction else [image.label or ""]
    return {
        "outcome": image.outcome,
        "outcome_words": outcomes.describe(image.outcome, candidates, image.reason or ""),
        "candidates": candidates,
        "codes": outcomes.codes(candidates),
        "why": outcomes.reason(image.reason).words if image.reason else None,
    }


def summarise_image(session: Session, image: Image) -> ImageDetails:
    """Return one image with all its probabilities; a duplicate carries its original's."""
    original = session.get(Image, image.duplicate_of_id) if image.duplicate_of_id else None
    judged = original or image
    picture, pictured = _picture(image, LARGE)
    return ImageDetails(
        **_judged_values(session, judged)
        | {
            "id": image.id,
            "name": image.name,
            "state": image.state.value,
            "duplicate_of": image.duplicate_of_id,
            "job": image.job_id,
            "size": image.size,
            "format": image.format,
            "width": image.width,
            "height": image.height,
            "sha256": image.sha256,
            "url": url_for("images.show_image", image_id=image.id),
            "picture": picture,
            "pictured": pictured,
        }
    )


def _judged_values(session: Session, image: Image) -> dict[str, Any]:
    """Return the tile's values of an image, and all that its model says, by `ImageDetails`."""
    if image.state is not ImageState.CLASSIFIED or image.model_digest is None:
        return _values(image, (), None) | _NO_VERDICT
    model = session.get_one(Model, image.model_digest)
    prediction = session.get_one(Prediction, (image.id, model.digest))
    few = jobs.few_shot([model])
    pairs = sorted(zip(model.classes, prediction.probabilities, strict=True), key=lambda p: -p[1])
    reason = outcomes.reason(prediction.reason) if prediction.reason else None
    return _values(image, few, prediction) | {
        "explanation": reason.sentence if reason else None,
        "familiarity": prediction.familiarity,
        "box": prediction.box,
        "calibrated": jobs.calibrated([model]),
        "classes": [
            ClassProbability(**class_values(name, few), probability=round(value, 6))
            for name, value in pairs
        ],
        "model": identify(model),
    }


def _is_made(sha256: str) -> bool:
    """Say whether a copy exists; while the store is away, results are shown without pictures."""
    try:
        return derivatives.exist(wired().blobs, sha256)
    except StoreAway:
        return False


def _picture(image: Image, side: int) -> tuple[str | None, bool]:
    """Return a copy's address, None if there can't be one, and whether the copy exists yet."""
    is_made = image.sha256 is not None and _is_made(image.sha256)
    if not is_made and not derivatives.can_be_made(image):
        return None, False
    return url_for("images.show_thumbnail", image_id=image.id, side=side), is_made
