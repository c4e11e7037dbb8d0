"""What each person keeps: counted once, limited, and right after deletes, retries and races."""

from __future__ import annotations

import threading
from collections.abc import Callable

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import func, select

from core import jobs
from core.audit import Actor
from core.blobs import MemoryBlobs
from core.errors import QuotaExceeded, TooManyJobs
from core.intake import Arrival, quotas, refusal
from core.jobs import Entry
from core.settings import Settings
from core.states import JobState
from core.tables import Image, Job
from tests.conftest import MakePerson
from tests.core.conftest import Life, accepted, sha

BY = Actor("anna@example.org", 1)


def bytes_kept(life: Life) -> int:
    with life.database.reading() as session:
        return quotas.of_person(session, life.owner.id, life.settings).bytes


def truth(life: Life) -> int:
    """Add up a person's bytes the slow way: each hash that a row holds, once."""
    with life.database.reading() as session:
        sizes = (
            select(func.min(Image.size))
            .join(Job, Job.id == Image.job_id)
            .where(Job.owner_id == life.owner.id, Image.format.is_not(None))
            .group_by(Image.sha256)
        )
        return sum(session.scalars(sizes))


def send(life: Life, *contents: str, size: int = 100) -> int:
    """Announce, hand in and submit files; return the job's id."""
    job_id = life.open()
    entries = [Entry(f"{content}.png", size, sha(content)) for content in contents]
    for (image_id, needed), content in zip(life.announce(job_id, *entries), contents, strict=True):
        if needed:
            life.receive(image_id, content)
    life.submit(job_id)
    return job_id


def take(life: Life, job_id: int, *arrivals: Arrival) -> None:
    with life.database.writing() as session:
        jobs.take(session, session.get_one(Job, job_id), arrivals, 1000)


def purge(life: Life, job_id: int) -> None:
    with life.database.writing() as session:
        job = session.get_one(Job, job_id)
        jobs.delete(session, job, life.settings, BY, at_once=True)
    jobs.purge(life.database, MemoryBlobs(), life.settings)


def limited(life: Life, **limits: int) -> Settings:
    return life.settings.model_copy(update=limits)


def test_equal_files_of_a_person_count_once(life: Life) -> None:
    send(life, "a", "a", "b")
    assert bytes_kept(life) == truth(life) == 200
    send(life, "b", "c")
    assert bytes_kept(life) == truth(life) == 300


def test_what_another_holds_is_counted_for_both(life: Life, person: MakePerson) -> None:
    send(life, "a")
    other = Life(life.database, life.settings, person("berta"), life.digest)
    send(other, "a")
    assert bytes_kept(life) == bytes_kept(other) == 100
    with life.database.reading() as session:
        assert quotas.of_laboratory(session, life.settings).bytes == 200
        everybody = quotas.bytes_by_person(session)
    assert everybody == {life.owner.id: 100, other.owner.id: 100}


def test_purging_the_first_job_counts_its_bytes_for_the_next(life: Life) -> None:
    first, second, third = send(life, "a", "b"), send(life, "b", "c"), send(life, "b")
    assert [life.job(job_id).bytes for job_id in (first, second, third)] == [200, 100, 0]
    purge(life, first)
    assert bytes_kept(life) == truth(life) == 200
    assert [life.job(job_id).bytes for job_id in (second, third)] == [200, 0]
    purge(life, second)
    assert bytes_kept(life) == truth(life) == 100
    purge(life, third)
    assert bytes_kept(life) == 0


def test_purging_a_later_job_frees_nothing_that_an_earlier_one_holds(life: Life) -> None:
    first, second = send(life, "a", "b"), send(life, "b", "c")
    purge(life, second)
    assert bytes_kept(life) == truth(life) == life.job(first).bytes == 200


def test_deleted_jobs_count_until_they_are_purged(life: Life) -> None:
    job_id = send(life, "a")
    with life.database.writing() as session:
        jobs.delete(session, session.get_one(Job, job_id), life.settings, BY)
    assert bytes_kept(life) == 100
    purge(life, job_id)
    assert bytes_kept(life) == 0


def test_what_was_announced_counts_until_the_job_is_submitted_without_it(life: Life) -> None:
    job_id = life.open()
    [(first, _), *_] = life.announce(
        job_id, Entry("a.png", 100, sha("a")), Entry("b.png", 900, sha("b"))
    )
    assert bytes_kept(life) == 1000
    life.announce(job_id, Entry("a.png", 100, sha("a")), Entry("b.png", 900, sha("b")))
    assert bytes_kept(life) == 1000
    life.receive(first, "a")
    life.submit(job_id, without_missing=True)
    assert bytes_kept(life) == truth(life) == 100


def test_retries_and_runs_again_add_nothing(life: Life) -> None:
    job_id = send(life, "a", "b")
    life.work_off(failing=[image.id for image in life.images(job_id)])
    life.retry_failed(job_id)
    life.work_off()
    life.run_again(job_id)
    life.work_off()
    assert bytes_kept(life) == truth(life) == 200


