"""A laboratory's history of any size: people, jobs in every state, images and their verdicts.

The same seed gives the same history. Job sizes are skewed as they are in life: one job holds a
tenth of all images, a few a hundredth each, most some dozens to some hundreds. At any time, of
each job, received = classified + duplicates + refused + failed + waiting.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from itertools import count
from random import Random

from sqlalchemy import Table

from benchmarks.history.loading import Loader, Row, loading
from benchmarks.history.rows import (
    BEGAN,
    DIGESTS,
    LABORATORY,
    Fate,
    image_row,
    job_row,
    made_row,
    point_duplicates_back,
    shard_row,
    shard_state,
)
from benchmarks.history.verdicts import CLASSES, draw
from core.db import Database
from core.jobs.tallies import Result, tally
from core.made.explanations import Findings
from core.people import accounts
from core.people.accounts import RoleName
from core.states import ImageState, JobState, ModelState, ShardState
from core.tables import Base, Explanation, Image, Job, Model, Prediction, Report, Shard, roles_users
from lexicon.refusals import SENTENCES
from lexicon.verdicts import Verdict

ADMINISTRATOR, CLINICIAN = "administrator@example.org", "clinician@example.org"
# Half of all jobs are this person's: of all who see their own jobs alone, the one who sees most.
BUSIEST = "laboratory-0@example.org"
_SHARD = 32
_FAILED = ("truncated", SENTENCES["truncated"])
_ARRIVED = {ImageState.RECEIVED: 965, ImageState.DUPLICATE: 25, ImageState.REFUSED: 10}
_ARRIVING = {ImageState.RECEIVED: 60, ImageState.EXPECTED: 39, ImageState.REFUSED: 1}
_FAILURES = 0.004
_REPORTS, _EXPLANATIONS = 0.1, 0.001


def fill(database: Database, images: int, jobs: int, seed: int = 0) -> None:
    """Write a history of so many images and jobs, at least 20, into a migrated, empty database."""
    with database.writing() as session:
        accounts.ensure_roles(session)
    rng = Random(seed)
    with loading(database, _tables()) as loader:
        _write_people(loader)
        _write_models(loader)
        loader.write()
        history = _History(loader, rng)
        fates = [_fate(rng, jobs - number) for number in range(jobs)]
        for number, size in enumerate(_sizes(rng, images, fates)):
            history.add_job(number, size, fates[number])
            loader.write_some()


def _tables() -> list[Table]:
    """All tables in the order of their keys, roles left out: they are there."""
    return [table for table in Base.metadata.sorted_tables if table.name != "role"]


def _table(kind: type[Base]) -> Table:
    table = kind.__table__
    assert isinstance(table, Table)
    return table


def _write_people(loader: Loader) -> None:
    people = Base.metadata.tables["user"]
    laboratory = [f"laboratory-{n}@example.org" for n in range(LABORATORY)]
    for id_, email in enumerate([*laboratory, CLINICIAN, ADMINISTRATOR], start=1):
        row = {"id": id_, "email": email, "active": True}
        loader.add(people, row | {"password": None, "created_at": BEGAN})
        role = list(RoleName).index(RoleName(email.split("@")[0].split("-")[0])) + 1
        loader.add(roles_users, {"user_id": id_, "role_id": role})


def _write_models(loader: Loader) -> None:
    """Two models: the one that is active now has judged most."""
    for digest, state in zip(DIGESTS, (ModelState.CANDIDATE, ModelState.ACTIVE), strict=True):
        loader.add(
            _table(Model),
            {
                "digest": digest,
                "name": "wbc8",
                "version": digest[0],
                "classes": CLASSES,
                "state": state,
                "scores": {},
                "facts": {"few_shot": ["basophil"], "trust": {"temperature": 1.2}},
                "first_used_at": BEGAN,
                "added_at": BEGAN,
                "activated_at": BEGAN,
            },
        )


def _fate(rng: Random, age: int) -> Fate:
    """Return a job's fate by its age, 1 being the newest: only the last ones still live."""
    if age <= 15:
        live = (JobState.RECEIVING, JobState.QUEUED, JobState.RUNNING)[(age - 1) // 5]
        return Fate(live, live is not JobState.RECEIVING, 0.6 if live is JobState.RUNNING else 0.0)
    ended = (JobState.FINISHED, JobState.CANCELLED, JobState.FAILED)
    state = rng.choices(ended, (96, 3, 1))[0]
    cancelled = state is JobState.CANCELLED
    return Fate(state, not cancelled or rng.random() < 0.8, rng.random() if cancelled else 1.0)


def _sizes(rng: Random, images: int, fates: Sequence[Fate]) -> list[int]:
    """Return the sizes of the jobs, which sum up to ``images``.

    The largest has finished; the next ones are finished, running, queued and still receiving.
    """
    jobs = len(fates)
    weights = [rng.lognormvariate(0, 0.9) for _ in range(jobs)]
    large = {jobs // 3: 0.1} | dict.fromkeys((jobs // 4, jobs - 11, jobs - 6, jobs - 1), 0.01)
    left = sum(weight for number, weight in enumerate(weights) if number not in large)
    share = images * (1 - sum(large.values())) / left
    sizes = [
        max(1, round(images * large[number] if number in large else weight * share))
        for number, weight in enumerate(weights)
    ]
    sizes[jobs // 3] += images - sum(sizes)
    return sizes


class _History:
    """Writes one job after the other, with all that belongs to it."""

    def __init__(self, loader: Loader, rng: Random) -> None:
        self._loader, self._rng = loader, rng
        self._images, self._shards, self._reports, self._explanations = (count(1) for _ in range(4))

    def add_job(self, number: int, size: int, fate: Fate) -> None:
        """Add the job of this number, its images, shards, predictions and perhaps a report."""
        chances = _ARRIVED if fate.submitted else _ARRIVING
        states = self._rng.choices(tuple(chances), tuple(chances.values()), k=size)
        if fate.state is JobState.FAILED:
            states = [ImageState.REFUSED] * size
        else:
            # There is no duplicate before there is something to repeat.
            states[0] = ImageState.RECEIVED
        job = job_row(self._rng, number, states, fate)
        self._loader.add(_table(Job), job)
        images = [
            image_row(self._rng, next(self._images), job, position, state)
            for position, state in enumerate(states)
        ]
        point_duplicates_back(images)
        work = [image for image in images if image["state"] is ImageState.RECEIVED]
        if fate.submitted:
            self._cut(job, work, fate)
        for image in images:
            self._loader.add(_table(Image), image)
        if fate.state is JobState.FINISHED and self._rng.random() < _REPORTS:
            self._add_report(job)

    def _cut(self, job: Row, work: Sequence[Row], fate: Fate) -> None:
        pieces = [work[i : i + _SHARD] for i in range(0, len(work), _SHARD)]
        done = round(len(pieces) * fate.done)
        for index, piece in enumerate(pieces):
            shard = shard_row(next(self._shards), job, len(piece), shard_state(index, done, fate))
            for image in piece:
                image["shard_id"] = shard["id"]
            if shard["state"] is ShardState.DONE:
                self._judge(job, shard, piece)
            self._loader.add(_table(Shard), shard)

    def _judge(self, job: Row, shard: Row, piece: Sequence[Row]) -> None:
        verdicts: list[Verdict] = []
        for image in piece:
            if self._rng.random() < _FAILURES:
                image["state"] = ImageState.FAILED
                image["reason"], image["message"] = _FAILED
            else:
                verdicts.append(draw(self._rng))
                self._record(job, image, verdicts[-1])
        judged, failed = ImageState.CLASSIFIED, len(piece) - len(verdicts)
        digest = job["model_digest"]
        results = [Result(judged, v.outcome, v.label, digest) for v in verdicts]
        shard |= tally([*results, Result(ImageState.FAILED, count=failed)])

    def _record(self, job: Row, image: Row, verdict: Verdict) -> None:
        image["state"] = ImageState.CLASSIFIED
        image["label"], image["confidence"] = verdict.label, verdict.confidence
        image["outcome"], image["reason"] = verdict.outcome.value, verdict.reason or None
        image["model_digest"] = job["model_digest"]
        key = {"image_id": image["id"], "model_digest": job["model_digest"]}
        row = verdict.columns() | {"created_at": job["started_at"]}
        self._loader.add(_table(Prediction), key | row)
        if self._rng.random() < _EXPLANATIONS:
            made = made_row(next(self._explanations), job, f"explanations/{image['id']}")
            findings = asdict(Findings(verdict.label, None))
            self._loader.add(_table(Explanation), made | key | {"findings": findings})

    def _add_report(self, job: Row) -> None:
        made = made_row(next(self._reports), job, f"reports/{job['id']}.pdf")
        self._loader.add(_table(Report), made | {"job_id": job["id"], "paper": "A4"})
