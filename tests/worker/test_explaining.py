"""An explanation from the wish to its pictures, by a worker that holds no TensorFlow."""

from __future__ import annotations

import io
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image as Picture
from sqlalchemy import select, update

from core import jobs
from core.blobs import MemoryBlobs, image_key
from core.db import clock
from core.made import explanations, making
from core.made.explanations import CONTRAST, CROP, HEAT, Findings, picture_key, reference_key
from core.queue import CLASSIFY, EXPLAIN
from core.settings import Settings
from core.states import Lane, MakingState
from core.tables import Explanation, Image, Prediction
from lexicon.outcomes import Outcome
from lexicon.verdicts import Verdict
from ml.answers import Outputs
from ml.bundle import Architecture, Bundle, Metadata, write_bundle
from ml.bundle.folder import ONNX, WEIGHTS
from ml.decoding import InputShape, Pixels
from ml.serving.explain import HEAD
from ml.serving.neighbours import write_references
from ml.trust import Trust
from tests.worker.conftest import Submit, png
from worker.explaining import ENLARGED, explain_image
from worker.models import LoadedModel, ModelStore
from worker.process import WorkerProcess

CLASSES = ("eosinophil", "lymphocyte", "monocyte", "neutrophil")
SIDE = 64
PROBABILITIES = (0.2, 0.1, 0.1, 0.6)


@dataclass
class Colours:
    """A network of one layer: how red, green and blue each place is, and a head on that."""

    bundle: Bundle
    backend: str = "none"
    device: str = "cpu"

    @property
    def trust(self) -> Trust:
        """What turns outputs into predictions."""
        return Trust.load(self.bundle)

    def activations(self, batch: Pixels) -> NDArray[np.float32]:
        """float32 (N, 3, 2, 2)."""
        half = SIDE // 2
        places = batch.reshape(len(batch), 2, half, 2, half, 3).mean(axis=(2, 4))
        return np.asarray(places.transpose(0, 3, 1, 2) / 255, dtype=np.float32)

    def classify(self, batch: Pixels) -> Outputs:
        """The head on the mean of the activations."""
        features = self.activations(batch).mean(axis=(2, 3))
        return Outputs(features @ KERNEL, features)


# Red is an eosinophil, green a lymphocyte, blue a neutrophil.
KERNEL = np.array([[9, 0, 0, 0], [0, 9, 0, 0], [0, 0, 0, 9]], np.float32)


def _fill(folder: Path) -> None:
    (folder / WEIGHTS).write_bytes(b"weights")
    (folder / ONNX).write_bytes(b"network")
    np.savez(folder / HEAD, kernel=KERNEL, bias=np.zeros(4, np.float32))
    colours = np.eye(3, dtype=np.float32).repeat(3, axis=0) + 0.1
    labels = [CLASSES[i] for i in (0, 0, 0, 1, 1, 1, 3, 3, 3)]
    crops = [np.full((40, 40, 3), 20 * i, np.uint8) for i in range(9)]
    write_references(folder, colours, labels, crops, ["pbc8"] * 9, "By somebody.")


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    facts = Metadata("colours", "1", CLASSES, InputShape(SIDE, SIDE), Architecture())
    return write_bundle(tmp_path_factory.mktemp("bundle") / "colours", facts, _fill)


@pytest.fixture(scope="module")
def classifier(bundle: Bundle) -> Colours:
    """Instead of the shipped network: one whose looks are known beforehand."""
    return Colours(bundle)


@pytest.fixture
def models(settings: Settings, blobs: MemoryBlobs, bundle: Bundle) -> ModelStore:
    return ModelStore(
        blobs, settings.unpacked_models, bundle, lambda wanted: LoadedModel(Colours(wanted))
    )