def test_an_archive_counts_what_it_brings_and_not_what_is_there(life: Life) -> None:
    send(life, "a")
    job_id = life.open()
    files = (
        Arrival("a.png", 100, accepted("a")),
        Arrival("b.png", 100, accepted("b")),
        Arrival("copy.png", 100, accepted("b")),
        Arrival("c.txt", 500, refusal("not_an_image")),
    )
    take(life, job_id, *files)
    assert bytes_kept(life) == truth(life) == 200
    take(life, job_id, *files)
    assert bytes_kept(life) == 200
    life.submit(job_id)
    assert bytes_kept(life) == truth(life) == 200


def test_what_exceeds_the_limit_is_refused_whole_and_says_what_to_do(life: Life) -> None:
    send(life, "a")
    job_id = life.open()
    settings = limited(life, quota_person_bytes=350)
    entries = [Entry(f"{i}.png", 100, sha(i)) for i in range(3)]
    with pytest.raises(QuotaExceeded) as caught, life.database.writing() as session:
        job = session.get_one(Job, job_id)
        with quotas.bounded(session, job, settings):
            jobs.announce(session, job, entries, 1000)
    assert "300 bytes more: one person may keep 350 bytes, and 100 bytes are" in str(caught.value)
    assert "Delete jobs" in str(caught.value)
    assert life.images(job_id) == []
    with life.database.writing() as session:
        job = session.get_one(Job, job_id)
        with quotas.bounded(session, job, settings):
            jobs.announce(session, job, entries[:2], 1000)
    with life.database.writing() as session:
        job = session.get_one(Job, job_id)
        # Nothing is added, so a limit that was lowered meanwhile is no reason to refuse.
        with quotas.bounded(session, job, limited(life, quota_person_bytes=1)):
            jobs.announce(session, job, entries[:2], 1000)


def test_all_together_have_a_limit_too(life: Life, person: MakePerson) -> None:
    send(Life(life.database, life.settings, person("berta"), life.digest), "a")
    job_id = life.open()
    settings = limited(life, quota_laboratory_bytes=150)
    with (
        pytest.raises(QuotaExceeded, match="everyone together"),
        life.database.writing() as session,
    ):
        job = session.get_one(Job, job_id)
        with quotas.bounded(session, job, settings):
            jobs.announce(session, job, [Entry("b.png", 100, sha("b"))], 1000)
    with life.database.reading() as session:
        assert quotas.of_laboratory(session, settings).room == 50
        assert quotas.of_laboratory(session, life.settings).room is None


def test_an_archive_that_can_not_fit_is_refused_before_it_is_sent(life: Life) -> None:
    job_id = send(life, "a")
    settings = limited(life, quota_person_bytes=150)
    with life.database.reading() as session:
        job = session.get_one(Job, job_id)
        # What the job holds may be in the archive again: 50 are free, and 100 are there.
        quotas.require_room_for(session, job, 150, settings)
        with pytest.raises(QuotaExceeded):
            quotas.require_room_for(session, job, 151, settings)


def test_one_job_more_than_allowed_is_refused_until_one_has_ended(life: Life) -> None:
    settings = limited(life, quota_person_jobs=2)

    def open_one() -> int:
        with life.database.writing() as session:
            job_id = jobs.create(session, life.owner.id, "Slide").id
            quotas.require_turn(session, life.owner.id, settings)
            return job_id

    first, _ = open_one(), open_one()
    with pytest.raises(TooManyJobs, match="2 open jobs for one person"):
        open_one()
    with life.database.writing() as session:
        jobs.delete(session, session.get_one(Job, first), life.settings, BY)
    open_one()


def test_two_requests_at_once_do_not_both_find_the_last_room(life: Life) -> None:
    settings = limited(life, quota_person_bytes=100, quota_person_jobs=3)
    ids = [life.open(), life.open()]
    both = threading.Barrier(2)

    def announce(job_id: int) -> None:
        both.wait()
        with life.database.writing() as session:
            job = session.get_one(Job, job_id)
            with quotas.bounded(session, job, settings):
                jobs.announce(session, job, [Entry("x.png", 100, sha(job_id))], 10)

    def open_one(_: int) -> None:
        both.wait()
        with life.database.writing() as session:
            jobs.create(session, life.owner.id, "Slide")
            quotas.require_turn(session, life.owner.id, settings)

    assert _refused(announce, ids) == [QuotaExceeded]
    assert bytes_kept(life) == 100
    assert _refused(open_one, ids) == [TooManyJobs]


def _refused(act: Callable[[int], None], ids: list[int]) -> list[type[Exception]]:
    """Let two threads act at once; return the errors."""
    errors: list[type[Exception]] = []

    def run(job_id: int) -> None:
        try:
            act(job_id)
        except Exception as error:
            errors.append(type(error))

    threads = [threading.Thread(target=run, args=(job_id,)) for job_id in ids]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return errors


