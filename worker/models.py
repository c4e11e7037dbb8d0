"""The models that a worker process can use: the one it ships with, and those in the store."""

from __future__ import annotations

import logging
import shutil
import tempfile
import threading
import time
from collections.abc import Callable, Collection
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from sqlalchemy.orm import Session

from core import registry
from core.blobs import BlobStore
from core.registry import BundleFacts
from ml.bundle import Bundle, BundleError
from ml.bundle.signing import SignatureInvalid, require_trusted, signer
from ml.serving import Classifier, load_classifier
from ml.serving.trial import check_answers, check_metadata
from worker.packing import ModelUnusable, fetch, keep

# The active model and a shadow, or an older job's model.
MOST_LOADED = 2
_UNPACKING = ".unpacking-"
_LEFT_OVER_SECONDS = 3600
# Long enough for another worker to take the job, short enough for a person who waits for an answer.
LACKING_SECONDS = 10.0

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class LoadedModel:
    """A bundle that is loaded and ready to classify images."""

    classifier: Classifier

    @property
    def bundle(self) -> Bundle:
        """The bundle it was made from."""
        return self.classifier.bundle

    @property
    def digest(self) -> str:
        """The digest under which predictions are recorded."""
        return self.bundle.digest


def open_model(bundle: Bundle, threads: int, device: str = "auto") -> LoadedModel:
    """Load a bundle's network, ready to run on a device as `ml.serving.inference` names it.

    Raises:
        BundleUnfit: its metadata or its answers are not as they must be.
    """
    check_metadata(bundle.metadata)
    classifier = load_classifier(bundle, threads=threads, device=device)
    check_answers(classifier)
    return LoadedModel(classifier)


class ModelStore:
    """Returns models by digest, and keeps the `MOST_LOADED` most recently used ones loaded.

    ``shipped`` is there at once; others are unpacked from the blob store into ``cache``, where all
    processes of this machine find them. If keys are ``trusted``, one of them must have signed them.
    """

    def __init__(
        self,
        blobs: BlobStore,
        cache: Path,
        shipped: Bundle,
        load: Callable[[Bundle], LoadedModel],
        trusted: Collection[str] = (),
    ) -> None:
        self.shipped = shipped
        self._trusted = trusted
        self._blobs, self._cache, self._load = blobs, cache, load
        # The most recently used one is last.
        self._loaded: dict[str, LoadedModel] = {}
        self._lock = threading.Lock()

    @property
    def loaded(self) -> tuple[str, ...]:
        """The digests of the loaded models, the most recently used first."""
        return tuple(self._loaded)[::-1]

    def get(self, digest: str) -> LoadedModel:
        """Return a model, ready to classify images.

        Raises:
            ModelUnusable: its bundle is missing, damaged or not signed with a trusted key, or its
                network can't be loaded.
            OSError: the store or the disk does not answer; trying again later may help.
        """
        with self._lock:
            model = self._loaded.pop(digest, None)
            if model is None:
                bundle = self._trust(self._find(digest))
                while len(self._loaded) >= MOST_LOADED:
                    del self._loaded[next(iter(self._loaded))]
                model = self._open(bundle)
            self._loaded[digest] = model
            return model

    def _find(self, digest: str) -> Bundle:
        if digest == self.shipped.digest:
            return self.shipped
        with suppress(BundleError):
            unpacked = Bundle.load(self._cache / digest)
            if unpacked.digest == digest:
                return unpacked
        return self._unpack(digest)

    def _trust(self, bundle: Bundle) -> Bundle:
        if bundle is not self.shipped:
            try:
                require_trusted(bundle, self._trusted)
            except SignatureInvalid as error:
                raise ModelUnusable(
                    f"{error} Ask an administrator to sign it and add it again."
                ) from error
        return bundle

    def _unpack(self, digest: str) -> Bundle:
        """Unpack elsewhere, then rename; if several processes do so at once, one wins."""
        self._cache.mkdir(parents=True, exist_ok=True)
        folder = self._cache / digest
        _remove_left_over(self._cache)
        with tempfile.TemporaryDirectory(dir=self._cache, prefix=_UNPACKING) as temporary:
            aside = fetch(self._blobs, digest, Path(temporary) / "bundle")
            # What is there was just found to be damaged, unless another process was quicker.
            shutil.rmtree(folder, ignore_errors=True)
            try:
                aside.path.rename(folder)
            except OSError:
                if not folder.is_dir():
                    raise
        log.info("Model %s is unpacked.", digest[:12])
        return replace(aside, path=folder)

    def _open(self, bundle: Bundle) -> LoadedModel:
        try:
            return self._load(bundle)
        except (OSError, MemoryError):
            raise
        except Exception as error:
            # The libraries raise all kinds of errors for a network that they can't read.
            raise ModelUnusable(
                f"The model {bundle.digest[:12]} can't be loaded: {error}"[:300]
            ) from error


def _remove_left_over(cache: Path) -> None:
    """Remove what a killed process had begun to unpack."""
    for folder in cache.glob(f"{_UNPACKING}*"):
        with suppress(FileNotFoundError):
            if time.time() - folder.stat().st_mtime > _LEFT_OVER_SECONDS:
                shutil.rmtree(folder, ignore_errors=True)


class Lacking:
    """Models that were recently unavailable: their jobs are left to other workers for a while."""

    def __init__(self) -> None:
        self._until: dict[str, float] = {}

    def note(self, digest: str) -> None:
        """Note that a model is unavailable here."""
        self._until[digest] = time.monotonic() + LACKING_SECONDS

    def now(self) -> frozenset[str]:
        """Return the digests of models that should not be tried again yet."""
        now = time.monotonic()
        return frozenset(digest for digest, until in self._until.items() if until > now)


def introduce(session: Session, blobs: BlobStore, bundle: Bundle) -> str:
    """Add a bundle to the list of models and to the store; return the active model's digest.

    It becomes the active one if no model works.
    """
    keep(blobs, bundle)
    registry.start_with(session, facts_of(bundle))
    current = registry.active(session)
    return current.digest if current else bundle.digest


def facts_of(bundle: Bundle) -> BundleFacts:
    """Return what the list of models says about a bundle. Raises `SignatureInvalid`."""
    metadata = bundle.metadata
    shown: dict[str, Any] = {
        "shape": [metadata.shape.height, metadata.shape.width],
        "recipe": metadata.recipe.get("name", ""),
        "sources": list(metadata.data.get("sources", ())),
        "few_shot": list(metadata.data.get("few_shot", ())),
        "trust": dict(metadata.trust),
        "intended_use": metadata.intended_use,
    }
    return BundleFacts(
        digest=bundle.digest,
        name=metadata.name,
        version=metadata.version,
        classes=metadata.classes,
        scores=dict(metadata.scores),
        shown=shown,
        signed_by=signer(bundle),
    )
