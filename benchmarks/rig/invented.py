"""Jobs of images that exist in SQL alone, for workers that look at none."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from dataclasses import dataclass

from sqlalchemy import insert

from benchmarks.rig.system import Rig
from core import jobs
from core.states import ImageState
from core.tables import Image

NULL_WORKER = (sys.executable, "-m", "benchmarks.null_worker")
_ROWS_AT_ONCE = 5000


@dataclass(frozen=True)
class Run:
    """One job: images/s, and the processor's milliseconds per image by kind of program."""

    speed: float
    milliseconds: dict[str, float]

    @property
    def total(self) -> float:
        """Milliseconds of processor time per image, in all programs together."""
        return sum(self.milliseconds.values())


def runs(rig: Rig, images: int, count: int) -> Iterator[Run]:
    """Run one job of so many images after the other, and measure each."""
    for _ in range(count):
        job_id = _invent(rig, images)
        before = rig.processor_seconds()
        seconds = rig.run(job_id)
        after = rig.processor_seconds()
        counts = rig.counts(job_id)
        assert counts.classified == images, counts
        spent = {kind: (after[kind] - before.get(kind, 0)) * 1000 / images for kind in after}
        yield Run(images / seconds, spent)


def _invent(rig: Rig, images: int) -> int:
    """Open a job of so many images; return its id."""
    with rig.database.writing() as session:
        job = jobs.create(session, rig.owner.id, "benchmark")
        for start in range(0, images, _ROWS_AT_ONCE):
            rows = [
                {
                    "job_id": job.id,
                    "position": position,
                    "name": f"{position:06}.jpg",
                    "state": ImageState.RECEIVED,
                    "sha256": f"{job.id:032x}{position:032x}",
                    "size": 10_000,
                    "format": "JPEG",
                    "width": 320,
                    "height": 240,
                }
                for position in range(start, min(start + _ROWS_AT_ONCE, images))
            ]
            session.execute(insert(Image), rows)
        return job.id
