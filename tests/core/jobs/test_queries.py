"""What pages and exports read: counts, shares with intervals, estimates, pages, rows."""

from __future__ import annotations

import datetime as dt

import pytest
from sqlalchemy import event, select, update

from core import jobs
from core.jobs import Counts, Entry, Progress
from core.states import ImageState
from core.tables import Job, Shard
from lexicon.verdicts import Verdict
from tests.core.conftest import FAILURE, VERDICT, Life

NOON = dt.datetime(2026, 3, 1, 12, tzinfo=dt.UTC)


def test_counts_come_from_shards_for_a_page_of_jobs_in_one_query(life: Life) -> None:
    ids = [life.submitted(3), life.submitted(5), life.open()]
    life.fill(ids[2], 2)
    life.work_off(failing=[image.id for image in life.images(ids[1])[:2]])
    statements: list[str] = []
    with life.database.reading() as session:
        page = [session.get_one(Job, id_) for id_ in ids[:2]]

        @event.listens_for(session.get_bind(), "before_cursor_execute")
        def note(*arguments: object) -> None:
            statements.append(str(arguments[2]))

        answer = jobs.counts(session, page)
        event.remove(session.get_bind(), "before_cursor_execute", note)
    assert len(statements) == 1
    assert "image" not in statements[0]
    assert answer == {id_: life.truth(id_) for id_ in ids[:2]}
    assert life.counts(ids[2]) == Counts(2, 0, 0, 0, 0)


def test_the_share_done_counts_all_that_is_settled(life: Life) -> None:
    job_id = life.submitted(10)
    life.record(life.claimed(life.dispatch()[0]))
    assert life.counts(job_id).waiting == 6
    share = jobs.share_done(life.job(job_id), life.counts(job_id), life.progress(job_id))
    assert share == pytest.approx(0.4)
    assert jobs.share_done(Job(), Counts(0, 0, 0, 0, 0), Progress()) == 0.0


def test_the_estimate_follows_the_speed_so_far(life: Life) -> None:
    job_id = life.submitted(12)
    rung = life.dispatch()
    job = life.job(job_id)
    assert jobs.seconds_left(job, life.progress(job_id), NOON) is None
    life.record(life.claimed(rung[0]))
    job = life.job(job_id)
    assert job.started_at is not None
    now = job.started_at + dt.timedelta(seconds=2)
    assert jobs.images_per_second(job, life.progress(job_id), now) == pytest.approx(2.0)
    assert jobs.seconds_left(job, life.progress(job_id), now) == pytest.approx(4.0)


def test_a_retry_is_estimated_by_its_own_speed(life: Life) -> None:
    job_id = life.submitted(12)
    life.work_off(failing=[image.id for image in life.images(job_id)[:8]])
    life.retry_failed(job_id)
    rung = life.dispatch()
    claim = life.claimed(rung[0])
    job = life.job(job_id)
    assert jobs.images_per_second(job, life.progress(job_id), NOON) is None
    life.record(claim)
    assert job.started_at is not None
    now = job.started_at + dt.timedelta(seconds=2)
    assert jobs.seconds_left(job, life.progress(job_id), now) == pytest.approx(2.0)


def test_there_is_no_estimate_where_nothing_moved_in_the_last_minute(life: Life) -> None:
    job_id = life.submitted(12)
    life.record(life.claimed(life.dispatch()[0]))
    with life.database.writing() as session:
        session.execute(update(Shard).values(done_at=Shard.done_at - 61))
    run = life.progress(job_id)
    assert (run.lately, run.left) == (0, 8)
    assert run.still == pytest.approx(61, abs=30)
    assert jobs.seconds_left(life.job(job_id), run, NOON.replace(year=2030)) is None


def test_the_estimate_goes_by_the_last_minute_and_not_by_an_outage_before(life: Life) -> None:
    job_id = life.submitted(12)
    life.record(life.claimed(life.dispatch()[0]))
    job = life.job(job_id)
    assert job.started_at is not None
    now = job.started_at + dt.timedelta(hours=3)
    assert jobs.seconds_left(job, life.progress(job_id), now) == pytest.approx(8 * 60 / 4)