def blue_left() -> bytes:
    """A picture that is blue on the left and green on the right."""
    pixels = np.zeros((SIDE, SIDE, 3), np.uint8)
    pixels[:, : SIDE // 2, 2] = 200
    pixels[:, SIDE // 2 :, 1] = 120
    out = io.BytesIO()
    Picture.fromarray(pixels).save(out, "PNG")
    return out.getvalue()


@pytest.fixture
def image_id(process: WorkerProcess, submit: Submit, bundle: Bundle) -> int:
    """An image that was judged a neutrophil, or else an eosinophil."""
    submit({"cell.png": blue_left()})
    [shard_id] = [id_ for task, id_, _ in _rung(process) if task == CLASSIFY]
    with process.database.writing() as session:
        claim = jobs.claim(session, shard_id, process.name, 60)
        assert claim is not None
        verdict = Verdict("neutrophil", 0.6, Outcome.ACCEPTED, PROBABILITIES, ("neutrophil",))
        results: dict[int, Any] = {work.image_id: verdict for work in claim.work}
        jobs.record(session, claim, bundle.digest, results)
    with process.database.writing() as session:
        jobs.settle(session, claim.job_id)
        return session.scalars(select(Image.id)).one()


def _rung(process: WorkerProcess) -> list[tuple[str, int, Lane]]:
    rung: list[tuple[str, int, Lane]] = process.queue.rung  # type: ignore[attr-defined]
    return rung


def ask(process: WorkerProcess, image_id: int) -> int:
    with process.database.writing() as session:
        return explanations.order(session, session.get_one(Image, image_id)).id


def read(process: WorkerProcess, explanation_id: int) -> Explanation:
    with process.database.reading() as session:
        return session.get_one(Explanation, explanation_id)


def picture(process: WorkerProcess, made: Explanation, name: str) -> NDArray[np.uint8]:
    data = process.blobs.get(picture_key(made.blob_key or "", name))
    return np.asarray(Picture.open(io.BytesIO(data)))


def test_an_explanation_shows_where_the_class_came_from(
    process: WorkerProcess, image_id: int
) -> None:
    explanation_id = ask(process, image_id)
    explain_image(process, explanation_id)
    made = read(process, explanation_id)
    assert made.state is MakingState.READY, made.message
    crop = picture(process, made, CROP)
    assert crop.shape == (SIDE, SIDE, 3)
    assert crop[0, 0].tolist() == [0, 0, 200]
    for name in (HEAT, CONTRAST):
        heat = picture(process, made, name)
        assert heat.shape == (SIDE * ENLARGED, SIDE * ENLARGED, 4)
        left, *_, right = np.split(heat[..., 3].astype(int), 4, axis=1)
        assert left.mean() > 200
        assert right.mean() < 80


def test_its_neighbours_are_those_with_like_features(process: WorkerProcess, image_id: int) -> None:
    explanation_id = ask(process, image_id)
    explain_image(process, explanation_id)
    made = read(process, explanation_id)
    findings = Findings.read(made.findings or {})
    assert (findings.label, findings.other, findings.attribution) == (
        "neutrophil",
        "eosinophil",
        "By somebody.",
    )
    assert [neighbour.label for neighbour in findings.nearest[:3]] == ["neutrophil"] * 3
    assert len(findings.nearest) == 6
    labels = [neighbour.label for neighbour in findings.of_each_class]
    assert labels == ["neutrophil", "lymphocyte", "eosinophil"]
    for neighbour in (*findings.nearest, *findings.of_each_class):
        data = process.blobs.get(reference_key(made.model_digest, neighbour.index))
        shade = np.asarray(Picture.open(io.BytesIO(data))).mean()
        assert abs(shade - 20 * neighbour.index) < 3


def test_a_map_in_which_no_place_speaks_for_the_class_is_said_to_be_empty(
    process: WorkerProcess, image_id: int
) -> None:
    """Judged a monocyte by what no place can show, since the head has no weights for it."""
    with process.database.writing() as session:
        session.execute(update(Prediction).values(label="monocyte"))
    explanation_id = ask(process, image_id)
    explain_image(process, explanation_id)
    made = read(process, explanation_id)
    findings = Findings.read(made.findings or {})
    assert (findings.label, findings.other) == ("monocyte", "neutrophil")
    assert findings.empty == (HEAT, CONTRAST)
    assert not picture(process, made, HEAT)[..., 3].any()


def test_a_duplicate_has_the_explanation_of_the_first(
    process: WorkerProcess, image_id: int
) -> None:
    with process.database.writing() as session:
        first = session.get_one(Image, image_id)
        twin = Image(job_id=first.job_id, position=9, name="twin.png", size=1)
        twin.duplicate_of_id = first.id
        session.add(twin)
        session.flush()
        twin_id = twin.id
    assert ask(process, twin_id) == ask(process, image_id)


def test_what_is_made_already_is_not_made_again(process: WorkerProcess, image_id: int) -> None:
    explanation_id = ask(process, image_id)
    explain_image(process, explanation_id)
    explain_image(process, explanation_id)
    assert ask(process, image_id) == explanation_id
    made = read(process, explanation_id)
    assert (made.state, made.attempt) == (MakingState.READY, 1)


def test_a_lost_message_is_rung_again(process: WorkerProcess, image_id: int) -> None:
    explanation_id = ask(process, image_id)
    _rung(process).clear()
    jobs.sweep(process.database, process.settings)
    assert _rung(process) == [(EXPLAIN, explanation_id, Lane.INTERACTIVE)]


def test_bytes_that_are_gone_are_said_in_words_and_can_be_asked_for_again(
    process: WorkerProcess, image_id: int
) -> None:
    with process.database.reading() as session:
        key = image_key(session.get_one(Image, image_id).sha256 or "")
    data = process.blobs.get(key)
    process.blobs.delete(key)
    explanation_id = ask(process, image_id)
    explain_image(process, explanation_id)
    failed = read(process, explanation_id)
    assert failed.state is MakingState.FAILED
    assert failed.message and "gone" in failed.message
    process.blobs.put(key, data)
    assert ask(process, image_id) == explanation_id
    assert read(process, explanation_id).message is None
    explain_image(process, explanation_id)
    assert read(process, explanation_id).state is MakingState.READY


def test_bytes_that_can_not_be_read_are_said_in_words(
    process: WorkerProcess, image_id: int
) -> None:
    with process.database.writing() as session:
        sha256 = "0" * 64
        session.get_one(Image, image_id).sha256 = sha256
    process.blobs.put(image_key(sha256), png(1)[:200])
    explanation_id = ask(process, image_id)
    explain_image(process, explanation_id)
    failed = read(process, explanation_id)
    assert failed.state is MakingState.FAILED
    assert failed.message


def test_a_model_that_is_gone_is_said_in_words(
    process: WorkerProcess, image_id: int, bundle: Bundle, settings: Settings
) -> None:
    """Another worker ships with another model, and the store has lost the one that judged."""
    explanation_id = ask(process, image_id)
    other = replace(bundle, digest="e" * 64)
    models = ModelStore(
        MemoryBlobs(), settings.unpacked_models, other, lambda wanted: LoadedModel(Colours(wanted))
    )
    explain_image(replace(process, models=models), explanation_id)
    failed = read(process, explanation_id)
    assert failed.state is MakingState.FAILED
    assert failed.message and bundle.digest[:12] in failed.message


class Interrupting(MemoryBlobs):
    """A store that lets a test do something just before an explanation's picture is kept."""

    def __init__(self, inner: MemoryBlobs, meanwhile: Callable[[], None]) -> None:
        super().__init__()
        self._kept, self._meanwhile = inner._kept, meanwhile

    def put(self, key: str, data: bytes, *, lasting: bool = True) -> None:
        if key.startswith("explanations/"):
            meanwhile, self._meanwhile = self._meanwhile, lambda: None
            meanwhile()
        super().put(key, data, lasting=lasting)


def test_a_worker_that_lost_its_lease_does_not_hand_its_explanation_over(
    process: WorkerProcess, blobs: MemoryBlobs, image_id: int
) -> None:
    explanation_id = ask(process, image_id)

    def steal() -> None:
        with process.database.writing() as session:
            session.execute(update(Explanation).values(lease_until=clock() - 1))
        explain_image(replace(process, name="host:2"), explanation_id)

    explain_image(replace(process, blobs=Interrupting(blobs, steal)), explanation_id)
    made = read(process, explanation_id)
    assert (made.state, made.fence) == (MakingState.READY, 2)
    assert made.blob_key == f"explanations/{explanation_id}-2"
    assert picture(process, made, CROP).size


def test_one_that_kills_its_worker_each_time_is_given_up(
    process: WorkerProcess, image_id: int
) -> None:
    explanation_id = ask(process, image_id)
    for _ in range(process.settings.max_attempts):
        with process.database.writing() as session:
            assert explanations.claim(session, explanation_id, "w:1", -1)
        with process.database.writing() as session:
            assert making.take_back(session, Explanation, process.settings.max_attempts) == 1
    failed = read(process, explanation_id)
    assert failed.state is MakingState.FAILED
    assert failed.message and "crashed the worker" in failed.message
