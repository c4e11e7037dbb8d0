"""A worker that looks at no image: what is left is what the platform itself costs.

    python -m benchmarks.null_worker --milliseconds 0

It is the real worker, Celery, leases, records and all, but for its eyes: it opens no file and
loads no network, and makes a verdict up for every image after a sleep as long as looking would
have taken. `benchmarks.rig` starts it; it is of no use to anybody else.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import click
import numpy as np
from numpy.typing import NDArray

from core.jobs import Claim, Verdict
from core.settings import Settings
from ml.bundle import Bundle
from ml.images import Pixels
from ml.inference import Outputs
from ml.trust import Trust
from worker import main as worker_main
from worker import pipeline, process
from worker.lease import Lease
from worker.models import Model
from worker.pipeline import Results
from worker.process import WorkerProcess


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


def blind(bundle: Bundle, threads: int) -> Model:
    """Take the place of `worker.models.open_model`."""
    return Model(NullClassifier(bundle))


def verdict(number: int, classes: Sequence[str]) -> Verdict:
    """Make one up; a tenth is uncertain, and a tenth unfamiliar."""
    first, second = (classes[(number + step) % len(classes)] for step in (0, 1))
    kinds = {0: ("uncertain", "between_classes"), 1: ("unfamiliar", "unlike_training")}
    outcome, reason = kinds.get(number % 10, ("accepted", ""))
    rest = tuple(0.08 / (len(classes) - 1) for _ in classes[1:])
    return Verdict(
        label=first,
        confidence=0.92,
        outcome=outcome,
        probabilities=(0.92, *rest),
        candidates=(first, second) if outcome == "uncertain" else (first,),
        reason=reason,
        familiarity=0.5,
        box=(0.25, 0.25, 0.75, 0.75),
    )


@click.command()
@click.option("--milliseconds", default=0.0, help="How long an image takes.")
def main(milliseconds: float) -> None:
    """Work until told to stop, as `hematovision worker` does."""

    def pretend(
        here: WorkerProcess,
        model: Model,
        claim: Claim,
        lease: Lease,
        between: Callable[[], None] = lambda: None,
    ) -> Results:
        for start in range(0, len(claim.work), pipeline.BATCH):
            images = min(pipeline.BATCH, len(claim.work) - start)
            time.sleep(images * milliseconds / 1000)
            lease.check()
            between()
        classes = model.bundle.metadata.classes
        return {work.image_id: verdict(work.image_id, classes) for work in claim.work}

    pipeline.classify = pretend
    process.open_model = blind  # type: ignore[attr-defined]
    settings = Settings.from_env()
    worker_main.serve(settings, processes=settings.workers, threads=1)


if __name__ == "__main__":
    main()
