"""A laboratory's day in a few calls: jobs that receive, are worked on, crash and end."""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Sequence
from contextlib import suppress
from dataclasses import dataclass, field

import pytest
from sqlalchemy import func, insert, select, update

from core import jobs
from core.db import Database
from core.errors import QueueUnavailable, Refused
from core.intake import Accepted
from core.jobs import Counts, Entry, Failure, Progress, ShardClaim
from core.jobs.dispatch import Swept
from core.queue import CLASSIFY, MemoryQueue, Message
from core.settings import Settings
from core.states import ImageState, JobState
from core.tables import Image, Job, Prediction, Shard, User
from lexicon.outcomes import Outcome
from lexicon.verdicts import Box, Verdict
from tests.conftest import MakePerson

VERDICT = Verdict(
    label="lymphocyte",
    confidence=0.9,
    outcome=Outcome.ACCEPTED,
    probabilities=(0.05, 0.9, 0.03, 0.02),
    candidates=("lymphocyte",),
    familiarity=0.625,
    box=Box(0.25, 0.125, 0.75, 0.875),
)
DOUBT = Verdict(
    label="eosinophil",
    confidence=0.55,
    outcome=Outcome.UNCERTAIN,
    probabilities=(0.55, 0.0, 0.0, 0.45),
    candidates=("eosinophil", "neutrophil"),
    reason="between_classes",
    familiarity=0.31,
    box=Box(0.1, 0.2, 0.6, 0.7),
)
STRANGE = Verdict(
    label="monocyte",
    confidence=0.8,
    outcome=Outcome.UNFAMILIAR,
    probabilities=(0.1, 0.05, 0.8, 0.05),
    candidates=("monocyte",),
    reason="no_cell",
    familiarity=0.0,
)
FAILURE = Failure("truncated", "The file ends before the image does.")


def sha(content: object) -> str:
    """Return the hash that stands for some bytes."""
    return hashlib.sha256(str(content).encode()).hexdigest()


def accepted(content: object, size: int = 100) -> Accepted:
    """Return what the door says of some bytes."""
    return Accepted(sha(content), size, "PNG", 64, 64)


