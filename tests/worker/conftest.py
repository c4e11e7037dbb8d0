"""A worker process over SQLite, stores in memory, and the network that ships."""

from __future__ import annotations

import io
import json
import shutil
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image as Picture

from core import jobs
from core.blobs import MemoryBlobs
from core.db import Database
from core.intake import Limits, accept
from core.people import accounts
from core.queue import MemoryQueue
from core.settings import Settings
from core.tables import Job
from ml.answers import Outputs
from ml.bundle import Bundle, default_bundle_path
from ml.bundle.folder import METADATA
from ml.decoding import Pixels
from ml.serving import Classifier, load_classifier
from worker.models import LoadedModel, ModelStore, introduce, open_model
from worker.process import WorkerProcess

Submit = Callable[..., int]
MakeBundle = Callable[..., Bundle]


def png(seed: int, side: int = 40) -> bytes:
    """A picture of its own for each seed."""
    colours = np.random.default_rng(seed).integers(0, 255, (side, side, 3), dtype=np.uint8)
    out = io.BytesIO()
    Picture.fromarray(colours).save(out, "PNG")
    return out.getvalue()


class Watched:
    """A classifier that counts, and lets a test do something while it is at work.

    It looks at no image twice, so that what it counts are images.
    """

    def __init__(self, inner: Classifier, meanwhile: Callable[[], None] = lambda: None) -> None:
        self._inner, self.meanwhile, self.images = inner, meanwhile, 0
        metadata = inner.bundle.metadata
        once = replace(metadata, preprocessing=replace(metadata.preprocessing, doubt=0.0))
        self.bundle = replace(inner.bundle, metadata=once)
        self.backend, self.device = inner.backend, inner.device
        self.trust, self.activations = inner.trust, inner.activations

    def classify(self, batch: Pixels) -> Outputs:
        self.images += len(batch)
        self.meanwhile()
        return self._inner.classify(batch)


@pytest.fixture(scope="session")
def classifier() -> Classifier:
    return load_classifier(Bundle.load(default_bundle_path()), threads=1, device="cpu")


@pytest.fixture
def another(tmp_path: Path) -> MakeBundle:
    """Return what makes a bundle of the same network under another version.

    ``turned`` names its classes one further round, so that it disagrees on every image.
    """

    def make(version: str = "next", *, turned: bool = False) -> Bundle:
        folder = tmp_path / "bundles" / version
        shutil.copytree(default_bundle_path(), folder)
        document = json.loads((folder / METADATA).read_text())
        document["version"] = version
        if turned:
            document["classes"] = document["classes"][1:] + document["classes"][:1]
        (folder / METADATA).write_text(json.dumps(document))
        return Bundle.load(folder)

    return make


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return Settings(data=tmp_path, lease_seconds=5, shard_size=8, laboratory="St Mary's")


@pytest.fixture
def blobs() -> MemoryBlobs:
    return MemoryBlobs()


@pytest.fixture
def database(
    settings: Settings, migrated_sqlite: Path, classifier: Classifier, blobs: MemoryBlobs
) -> Iterator[Database]:
    shutil.copy(migrated_sqlite, settings.data / "hematovision.db")
    database = Database(settings.database)
    with database.writing() as session:
        accounts.ensure_roles(session)
        accounts.first_administrator(session, "lab@example.org")
        introduce(session, blobs, classifier.bundle)
    yield database
    database.dispose()


@pytest.fixture
def queue() -> MemoryQueue:
    return MemoryQueue()


@pytest.fixture
def watched(classifier: Classifier) -> Watched:
    return Watched(classifier)


@pytest.fixture
def models(settings: Settings, blobs: MemoryBlobs, watched: Watched) -> ModelStore:
    """The shipped model, watched, and whatever else lies in the store."""

    def load(bundle: Bundle) -> LoadedModel:
        return LoadedModel(watched) if bundle is watched.bundle else open_model(bundle, 1)

    return ModelStore(blobs, settings.unpacked_models, watched.bundle, load)


@pytest.fixture
def process(
    settings: Settings,
    database: Database,
    blobs: MemoryBlobs,
    queue: MemoryQueue,
    models: ModelStore,
) -> WorkerProcess:
    return WorkerProcess(settings, database, blobs, queue, "host:1", models, decoders=2)


@pytest.fixture
def submit(process: WorkerProcess) -> Submit:
    """Submit files by name and return the job's id, its shards published."""

    def _submit(
        files: Mapping[str, bytes], name: str = "Ward 3", reference: str = "", model: str = ""
    ) -> int:
        limits = Limits(process.settings.max_file_bytes, process.settings.max_pixels)
        with process.database.writing() as session:
            person = accounts.find_person(session, "lab@example.org")
            job = jobs.create(session, person.id, name, reference)
            entries = [jobs.Entry(file, len(data)) for file, data in files.items()]
            announced = jobs.announce(session, job, entries, 1000)
            for (image, _), data in zip(announced, files.values(), strict=True):
                jobs.receive(session, job, image, accept(io.BytesIO(data), process.blobs, limits))
            jobs.submit(session, job, process.settings, without_missing=False, model=model)
            return job.id

    return _submit


def counts_of(process: WorkerProcess, job_id: int) -> jobs.Counts:
    """The job's counts as they stand now."""
    with process.database.reading() as session:
        return jobs.counts(session, [session.get_one(Job, job_id)])[job_id]
