"""The made-up history of a laboratory is one that the product could have left."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy import func, select

from benchmarks.history.population import ADMINISTRATOR, BUSIEST, CLINICIAN, fill
from benchmarks.history.rows import Fate, job_row, point_duplicates_back, shard_state
from benchmarks.history.verdicts import CLASSES, draw
from core import jobs, registry
from core.db import Database
from core.people import accounts
from core.states import ENDED, LIVE_SHARDS, ImageState, JobState, ShardState
from core.tables import Explanation, Image, Job, Prediction, Report, Shard, User
from lexicon.outcomes import BETWEEN_CLASSES, REASONS, Outcome

IMAGES, JOBS = 3_000, 60


def made(migrated: Path, file: Path, seed: int = 0) -> Database:
    """Return a database that was filled with a small history."""
    file.write_bytes(migrated.read_bytes())
    database = Database(f"sqlite:///{file}")
    fill(database, IMAGES, JOBS, seed)
    return database


@pytest.fixture(scope="module")
def history(migrated_sqlite: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Database]:
    """Yield a history that all tests here read."""
    database = made(migrated_sqlite, tmp_path_factory.mktemp("history") / "x.db")
    yield database
    database.dispose()


def test_it_has_as_many_jobs_and_images_as_asked_for_and_jobs_in_every_state(
    history: Database,
) -> None:
    with history.reading() as session:
        assert session.scalar(select(func.count()).select_from(Image)) == IMAGES
        states = Counter(session.scalars(select(Job.state)))
        sizes = Counter(session.scalars(select(Image.job_id)))
    assert states.total() == JOBS
    assert {JobState.RECEIVING, JobState.QUEUED, JobState.RUNNING, JobState.FINISHED} <= set(states)
    assert len(sizes) == JOBS, "no job is empty"
    assert sizes[JOBS // 3 + 1] == pytest.approx(IMAGES / 10, rel=0.1), "one holds a tenth"


def test_of_each_job_the_parts_add_up_as_pages_count_them(history: Database) -> None:
    with history.reading() as session:
        every = session.scalars(select(Job)).all()
        counted = jobs.counts(session, every)
        for job in every:
            rows = session.scalars(select(Image.state).where(Image.job_id == job.id)).all()
            truth, counts = Counter(rows), counted[job.id]
            assert counts.received == len(rows)
            assert counts.classified == truth[ImageState.CLASSIFIED]
            assert (counts.failed, counts.refused, counts.duplicates) == (
                truth[ImageState.FAILED],
                truth[ImageState.REFUSED],
                truth[ImageState.DUPLICATE],
            )


def test_what_has_ended_has_no_work_left_and_what_lives_has(history: Database) -> None:
    with history.reading() as session:
        for job in session.scalars(select(Job)):
            shards = session.scalars(select(Shard).where(Shard.job_id == job.id)).all()
            live = [shard for shard in shards if shard.state in LIVE_SHARDS]
            # Of a single shard six tenths are all of it: that job is about to be ended.
            if len(shards) != 1:
                assert bool(live) is (job.state in (JobState.QUEUED, JobState.RUNNING))
            assert (job.finished_at is not None) is (job.state in ENDED)
            for shard in shards:
                inside = select(func.count()).where(Image.shard_id == shard.id)
                assert session.scalar(inside) == shard.size
                if shard.state is ShardState.DONE:
                    assert shard.classified + shard.failed == shard.size


def test_each_verdict_stands_on_its_image_and_is_of_the_job_s_model(history: Database) -> None:
    with history.reading() as session:
        rows = session.execute(
            select(Prediction, Image, Job)
            .join(Image, Image.id == Prediction.image_id)
            .join(Job, Job.id == Image.job_id)
        ).all()
        judged = select(func.count()).where(Image.state == ImageState.CLASSIFIED)
        assert session.scalar(judged) == len(rows) > IMAGES / 2
        model = registry.active(session)
    assert model is not None and model.classes == CLASSES
    for prediction, image, job in rows:
        assert prediction.model_digest == image.model_digest == job.model_digest
        assert (prediction.label, prediction.outcome) == (image.label, image.outcome)
        assert image.reason == (prediction.reason or None)


def test_a_duplicate_has_the_bytes_of_the_one_before_it_and_others_have_their_own(
    history: Database,
) -> None:
    with history.reading() as session:
        images = {image.id: image for image in session.scalars(select(Image))}
    again = [image for image in images.values() if image.duplicate_of_id]
    assert again
    for image in again:
        first = images[image.duplicate_of_id or 0]
        assert (first.sha256, first.job_id) == (image.sha256, image.job_id)
        assert first.position < image.position
        assert first.state is not ImageState.DUPLICATE
    assert len({image.sha256 for image in images.values()}) == IMAGES - len(again)


def test_the_busiest_person_has_half_of_the_jobs_and_everybody_their_own_role(
    history: Database,
) -> None:
    with history.reading() as session:
        seen = {
            email: len(session.scalars(accounts.visible_jobs(person)).all())
            for email in (BUSIEST, CLINICIAN, ADMINISTRATOR)
            if (person := session.query(User).filter_by(email=email).one())
        }
        made_of = [
            session.scalar(select(func.count()).select_from(t)) for t in (Report, Explanation)
        ]
    assert seen[CLINICIAN] == seen[ADMINISTRATOR] == JOBS
    assert JOBS / 4 < seen[BUSIEST] < JOBS * 3 / 4
    assert made_of[0]


def test_the_same_seed_gives_the_same_history_and_another_another(
    history: Database, migrated_sqlite: Path, tmp_path: Path
) -> None:
    def hashes(database: Database) -> list[str | None]:
        with database.reading() as session:
            return list(session.scalars(select(Image.sha256).order_by(Image.id).limit(200)))

    again = made(migrated_sqlite, tmp_path / "again.db")
    other = made(migrated_sqlite, tmp_path / "other.db", seed=1)
    assert hashes(history) == hashes(again) != hashes(other)
    for one in (again, other):
        one.dispose()


@given(st.integers())
def test_a_verdict_that_is_drawn_is_one_that_a_model_could_give(seed: int) -> None:
    said = draw(Random(seed))
    assert sum(said.probabilities) == pytest.approx(1, abs=1e-5)
    assert len(said.probabilities) == len(CLASSES)
    assert all(0 <= share <= 1 for share in said.probabilities)
    best = max(range(len(CLASSES)), key=said.probabilities.__getitem__)
    assert (said.label, said.confidence) == (CLASSES[best], said.probabilities[best])
    assert said.candidates[0] == said.label
    assert (len(said.candidates) > 1) is (said.outcome is Outcome.UNCERTAIN)
    if said.outcome is Outcome.ACCEPTED:
        assert said.reason == ""
    else:
        assert said.reason in REASONS
        assert (said.reason == BETWEEN_CLASSES) is (said.outcome is Outcome.UNCERTAIN)
    assert said.box is not None
    left, top, right, bottom = said.box
    assert 0 <= left < right <= 1 and 0 <= top < bottom <= 1


@given(st.integers(0, 30), st.integers(0, 30), st.sampled_from(JobState))
def test_a_job_s_first_shards_are_done_and_of_a_cancelled_one_the_rest_is_dropped(
    count: int, done: int, state: JobState
) -> None:
    states = [shard_state(place, done, Fate(state)) for place in range(count)]
    assert states[:done] == [ShardState.DONE] * min(done, count)
    rest = set(states[done:])
    if state is JobState.CANCELLED:
        assert rest <= {ShardState.DROPPED}
    else:
        assert rest <= {ShardState.LEASED, ShardState.WAITING}
        assert states.count(ShardState.LEASED) <= 2, "few are under way at a time"


@pytest.mark.parametrize(
    ("fate", "known"),
    [
        (Fate(JobState.RECEIVING, submitted=False), ()),
        (Fate(JobState.QUEUED), ("submitted_at",)),
        (Fate(JobState.RUNNING), ("submitted_at", "started_at")),
        (Fate(JobState.FINISHED), ("submitted_at", "started_at", "finished_at")),
        (Fate(JobState.CANCELLED, submitted=False), ("finished_at",)),
    ],
)
def test_a_job_has_the_times_of_what_has_happened_to_it_in_their_order(
    fate: Fate, known: tuple[str, ...]
) -> None:
    states = [ImageState.RECEIVED, ImageState.DUPLICATE, ImageState.REFUSED]
    job = job_row(Random(1), 4, states, fate)
    times = ("submitted_at", "started_at", "finished_at")
    assert [name for name in times if job[name] is not None] == list(known)
    passed = [job["created_at"], *(job[name] for name in known)]
    assert passed == sorted(passed)
    counts = (job["received"], job["duplicates"], job["refused"])
    assert counts == ((3, 1, 1) if fate.submitted else (0, 0, 0))
    assert (job["model_digest"] is not None) is fate.submitted


def test_duplicates_point_past_what_was_refused_to_the_last_file_that_counts() -> None:
    letters = {"r": ImageState.RECEIVED, "d": ImageState.DUPLICATE, "x": ImageState.REFUSED}
    images = [
        {"id": i, "state": letters[letter], "sha256": str(i), "duplicate_of_id": None}
        for i, letter in enumerate("rdxdrxd")
    ]
    point_duplicates_back(images)
    assert [image["duplicate_of_id"] for image in images] == [None, 0, None, 0, None, None, 4]
    assert [image["sha256"] for image in images] == list("0020454")
