"""An idle process finds what waits in SQL, whether or not anybody rang."""

from __future__ import annotations

import dataclasses

from sqlalchemy import select, update

from core import jobs
from core.made import explanations, reports
from core.states import JobState, MakingState, ShardState
from core.tables import Explanation, Image, Job, Report, Shard
from tests.worker.conftest import Submit, counts_of, png
from worker.process import WorkerProcess
from worker.tasks import do_waiting


def nobody_rang(process: WorkerProcess) -> None:
    """As after a submission whose bell did not ring, and before any sweep."""
    with process.database.writing() as session:
        session.execute(update(Shard).values(state=ShardState.WAITING, published_at=None))


def files(first: int, count: int) -> dict[str, bytes]:
    return {f"{seed}.png": png(seed) for seed in range(first, first + count)}


def test_with_nothing_to_do_it_says_so(process: WorkerProcess) -> None:
    assert not do_waiting(process)


def test_a_job_is_done_whole_though_nobody_rang(process: WorkerProcess, submit: Submit) -> None:
    job_id = submit(files(0, 20))
    nobody_rang(process)
    looks = 0
    while do_waiting(process):
        looks += 1
    assert looks == 3
    assert counts_of(process, job_id).classified == 20
    with process.database.reading() as session:
        assert session.get_one(Job, job_id).state is JobState.FINISHED


def test_who_waits_for_one_image_comes_before_a_big_job(
    process: WorkerProcess, submit: Submit
) -> None:
    big = submit(files(0, 24))
    small = submit(files(30, 1))
    nobody_rang(process)
    assert do_waiting(process)
    assert (counts_of(process, small).classified, counts_of(process, big).classified) == (1, 0)


def test_of_two_big_jobs_none_is_held_up(process: WorkerProcess, submit: Submit) -> None:
    first, second = submit(files(0, 24)), submit(files(30, 24))
    nobody_rang(process)
    with process.database.writing() as session:
        ids = session.scalars(select(Shard.id).where(Shard.job_id == first)).all()
        assert jobs.claim(session, ids[0], "another:1", 60)
    assert do_waiting(process)
    assert counts_of(process, second).classified == 8


def test_a_report_and_an_explanation_are_found_too(process: WorkerProcess, submit: Submit) -> None:
    job_id = submit(files(0, 2))
    while do_waiting(process):
        pass
    with process.database.writing() as session:
        reports.order(session, session.get_one(Job, job_id), "A4")
        explanations.order(session, session.scalars(select(Image)).first() or Image())
    assert do_waiting(process) and do_waiting(process) and not do_waiting(process)
    with process.database.reading() as session:
        for kind in (Report, Explanation):
            assert session.scalars(select(kind.state)).all() == [MakingState.READY]


def test_two_that_seek_at_once_do_nothing_twice(process: WorkerProcess, submit: Submit) -> None:
    submit(files(0, 1))
    nobody_rang(process)
    with process.database.reading() as session:
        waiting = jobs.next_waiting(session)
    assert waiting is not None and waiting[0] is Shard
    other = dataclasses.replace(process, name="another:1")
    assert do_waiting(other)
    assert not do_waiting(process)
