"""Several at once, in threads with connections of their own, on both databases."""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial

from core import jobs
from core.db import Database
from core.errors import Conflict, HematoVisionError, LeaseLost
from core.jobs import Entry
from core.made import explanations, reports
from core.people import accounts
from core.states import JobState, ShardState
from core.tables import Image, Job, Role
from tests.core.conftest import Life, accepted, sha


def together(*calls: Callable[[], object]) -> list[object]:
    """Make the calls at one moment; return what each gave, or the error of ours it raised."""
    barrier = threading.Barrier(len(calls))

    def run(call: Callable[[], object]) -> object:
        barrier.wait()
        try:
            return call()
        except HematoVisionError as error:
            return error

    with ThreadPoolExecutor(len(calls)) as pool:
        return [done.result() for done in [pool.submit(run, call) for call in calls]]


def test_of_many_that_claim_a_shard_exactly_one_wins(life: Life) -> None:
    life.submitted(40)
    for shard_id in life.dispatch():
        claims = together(*[partial(life.claim, shard_id, f"w{n}") for n in range(6)])
        assert sum(claim is not None for claim in claims) == 1


def test_many_that_claim_the_first_shards_of_a_job_do_not_wait_in_a_ring(life: Life) -> None:
    job_id = life.submitted(24)
    life.settings = life.settings.model_copy(update={"shards_per_worker": 6})
    rung = life.dispatch()
    claims = together(*[partial(life.claim, i) for i in rung])
    assert all(claims)
    assert life.state(job_id) is JobState.RUNNING


def test_two_that_finish_the_last_shards_at_once_end_the_job_exactly_once(life: Life) -> None:
    for _ in range(5):
        job_id = life.submitted(8)
        first, second = (life.claimed(shard_id) for shard_id in life.dispatch())

        def finish(claim: jobs.ShardClaim) -> bool:
            life.record(claim)
            return life.settle(claim.job_id)

        ended = together(partial(finish, first), partial(finish, second))
        assert sorted(ended, key=bool) == [False, True]
        assert life.state(job_id) is JobState.FINISHED


def test_a_zombie_and_its_successor_record_at_once_and_one_is_heard(life: Life) -> None:
    job_id = life.submitted(4)
    [shard_id] = life.dispatch()
    zombie = life.claimed(shard_id)
    life.let_lease_run_out(shard_id)
    holder = life.claimed(shard_id, "worker-2")
    results = together(lambda: life.record(zombie), lambda: life.record(holder))
    assert isinstance(results[0], LeaseLost)
    assert results[1] is None
    assert life.predictions() == life.counts(job_id).classified == 4


def test_manifests_of_one_job_that_arrive_at_once_share_no_position(life: Life) -> None:
    job_id = life.open()
    parts = [[Entry(f"{p}-{i}.png", 1, sha(f"{p}{i}")) for i in range(20)] for p in range(4)]
    together(*[partial(life.announce, job_id, *part) for part in parts])
    assert [image.position for image in life.images(job_id)] == list(range(80))


def test_a_manifest_that_is_sent_twice_at_once_is_taken_once(life: Life) -> None:
    job_id = life.open()
    entries = [Entry(f"{i}.png", 1, sha(i)) for i in range(20)]
    first, second = together(*[lambda: life.announce(job_id, *entries)] * 2)
    assert first == second
    assert len(life.images(job_id)) == 20


def test_a_double_click_on_submit_cuts_the_job_once(life: Life) -> None:
    job_id = life.open()
    life.fill(job_id, 8)
    results = together(*[lambda: life.submit(job_id)] * 3)
    assert sum(isinstance(result, Conflict) for result in results) == 2
    assert [shard.size for shard in life.shards(job_id)] == [4, 4]


def test_a_file_that_arrives_during_the_submit_is_in_or_is_told_no(life: Life) -> None:
    for n in range(5):
        job_id = life.open()
        answer = life.announce(job_id, *(Entry(f"{n}{i}.png", 1, sha((n, i))) for i in range(4)))
        arrivals = [partial(life.receive, id_, (n, i)) for i, (id_, _) in enumerate(answer)]
        submit = partial(life.submit, job_id, without_missing=True)
        told = together(*arrivals, submit)
        in_time = sum(result is None for result in told[:-1])
        assert life.counts(job_id) == life.truth(job_id)
        assert sum(shard.size for shard in life.shards(job_id)) == in_time


