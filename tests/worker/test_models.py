"""The models a process holds: fetched, verified, kept, let go; and how they enter the list."""

from __future__ import annotations

import dataclasses
import shutil
import threading
from pathlib import Path

import pytest
from sqlalchemy import select

import worker.process
from core import registry
from core.blobs import LocalBlobs, MemoryBlobs
from core.db import Database
from core.errors import ConfigurationError
from core.registry import bundle_key
from core.settings import Settings
from core.states import ModelState
from core.tables import Model
from ml.bundle import Bundle, default_bundle_path
from ml.bundle.folder import ONNX
from ml.bundle.signing import make_key, sign
from ml.serving import Classifier
from tests.worker.conftest import MakeBundle, Watched
from worker.main import serve
from worker.models import LoadedModel, ModelStore, facts_of, introduce
from worker.packing import ModelUnusable, keep
from worker.process import WorkerProcess, first_model


class Loads:
    """Loads nothing, but notes what it was asked for."""

    def __init__(self, classifier: Classifier) -> None:
        self.digests: list[str] = []
        self._classifier = classifier

    def __call__(self, bundle: Bundle) -> LoadedModel:
        self.digests.append(bundle.digest)
        watched = Watched(self._classifier)
        watched.bundle = bundle
        return LoadedModel(watched)


@pytest.fixture
def loads(classifier: Classifier) -> Loads:
    return Loads(classifier)


@pytest.fixture
def store(tmp_path: Path, blobs: MemoryBlobs, loads: Loads, classifier: Classifier) -> ModelStore:
    return ModelStore(blobs, tmp_path / "cache", classifier.bundle, loads)


def test_the_shipped_model_needs_no_store(store: ModelStore, tmp_path: Path) -> None:
    digest = store.shipped.digest
    assert store.get(digest).digest == digest
    assert store.loaded == (digest,)
    assert not (tmp_path / "cache").exists()


def test_another_model_is_unpacked_once_and_found_again(
    store: ModelStore, loads: Loads, blobs: MemoryBlobs, another: MakeBundle, tmp_path: Path
) -> None:
    bundle = another()
    keep(blobs, bundle)
    assert store.get(bundle.digest).bundle.path == tmp_path / "cache" / bundle.digest
    assert [file.name for file in (tmp_path / "cache").iterdir()] == [bundle.digest]
    blobs.delete(bundle_key(bundle.digest))
    assert store.get(bundle.digest) is store.get(bundle.digest)
    assert loads.digests == [bundle.digest]
    again = ModelStore(blobs, tmp_path / "cache", store.shipped, loads)
    assert again.get(bundle.digest).digest == bundle.digest


def test_two_are_kept_loaded_and_the_one_not_used_for_longest_goes(
    store: ModelStore, loads: Loads, blobs: MemoryBlobs, another: MakeBundle
) -> None:
    bundles = [another(version) for version in ("2", "3")]
    for bundle in bundles:
        keep(blobs, bundle)
    first, (second, third) = store.shipped.digest, (bundle.digest for bundle in bundles)
    for digest in (first, second, first, third):
        store.get(digest)
    assert store.loaded == (third, first)
    store.get(second)
    assert store.loaded == (second, third)
    assert loads.digests == [first, second, third, second]


def test_an_unpacked_model_that_was_damaged_is_fetched_again(
    store: ModelStore, loads: Loads, blobs: MemoryBlobs, another: MakeBundle, tmp_path: Path
) -> None:
    bundle = another()
    keep(blobs, bundle)
    path = store.get(bundle.digest).bundle.path
    (path / ONNX).write_bytes(b"something else")
    fresh = [ModelStore(blobs, tmp_path / "cache", store.shipped, loads) for _ in range(2)]
    assert Bundle.load(fresh[0].get(bundle.digest).bundle.path).digest == bundle.digest
    blobs.delete(bundle_key(bundle.digest))
    (path / ONNX).unlink()
    with pytest.raises(ModelUnusable, match="is missing"):
        fresh[1].get(bundle.digest)


