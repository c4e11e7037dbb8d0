"""A worker that looks at no image: what is left is what the platform itself costs.

    python -m benchmarks.null_worker --milliseconds 0

It is the real worker, Celery, leases, records and all, but for its eyes: it opens no file and
loads no network, and makes a verdict up for every image after a sleep as long as looking would
have taken. `benchmarks.rig` starts it; it is of no use to anybody else.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from random import Random

import click
import numpy as np
from numpy.typing import NDArray

from benchmarks.history import draw
from core.jobs import ShardClaim
from core.settings import Settings
from lexicon.verdicts import Verdict
from ml.answers import Outputs
from ml.bundle import Bundle
from ml.decoding import Pixels
from ml.trust import Trust
from worker import main as worker_main
from worker import pipeline
from worker import process as process_module
from worker.lease import Lease
from worker.models import LoadedModel
from worker.pipeline import Results
from worker.process import WorkerProcess

_MADE_UP = 500


@dataclass(frozen=True)
class NullClassifier:
    """A bundle without its network."""

    bundle: Bundle
    backend: str = "null"
    device: str = "cpu"

    @property
    def trust(self) -> Trust:
        """A trust that is never asked."""
        return Trust(self.bundle.metadata.classes)

    def classify(self, batch: Pixels) -> Outputs:
        """Not to be called: nothing is looked at."""
        raise NotImplementedError

    def activations(self, batch: Pixels) -> NDArray[np.float32]:
        """Not to be called: nothing is looked at."""
        raise NotImplementedError


def blind(bundle: Bundle, threads: int, device: str = "auto") -> LoadedModel:
    """Take the place of `worker.models.open_model`."""
    return LoadedModel(NullClassifier(bundle))


def verdicts() -> list[Verdict]:
    """Some made up as `benchmarks.history` draws them, to be given out in turn."""
    rng = Random(0)
    return [draw(rng) for _ in range(_MADE_UP)]


@click.command()
@click.option("--milliseconds", default=0.0, help="How long an image takes.")
def main(milliseconds: float) -> None:
    """Work until told to stop, as `hematovision worker` does."""
    made_up = verdicts()

    def pretend(
        process: WorkerProcess,
        model: LoadedModel,
        claim: ShardClaim,
        lease: Lease,
        between: Callable[[], None] = lambda: None,
    ) -> Results:
        for start in range(0, len(claim.work), pipeline.BATCH):
            images = min(pipeline.BATCH, len(claim.work) - start)
            time.sleep(images * milliseconds / 1000)
            lease.check()
            between()
        return {work.image_id: made_up[work.image_id % len(made_up)] for work in claim.work}

    pipeline.classify = pretend
    # Copies are made in the pass that is left out here, and not afterwards in its place.
    pipeline.complete_copies = lambda process, works: None  # type: ignore[attr-defined]
    process_module.open_model = blind  # type: ignore[attr-defined]
    settings = Settings.from_env()
    worker_main.serve(settings, processes=settings.workers, threads=1)


if __name__ == "__main__":
    main()