def test_twins_that_arrive_at_once_do_not_wait_in_a_ring(life: Life) -> None:
    job_id = life.open()
    answer = life.announce(job_id, *(Entry(f"{i}.png", 100, sha("same")) for i in range(6)))
    together(*[partial(life.receive, id_, "same") for id_, _ in answer])
    life.submit(job_id)
    assert life.job(job_id).duplicates == 5


def test_a_cancel_in_the_middle_of_the_work_leaves_the_counts_balanced(life: Life) -> None:
    for _ in range(4):
        job_id = life.submitted(12)
        rung = life.dispatch()

        def work(shard_id: int) -> None:
            if claim := life.claim(shard_id):
                life.record(claim)
                life.settle(claim.job_id)

        together(
            *[partial(work, i) for i in rung],
            partial(life.cancel, job_id),
            partial(jobs.sweep, life.database, life.settings),
        )
        assert life.counts(job_id) == life.truth(job_id)
        assert life.state(job_id) in {JobState.CANCELLED, JobState.FINISHED}
        assert {s.state for s in life.shards(job_id)} <= {ShardState.DONE, ShardState.DROPPED}


def test_a_cancel_beside_a_split_leaves_no_half_behind(life: Life) -> None:
    for _ in range(5):
        job_id = life.submitted(8)
        for shard_id in life.dispatch():
            for _ in range(2):
                life.claimed(shard_id)
                life.let_lease_run_out(shard_id)
        together(
            partial(life.cancel, job_id),
            partial(jobs.sweep, life.database, life.settings),
        )
        states = {shard.state for shard in life.shards(job_id)}
        assert states <= {ShardState.DROPPED, ShardState.SPLIT}


def test_sweeps_that_meet_do_nothing_twice(life: Life) -> None:
    job_id = life.submitted(8)
    for shard_id in life.dispatch():
        for _ in range(2):
            life.claimed(shard_id)
            life.let_lease_run_out(shard_id)
    together(*[partial(jobs.sweep, life.database, life.settings)] * 3)
    assert sorted(shard.size for shard in life.shards(job_id)) == [0, 0, 2, 2, 2, 2]
    life.sweep()
    claims = [claim for shard in life.shards(job_id) if (claim := life.claim(shard.id))]
    assert sum(len(claim.work) for claim in claims) == 8


def test_a_double_click_on_run_again_queues_the_job_once(life: Life) -> None:
    job_id = life.submitted(8)
    life.work_off()
    results = together(*[lambda: life.run_again(job_id)] * 2)
    assert sum(isinstance(result, Conflict) for result in results) == 1
    assert [shard.size for shard in life.shards(job_id)] == [4, 4]


def test_a_double_click_on_the_report_orders_one(life: Life) -> None:
    job_id = life.submitted(2)
    life.work_off()

    def order() -> int:
        with life.database.writing() as session:
            return reports.order(session, session.get_one(Job, job_id), "A4").id

    first, second = together(order, order)
    assert first == second


def test_a_double_click_on_why_orders_one_explanation(life: Life) -> None:
    job_id = life.submitted(1)
    life.work_off()
    image_id = life.images(job_id)[0].id

    def order() -> int:
        with life.database.writing() as session:
            return explanations.order(session, session.get_one(Image, image_id)).id

    first, second = together(order, order)
    assert first == second


def test_processes_that_start_at_once_add_each_role_once(database: Database) -> None:
    with database.writing() as session:
        session.query(Role).delete()

    def start() -> None:
        with database.writing() as session:
            accounts.ensure_roles(session)

    together(start, start, start)
    with database.reading() as session:
        assert session.query(Role).count() == len(accounts.RoleName)


def test_an_upload_of_one_file_that_comes_twice_at_once_is_accepted_once(life: Life) -> None:
    job_id = life.open()
    [(image_id, _)] = life.announce(job_id, Entry("a.png", 100))

    def put() -> None:
        with life.database.writing() as session:
            image = session.get_one(Image, image_id)
            jobs.receive(session, session.get_one(Job, job_id), image, accepted("a"))

    assert together(put, put) == [None, None]
    life.submit(job_id)
    assert life.counts(job_id).waiting == 1


def test_reports_are_claimed_by_one(life: Life) -> None:
    job_id = life.submitted(1)
    life.work_off()
    with life.database.writing() as session:
        report_id = reports.order(session, session.get_one(Job, job_id), "A4").id

    def claim() -> reports.ReportClaim | None:
        with life.database.writing() as session:
            return reports.claim(session, report_id, "w:1", 60.0)

    assert sum(claim is not None for claim in together(*[claim] * 4)) == 1