def test_the_speed_of_an_ended_job_stays_what_it_was(life: Life) -> None:
    job_id = life.submitted(4)
    life.work_off()
    job = life.job(job_id)
    first = jobs.images_per_second(job, life.progress(job_id), NOON)
    assert first == jobs.images_per_second(job, life.progress(job_id), NOON.replace(year=2030))
    assert jobs.seconds_left(job, life.progress(job_id), NOON) is None


def test_jobs_are_paged_by_time_and_id_without_gap_or_repeat(life: Life) -> None:
    ids = [life.open() for _ in range(7)]
    with life.database.writing() as session:
        for n, id_ in enumerate(ids):  # Several of one moment: the id decides between them.
            at = NOON + dt.timedelta(seconds=n // 3)
            session.execute(update(Job).where(Job.id == id_).values(created_at=at))
    seen: list[int] = []
    before: tuple[dt.datetime, int] | None = None
    with life.database.reading() as session:
        more = True
        while more:
            page, more = jobs.page_of_jobs(session, select(Job), 2, before)
            assert 1 <= len(page) <= 2
            seen += [job.id for job in page]
            before = (page[-1].created_at, page[-1].id)
        assert seen == ids[::-1]
        assert jobs.page_of_jobs(session, select(Job), 7, None)[1] is False
        assert jobs.page_of_jobs(session, select(Job), 2, before) == ([], False)


def test_an_export_lists_every_file_in_its_order_with_what_became_of_it(life: Life) -> None:
    job_id = life.open()
    names = ["z.png", "a.png", "copy of z.png", "bad.png", "notes.txt", "copy of bad.png"]
    answer = life.announce(job_id, *(Entry(name, 100) for name in names))
    ids = [image_id for image_id, _ in answer]
    for image_id, content in zip(ids, "zazb b", strict=True):
        if content != " ":
            life.receive(image_id, content)
    life.refuse(ids[4])
    life.submit(job_id)
    life.work_off(failing=[ids[3]])
    with life.database.reading() as session:
        rows = list(jobs.export_rows(session, job_id))
    assert [row.name for row in rows] == names
    assert [row.state for row in rows] == [
        ImageState.CLASSIFIED,
        ImageState.CLASSIFIED,
        ImageState.DUPLICATE,
        ImageState.FAILED,
        ImageState.REFUSED,
        ImageState.DUPLICATE,
    ]
    assert [row.verdict for row in rows] == [VERDICT] * 3 + [None] * 3
    assert [row.model for row in rows] == [life.digest] * 3 + [None] * 3
    assert [row.message for row in rows] == [None, None, None, FAILURE.message, "No.", None]
    assert [row.first for row in rows] == [None, None, "z.png", None, None, "bad.png"]


def test_an_export_of_many_chunks_has_every_file_once_and_keeps_the_callers_objects(
    life: Life, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(jobs.queries, "EXPORT_CHUNK", 3)
    job_id = life.submitted(10)
    life.work_off()
    with life.database.reading() as session:
        job = session.get_one(Job, job_id)
        names = [row.name for row in jobs.export_rows(session, job_id)]
        assert job.owner.email == life.owner.email
    assert names == [image.name for image in life.images(job_id)]


def test_an_export_shows_the_prediction_that_counts_now(life: Life) -> None:
    job_id = life.submitted(1)
    life.work_off()
    life.run_again(job_id)
    claim = life.claimed(life.dispatch()[0])
    with life.database.writing() as session:
        verdicts = jobs.known_verdicts(session, claim, life.digest)
        results: dict[int, Verdict | jobs.Failure] = {
            work.image_id: verdicts[work.sha256] for work in claim.work
        }
        jobs.record(session, claim, life.digest, results)
    with life.database.reading() as session:
        [row] = jobs.export_rows(session, job_id)
    assert row.verdict == VERDICT
