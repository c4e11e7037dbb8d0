"""Makes an explanation, from its claim to its pictures in the store: what the network looked at in
one image, and which reference cells it finds most similar."""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence
from dataclasses import replace

from PIL import Image

from core.errors import Conflict
from core.jobs import Failure, Work
from core.made import explanations
from core.made.explanations import CONTRAST, CROP, HEAT, ExplanationClaim, Findings, Neighbour
from ml.decoding import InputShape, Pixels
from ml.serving import Classifier, neighbours
from ml.serving.explain import ClassMaps, Head, Map, heat_map, map_classes
from ml.serving.neighbours import References
from worker.decoding import Decoder
from worker.lease import making_ordered
from worker.packing import ModelUnusable
from worker.process import WorkerProcess

# A page shows the crop enlarged; a heat map no larger than the crop would look ragged on it.
ENLARGED = 3
NEAREST = 6


def explain_image(process: WorkerProcess, explanation_id: int) -> bool:
    """Make one explanation and store it; False if it is done or taken by another worker."""
    with process.database.writing() as session:
        claim = explanations.claim(
            session, explanation_id, process.name, process.settings.lease_seconds
        )
    if claim is None:
        return False
    with making_ordered(process, claim):
        key, findings = _make(process, claim)
        with process.database.writing() as session:
            explanations.finish(session, claim, key, findings)
    return True


def _make(process: WorkerProcess, claim: ExplanationClaim) -> tuple[str, Findings]:
    """Return the key of the pictures, which is new for each attempt, and the findings."""
    classifier = _classifier(process, claim.model_digest)
    crop = _crop(process, claim, classifier)
    names = [claim.label] if claim.other is None else [claim.label, claim.other]
    indices = [classifier.bundle.metadata.classes.index(name) for name in names]
    class_maps = map_classes(classifier, Head.load(classifier.bundle), crop, indices)
    key, maps = f"explanations/{claim.id}-{claim.fence}", _maps(class_maps)
    _keep(process, key, crop, maps)
    empty = tuple(name for name, contributed in maps.items() if contributed.max() <= 0)
    return key, replace(_findings(process, claim, classifier, class_maps), empty=empty)


def _classifier(process: WorkerProcess, digest: str) -> Classifier:
    try:
        return process.models.get(digest).classifier
    except ModelUnusable as error:
        raise Conflict(str(error)) from error


def _crop(process: WorkerProcess, claim: ExplanationClaim, classifier: Classifier) -> Pixels:
    """Return what the network sees of the image."""
    decoder = Decoder(process.blobs, classifier.bundle.metadata, process.settings.max_pixels)
    reading = decoder(Work(claim.image_id, claim.sha256))
    if isinstance(reading, Failure):
        raise Conflict(reading.message)
    return reading.pixels


def _maps(class_maps: ClassMaps) -> dict[str, Map]:
    """Return what supports the class, and what supports it rather than the next class."""
    maps = {HEAT: class_maps.maps[0]}
    if len(class_maps.maps) > 1:
        maps[CONTRAST] = class_maps.maps[0] - class_maps.maps[1]
    return maps


def _keep(process: WorkerProcess, key: str, crop: Pixels, maps: Mapping[str, Map]) -> None:
    """Put the pictures into the store."""
    shape = InputShape(*crop.shape[:2])
    process.blobs.put(explanations.picture_key(key, CROP), _png(crop))
    for name, contributed in maps.items():
        drawn = heat_map(contributed, shape, ENLARGED)
        process.blobs.put(explanations.picture_key(key, name), _png(drawn))


def _png(picture: Pixels) -> bytes:
    out = io.BytesIO()
    Image.fromarray(picture).save(out, "PNG", compress_level=3)
    return out.getvalue()


def _findings(
    process: WorkerProcess, claim: ExplanationClaim, classifier: Classifier, class_maps: ClassMaps
) -> Findings:
    references = References.load(classifier.bundle)
    if references is None:
        return Findings(claim.label, claim.other)
    nearest = neighbours.nearest(class_maps.features, references, NEAREST)
    of_each_class = neighbours.nearest_of_each_class(class_maps.features, references)
    for index in {neighbour.index for neighbour in (*nearest, *of_each_class)}:
        key = explanations.reference_key(claim.model_digest, index)
        if not process.blobs.exists(key):
            process.blobs.put(key, references.pictures[index])
    return Findings(
        claim.label,
        claim.other,
        nearest=_recorded(nearest),
        of_each_class=_recorded(of_each_class),
        attribution=references.attribution,
    )


def _recorded(nearest: Sequence[neighbours.Neighbour]) -> tuple[Neighbour, ...]:
    """Return the neighbours that the network found, as the database keeps them."""
    return tuple(
        Neighbour(cell.index, cell.label, cell.source, cell.similarity) for cell in nearest
    )