def test_processes_that_unpack_at_once_end_with_one_whole_model(
    classifier: Classifier, loads: Loads, another: MakeBundle, tmp_path: Path
) -> None:
    blobs, bundle = LocalBlobs(tmp_path / "blobs"), another()
    keep(blobs, bundle)
    raised: list[BaseException] = []

    def get() -> None:
        try:
            ModelStore(blobs, tmp_path / "cache", classifier.bundle, loads).get(bundle.digest)
        except BaseException as error:
            raised.append(error)

    threads = [threading.Thread(target=get) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert raised == []
    assert Bundle.load(tmp_path / "cache" / bundle.digest).digest == bundle.digest
    assert len(list((tmp_path / "cache").iterdir())) == 1


def test_a_network_that_no_library_can_read_is_said_to_be_so(
    blobs: MemoryBlobs, classifier: Classifier, tmp_path: Path
) -> None:
    class Unreadable(Exception):
        """As a library's own."""

    def load(bundle: Bundle) -> LoadedModel:
        raise Unreadable("no such operator")

    store = ModelStore(blobs, tmp_path / "cache", classifier.bundle, load)
    with pytest.raises(ModelUnusable, match="can't be loaded: no such operator"):
        store.get(classifier.bundle.digest)
    assert store.loaded == ()


def rows(database: Database) -> dict[str, ModelState]:
    with database.reading() as session:
        return {model.digest: model.state for model in session.scalars(select(Model))}


def test_a_worker_enters_its_bundle_and_leaves_the_choice_to_the_list(
    database: Database, blobs: MemoryBlobs, classifier: Classifier, another: MakeBundle
) -> None:
    """The fixture's database has met the shipped bundle; now a worker of a later version comes."""
    later = another()
    for _ in range(2):
        with database.writing() as session:
            assert introduce(session, blobs, later) == classifier.bundle.digest
    assert rows(database) == {
        classifier.bundle.digest: ModelState.ACTIVE,
        later.digest: ModelState.CANDIDATE,
    }
    assert all(blobs.exists(bundle_key(digest)) for digest in rows(database))


def test_the_list_knows_what_pages_show_of_a_bundle(classifier: Classifier) -> None:
    metadata = classifier.bundle.metadata
    bundle = dataclasses.replace(
        classifier.bundle,
        metadata=dataclasses.replace(metadata, data={"sources": ["a"], "few_shot": ["platelet"]}),
    )
    facts = facts_of(bundle)
    assert (facts.digest, facts.name, facts.classes) == (
        bundle.digest,
        metadata.name,
        metadata.classes,
    )
    assert facts.scores == metadata.scores
    assert facts.shown["shape"] == [metadata.shape.height, metadata.shape.width]
    assert (facts.shown["sources"], facts.shown["few_shot"]) == (["a"], ["platelet"])


def test_a_process_begins_with_the_active_model(
    process: WorkerProcess, blobs: MemoryBlobs, another: MakeBundle
) -> None:
    bundle = another()
    keep(blobs, bundle)
    with process.database.writing() as session:
        registry.add(session, facts_of(bundle))
        registry.activate(session, bundle.digest)
    assert first_model(process).digest == bundle.digest
    assert process.models.loaded == (bundle.digest,)


def test_a_process_whose_active_model_is_gone_begins_with_the_shipped_one(
    process: WorkerProcess, another: MakeBundle, caplog: pytest.LogCaptureFixture
) -> None:
    with process.database.writing() as session:
        added = registry.add(session, facts_of(another()))
        registry.activate(session, added.digest)
    assert first_model(process).digest == process.models.shipped.digest
    assert "hematovision model add FOLDER" in caplog.text


def test_a_process_unpacks_models_where_the_settings_say(
    settings: Settings, database: Database, tmp_path: Path
) -> None:
    opened = worker.process.open_process(settings.model_copy(update={"redis_url": "memory://"}), 1)
    assert settings.unpacked_models == tmp_path / "models"
    assert opened.models.loaded == ()
    opened.database.dispose()


def test_where_keys_are_trusted_a_worker_runs_no_other_bundle(
    blobs: MemoryBlobs, loads: Loads, classifier: Classifier, another: MakeBundle, tmp_path: Path
) -> None:
    bundle, trusted = another(), {make_key(tmp_path / "key")}
    keep(blobs, bundle)
    store = ModelStore(blobs, tmp_path / "cache", classifier.bundle, loads, trusted)
    assert store.get(store.shipped.digest)
    for _ in range(2):
        with pytest.raises(ModelUnusable, match="is not signed"):
            store.get(bundle.digest)
    sign(bundle, tmp_path / "key")
    blobs.delete(bundle_key(bundle.digest))
    keep(blobs, bundle)
    fresh = ModelStore(blobs, tmp_path / "another", classifier.bundle, loads, trusted)
    assert fresh.get(bundle.digest).digest == bundle.digest


def test_a_worker_refuses_to_start_with_a_bundle_that_does_not_work(
    settings: Settings, tmp_path: Path
) -> None:
    shutil.copytree(default_bundle_path(), tmp_path / "bundle")
    (tmp_path / "bundle" / ONNX).unlink()
    (tmp_path / "bundle" / ONNX).symlink_to(default_bundle_path() / ONNX)
    changed = settings.model_copy(update={"bundle": str(tmp_path / "bundle")})
    with pytest.raises(ConfigurationError, match="link or a special file"):
        serve(changed, processes=1, threads=1)