def test_a_limit_of_none_refuses_nothing_and_one_that_is_met_exactly_neither(life: Life) -> None:
    job_id = life.open()
    for allowed, expected in ((300, 300), (0, 600)):
        both = limited(life, quota_person_bytes=allowed, quota_laboratory_bytes=allowed)
        with life.database.writing() as session:
            job = session.get_one(Job, job_id)
            with quotas.bounded(session, job, both):
                entries = [Entry(f"{allowed}{i}.png", 100, sha((allowed, i))) for i in range(3)]
                jobs.announce(session, job, entries, 1000)
            quotas.require_turn(session, life.owner.id, limited(life, quota_person_jobs=0))
        assert bytes_kept(life) == expected


@pytest.mark.parametrize("limit", ["quota_person_jobs", "quota_laboratory_jobs"])
def test_a_job_is_open_from_its_start_to_its_end_and_after_a_retry(life: Life, limit: str) -> None:
    settings_ = limited(life, **{limit: 1})

    def room() -> bool:
        """Try to open another job, and undo it."""
        try:
            with life.database.writing() as session:
                jobs.create(session, life.owner.id, "Slide")
                quotas.require_turn(session, life.owner.id, settings_)
                raise _Undone
        except _Undone:
            return True
        except TooManyJobs:
            return False

    assert room()
    job_id = life.open()
    life.fill(job_id, 1)
    assert not room(), "receiving"
    life.submit(job_id)
    assert not room(), "queued"
    claim = life.claimed(life.dispatch()[0])
    assert not room(), "running"
    life.record(claim, failing=[claim.work[0].image_id])
    life.settle(job_id)
    assert room()
    life.retry_failed(job_id)
    assert not room()
    life.cancel(job_id)
    assert room()


class _Undone(Exception):
    """What was only tried is rolled back."""


@pytest.mark.parametrize(
    ("size", "bytes_allowed", "room"),
    [(0, 0, None), (7, 0, None), (7, 9, 2), (9, 9, 0), (12, 9, 0)],
)
def test_room_is_what_is_left_and_never_less_than_nothing(
    size: int, bytes_allowed: int, room: int | None
) -> None:
    assert quotas.Usage(size, 0, bytes_allowed, 0).room == room


DEEDS = st.sampled_from(["send", "again", "purge", "delete", "restore", "refuse", "half"])


@given(st.lists(st.tuples(DEEDS, st.integers(0, 3), st.sets(st.sampled_from("abcd"), min_size=1))))
@settings(
    max_examples=12, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
def test_whatever_is_sent_and_deleted_what_counts_is_what_is_held(
    life: Life, deeds: list[tuple[str, int, set[str]]]
) -> None:
    """Bytes are those of the person's jobs that are not purged, equal ones once."""
    sent: list[int] = []
    for deed, place, contents in deeds[:8]:
        job_id = sent[place % len(sent)] if sent else 0
        if deed == "send":
            sent.append(send(life, *sorted(contents)))
        elif deed in ("refuse", "half"):
            sent.append(life.open())
            entries = [Entry(f"{one}.png", 100, sha(one)) for one in sorted(contents)]
            for image_id, needed in life.announce(sent[-1], *entries)[:1]:
                if needed and deed == "refuse":
                    life.refuse(image_id)
                elif needed:
                    life.receive(image_id, sorted(contents)[0])
            life.submit(sent[-1], without_missing=True)
        elif sent and deed == "again" and life.state(job_id) is JobState.QUEUED:
            life.cancel(job_id)
            life.run_again(job_id)
        elif sent and deed == "purge":
            purge(life, sent.pop(place % len(sent)))
        elif sent and deed in ("delete", "restore"):
            with life.database.writing() as session:
                job = session.get_one(Job, job_id)
                if deed == "delete":
                    jobs.delete(session, job, life.settings, BY)
                elif job.deleted_at is not None:
                    jobs.restore(session, job, BY)
        assert bytes_kept(life) == truth(life), deed
    for job_id in sent:
        purge(life, job_id)
    assert bytes_kept(life) == truth(life) == 0


@pytest.mark.parametrize("order", [(0, 1), (1, 0)])
def test_of_two_jobs_that_receive_the_same_bytes_at_a_time_the_first_counts_them(
    life: Life, order: tuple[int, int]
) -> None:
    ids = [life.open(), life.open()]
    images = [life.announce(one, Entry("a.png", 100, sha("a")))[0][0] for one in ids]
    for place in order:
        life.receive(images[place], "a")
        life.submit(ids[place])
    assert bytes_kept(life) == truth(life) == 100
    assert [life.job(one).bytes for one in ids] == [100, 0], "the first, whichever ended first"
    purge(life, ids[order[0]])
    assert bytes_kept(life) == truth(life) == 100