@dataclass
class Life:
    """What web, workers and sweep do to one database, each call in its own transaction."""

    database: Database
    settings: Settings
    owner: User
    digest: str
    queue: MemoryQueue = field(default_factory=MemoryQueue)
    verdicts: tuple[Verdict, ...] = (VERDICT,)

    def __post_init__(self) -> None:
        self.database.on_commit(self._ring)

    def _ring(self, effects: Sequence[object]) -> None:
        """Ring as `core.doorbell` does, but draw no shard: a test says when, by `dispatch`."""
        with suppress(QueueUnavailable):
            for effect in effects:
                if isinstance(effect, Message):
                    self.queue.ring(*effect)

    def open(self, owner: User | None = None) -> int:
        """Open an empty job and return its id."""
        with self.database.writing() as session:
            return jobs.create(session, (owner or self.owner).id, "Slide 12").id

    def announce(self, job_id: int, *entries: Entry) -> list[tuple[int, bool]]:
        """Announce files; return their ids and whether their bytes are needed."""
        with self.database.writing() as session:
            job = session.get_one(Job, job_id)
            answer = jobs.announce(session, job, entries, self.settings.max_job_files)
            return [(image.id, needed) for image, needed in answer]

    def receive(self, image_id: int, content: object) -> None:
        """Hand in the bytes of one file."""
        with self.database.writing() as session:
            image = session.get_one(Image, image_id)
            job = session.get_one(Job, image.job_id)
            jobs.receive(session, job, image, accepted(content, image.size))

    def refuse(self, image_id: int, code: str = "not_an_image") -> None:
        """Refuse the bytes of one file."""
        with self.database.writing() as session:
            image = session.get_one(Image, image_id)
            job = session.get_one(Job, image.job_id)
            jobs.refuse(session, job, image, Refused(code, "No."))

    def fill(self, job_id: int, count: int) -> list[int]:
        """Announce and hand in ``count`` files of this job alone; return their ids."""
        contents = [f"{job_id}/{i}" for i in range(count)]
        entries = [Entry(f"{content}.png", 100, sha(content)) for content in contents]
        ids = [image_id for image_id, _ in self.announce(job_id, *entries)]
        with self.database.writing() as session:
            job = session.get_one(Job, job_id)
            for image_id, content in zip(ids, contents, strict=True):
                jobs.receive(session, job, session.get_one(Image, image_id), accepted(content))
        return ids

    def submit(self, job_id: int, *, without_missing: bool = False) -> None:
        """Close the intake of a job."""
        with self.database.writing() as session:
            job = session.get_one(Job, job_id)
            jobs.submit(session, job, self.settings, without_missing=without_missing)

    def submitted(self, count: int) -> int:
        """Return a job of ``count`` accepted files that has been submitted."""
        job_id = self.open()
        self.fill(job_id, count)
        self.submit(job_id)
        return job_id

    def submitted_at_once(self, count: int) -> int:
        """Return a submitted job of many files, its images written in one go."""
        job_id = self.open()
        rows = [
            {"job_id": job_id, "position": i, "name": f"{i}.png", "size": 9, "sha256": sha(i)}
            | {"state": ImageState.RECEIVED}
            for i in range(count)
        ]
        with self.database.writing() as session:
            session.execute(insert(Image), rows)
        self.submit(job_id)
        return job_id

    def cancel(self, job_id: int) -> None:
        """Cancel a job."""
        with self.database.writing() as session:
            jobs.cancel(session, session.get_one(Job, job_id))

    def retry_failed(self, job_id: int) -> int:
        """Queue what failed."""
        with self.database.writing() as session:
            return jobs.retry_failed(session, session.get_one(Job, job_id), self.settings)

    def run_again(self, job_id: int, model: str = "") -> int:
        """Queue everything."""
        with self.database.writing() as session:
            return jobs.run_again(session, session.get_one(Job, job_id), self.settings, model)

    def dispatch(self) -> list[int]:
        """Ring for what there is room for; return the shards rung for."""
        self.queue.rung.clear()
        jobs.dispatch(self.database, self.settings)
        return self.heard()

    def sweep(self) -> Swept:
        """Sweep once."""
        self.queue.rung.clear()
        return jobs.sweep(self.database, self.settings)

    def heard(self) -> list[int]:
        """Return the shards that were rung for since the last dispatch or sweep."""
        return [id_ for task, id_, _ in self.queue.rung if task == CLASSIFY]

    def claim(self, shard_id: int, worker: str = "worker-1") -> ShardClaim | None:
        """Take a shard."""
        with self.database.writing() as session:
            return jobs.claim(session, shard_id, worker, self.settings.lease_seconds)

    def claimed(self, shard_id: int, worker: str = "worker-1") -> ShardClaim:
        """Take a shard that is free."""
        claim = self.claim(shard_id, worker)
        assert claim is not None
        return claim

    def record(self, claim: ShardClaim, failing: Collection[int] = ()) -> None:
        """Record a verdict for each image of the claim, but a failure for those ``failing``."""
        results: dict[int, Verdict | Failure] = {
            work.image_id: FAILURE if work.image_id in failing else self._verdict(work.image_id)
            for work in claim.work
        }
        with self.database.writing() as session:
            jobs.record(session, claim, claim.model_digest or self.digest, results)

    def _verdict(self, image_id: int) -> Verdict:
        return self.verdicts[image_id % len(self.verdicts)]

    def settle(self, job_id: int) -> bool:
        """End the job if it is done."""
        with self.database.writing() as session:
            return jobs.settle(session, job_id)

    def work_off(self, failing: Collection[int] = ()) -> None:
        """Be a worker until nothing is left to do."""
        while rung := self.dispatch():
            for shard_id in rung:
                claim = self.claimed(shard_id)
                self.record(claim, failing)
                self.settle(claim.job_id)

    def let_lease_run_out(self, shard_id: int) -> None:
        """Make the lease of a shard one that ended a while ago."""
        with self.database.writing() as session:
            session.execute(update(Shard).where(Shard.id == shard_id).values(lease_until=1.0))

    def job(self, job_id: int) -> Job:
        """Read a job."""
        with self.database.reading() as session:
            return session.get_one(Job, job_id)

    def images(self, job_id: int) -> list[Image]:
        """Read a job's images in order."""
        with self.database.reading() as session:
            query = select(Image).where(Image.job_id == job_id).order_by(Image.position)
            return list(session.scalars(query))

    def shards(self, job_id: int) -> list[Shard]:
        """Read a job's shards in order."""
        with self.database.reading() as session:
            query = select(Shard).where(Shard.job_id == job_id).order_by(Shard.id)
            return list(session.scalars(query))

    def counts(self, job_id: int) -> Counts:
        """Return the counts that a page shows."""
        with self.database.reading() as session:
            return jobs.counts(session, [session.get_one(Job, job_id)])[job_id]

    def truth(self, job_id: int) -> Counts:
        """Count the same from the image rows, the slow way."""
        states = [image.state for image in self.images(job_id)]
        return Counts(
            received=len(states),
            classified=states.count(ImageState.CLASSIFIED),
            duplicates=states.count(ImageState.DUPLICATE),
            refused=states.count(ImageState.REFUSED),
            failed=states.count(ImageState.FAILED),
            expected=states.count(ImageState.EXPECTED),
        )

    def progress(self, job_id: int) -> Progress:
        """Return how far a job's run is."""
        with self.database.reading() as session:
            return jobs.progress(session, [session.get_one(Job, job_id)])[job_id]

    def judged_by(self, job_id: int) -> dict[str, int]:
        """Return how many verdicts are which model's, as a page counts them."""
        with self.database.reading() as session:
            return {judge.model.digest: judge.count for judge in jobs.judges(session, job_id)}

    def predictions(self) -> int:
        """Count the predictions of all jobs."""
        with self.database.reading() as session:
            return session.scalar(select(func.count()).select_from(Prediction)) or 0

    def state(self, job_id: int) -> JobState:
        """Return a job's state."""
        return self.job(job_id).state


@pytest.fixture
def life(database: Database, person: MakePerson, model_digest: str, settings: Settings) -> Life:
    """Return a laboratory with shards of four and room for three at a time."""
    small = settings.model_copy(update={"shard_size": 4, "interactive_limit": 6})
    return Life(database, small, person(), model_digest)
