"""Images and their results as plain values: the API sends and the pages show the same ones."""

from __future__ import annotations

from collections.abc import Collection, Sequence

from flask import url_for
from sqlalchemy import select
from sqlalchemy.orm import Session

from core import jobs
from core.errors import StoreAway
from core.made import derivatives
from core.made.derivatives import TILE_SIDE
from core.states import ImageState
from core.tables import Image, Model, Prediction
from lexicon import outcomes
from lexicon.outcomes import TO_CHECK
from web.shown.summaries import Summary, named
from web.wiring import wired

# The names of the copies in addresses, which programs may have stored; not exactly their sides.
TILE, LARGE = TILE_SIDE, 1024


def summarise_tiles(session: Session, images: Sequence[Image]) -> list[Summary]:
    """Return images for the gallery; those not accepted with their candidate classes and reason."""
    said = _said(session, [one.id for one in images if one.outcome in TO_CHECK])
    few = jobs.few_shot(_models(session, images))
    return [_tile(one, few) | _outcome(one, said.get(one.id)) for one in images]


def _said(session: Session, image_ids: Sequence[int]) -> dict[int, Prediction]:
    """Return the predictions that count, by image.

    A list of pairs of keys would say the same, but makes SQLite read the whole table.
    """
    counts = (Prediction.image_id == Image.id) & (Prediction.model_digest == Image.model_digest)
    query = select(Prediction).join(Image, counts).where(Image.id.in_(image_ids))
    return {prediction.image_id: prediction for prediction in session.scalars(query)}


def _models(session: Session, images: Sequence[Image]) -> list[Model]:
    digests = {one.model_digest for one in images if one.model_digest}
    return list(session.scalars(select(Model).where(Model.digest.in_(digests))))


def _tile(image: Image, few: Collection[str] = ()) -> Summary:
    unnamed = dict.fromkeys(("class", "label", "code", "colour")) | {"few_shot": False}
    return {
        "id": image.id,
        "name": image.name,
        "state": image.state.value,
        **(named(image.label, image.label in few) if image.label else unnamed),
        "confidence": image.confidence,
        "reason": image.reason,
        "message": image.message,
        "url": url_for("images.show_image", image_id=image.id),
        **_picture("thumbnail", image, TILE),
    }


def _outcome(image: Image, said: Prediction | None) -> Summary:
    """Return the outcome, also in words; an accepted cell's class is its only candidate."""
    if image.outcome is None:
        unknown: Summary = dict.fromkeys(("outcome", "outcome_words", "codes", "why"))
        return unknown | {"candidates": []}
    candidates = said.candidates if said else [image.label or ""]
    return {
        "outcome": image.outcome,
        "outcome_words": outcomes.describe(image.outcome, candidates, image.reason or ""),
        "candidates": candidates,
        "codes": outcomes.codes(candidates),
        "why": outcomes.reason(image.reason).words if image.reason else None,
    }


def summarise_image(session: Session, image: Image) -> Summary:
    """Return one image with all its probabilities; a duplicate carries its original's."""
    first = session.get(Image, image.duplicate_of_id) if image.duplicate_of_id else image
    verdict = first or image
    summary = _tile(verdict) | {
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
        **_picture("picture", image, LARGE),
    }
    return summary | _verdict(session, verdict)


def _verdict(session: Session, image: Image) -> Summary:
    if image.state is not ImageState.CLASSIFIED or image.model_digest is None:
        unknown: Summary = dict.fromkeys(("model", "familiarity", "box", "explanation"))
        return unknown | {"classes": [], "calibrated": False} | _outcome(image, None)
    model = session.get_one(Model, image.model_digest)
    said = session.get_one(Prediction, (image.id, model.digest))
    few = jobs.few_shot([model])
    pairs = sorted(zip(model.classes, said.probabilities, strict=True), key=lambda p: -p[1])
    return {
        **_outcome(image, said),
        "few_shot": said.label in few,
        "explanation": outcomes.reason(said.reason).sentence if said.reason else None,
        "familiarity": said.familiarity,
        "box": said.box,
        "calibrated": jobs.calibrated([model]),
        "classes": [
            named(name, name in few) | {"probability": round(value, 6)} for name, value in pairs
        ],
        "model": {"name": model.name, "version": model.version, "digest": model.digest},
    }


def _is_made(sha256: str) -> bool:
    """Say whether a copy exists; while the store is away, results are shown without pictures."""
    try:
        return derivatives.exist(wired().blobs, sha256)
    except StoreAway:
        return False


def _picture(name: str, image: Image, side: int) -> Summary:
    """Return a copy's address, None if there can't be one, and whether the copy exists yet."""
    made = image.sha256 is not None and _is_made(image.sha256)
    if not made and not derivatives.can_be_made(image):
        return {name: None, "pictured": False}
    place = url_for("images.show_thumbnail", image_id=image.id, side=side)
    return {name: place, "pictured": made}
