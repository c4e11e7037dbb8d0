"""Jobs and pictures that are deleted: gone at once, back within the grace, then gone for good."""

from __future__ import annotations

import datetime as dt

import pytest
from sqlalchemy import func, select, update

from core import audit, jobs
from core.audit import Action, Actor
from core.blobs import MemoryBlobs, image_key
from core.db import utcnow
from core.errors import Conflict, LeaseLost, NotFound
from core.jobs import Entry
from core.jobs.purging import Purged
from core.made import reports
from core.made.derivatives import keys_of_image
from core.people import accounts
from core.people.accounts import RoleName
from core.settings import Settings
from core.states import ImageState, JobState, MakingState
from core.tables import Explanation, Image, Job, LooseBlob, Prediction, Report, Shard
from tests.conftest import MakePerson
from tests.core.conftest import Life, accepted, sha

BY = Actor("anna@example.org", 1)


@pytest.fixture
def blobs() -> MemoryBlobs:
    """The store, empty."""
    return MemoryBlobs()


def keep(blobs: MemoryBlobs, life: Life, job_id: int) -> list[str]:
    """Put what the rows of a job say into the store, copies included; return the keys."""
    keys = [key for image in life.images(job_id) for key in keys_of_image(image.sha256 or "")]
    for key in keys:
        blobs.put(key, b"bytes")
    return keys


def finished(life: Life, blobs: MemoryBlobs, count: int = 6) -> int:
    job_id = life.submitted(count)
    life.work_off()
    keep(blobs, life, job_id)
    return job_id


def delete(life: Life, job_id: int, *, at_once: bool = False) -> None:
    with life.database.writing() as session:
        jobs.delete(session, session.get_one(Job, job_id), life.settings, BY, at_once=at_once)


def restore(life: Life, job_id: int) -> None:
    with life.database.writing() as session:
        jobs.restore(session, session.get_one(Job, job_id), BY)


def delete_pictures(life: Life, job_id: int, *, at_once: bool = False) -> None:
    with life.database.writing() as session:
        jobs.delete_pictures(
            session, session.get_one(Job, job_id), life.settings, BY, at_once=at_once
        )


def purge(life: Life, blobs: MemoryBlobs, settings: Settings | None = None) -> Purged:
    return jobs.purge(life.database, blobs, settings or life.settings)


def visible(life: Life) -> list[int]:
    with life.database.reading() as session:
        return [job.id for job in session.scalars(accounts.visible_jobs(life.owner))]


def rows(life: Life, *tables: type) -> list[int]:
    with life.database.reading() as session:
        return [session.scalar(select(func.count()).select_from(table)) or 0 for table in tables]


def test_a_deleted_job_is_gone_at_once_and_comes_back_whole(life: Life, blobs: MemoryBlobs) -> None:
    job_id = finished(life, blobs)
    before = life.counts(job_id)
    delete(life, job_id)
    assert visible(life) == []
    with life.database.reading() as session, pytest.raises(NotFound):
        accounts.find_job(session, life.owner, job_id)
    assert purge(life, blobs).nothing
    restore(life, job_id)
    assert visible(life) == [job_id]
    assert life.counts(job_id) == before
    assert all(blobs.exists(key) for key in keep(blobs, life, job_id))


def test_after_the_grace_nothing_of_it_is_left_but_its_number(
    life: Life, blobs: MemoryBlobs
) -> None:
    job_id = finished(life, blobs, count=450)
    keys = keep(blobs, life, job_id)
    with life.database.writing() as session:
        report = reports.order(session, session.get_one(Job, job_id), "A4")
        report.state, report.blob_key = MakingState.READY, "reports/1-1.pdf"
        image = session.scalars(select(Image).limit(1)).one()
        session.add(
            Explanation(image_id=image.id, model_digest=life.digest, blob_key="explanations/1-1")
        )
    for key in ("reports/1-1.pdf", "explanations/1-1/crop.png", "explanations/1-1/heat.png"):
        blobs.put(key, b"made")
        keys.append(key)
    delete(life, job_id, at_once=True)
    assert purge(life, blobs).images == 450
    assert [key for key in keys if blobs.exists(key)] == []
    left = (Image, Shard, Prediction, Report, Explanation, LooseBlob)
    assert rows(life, *left) == [0] * len(left)
    job = life.job(job_id)
    assert (job.name, job.reference, job.bytes) == ("", "", 0)
    assert job.purged_at is not None
    with life.database.reading() as session:
        assert session.scalars(accounts.deleted_jobs(life.owner)).all() == []
    with pytest.raises(Conflict, match="removed for good"):
        restore(life, job_id)
    assert life.open() > job_id


def test_numbers_of_deleted_images_are_never_given_again(life: Life, blobs: MemoryBlobs) -> None:
    first = life.open()
    gone = life.fill(first, 3)
    delete(life, first, at_once=True)
    purge(life, blobs)
    fresh = life.fill(life.open(), 3)
    assert min(fresh) > max(gone)


def test_a_running_job_is_cancelled_first_and_its_worker_records_nothing(
    life: Life, blobs: MemoryBlobs
) -> None:
    job_id = life.submitted(4)
    [shard_id] = life.dispatch()
    claim = life.claimed(shard_id)
    delete(life, job_id)
    assert life.state(job_id) is JobState.CANCELLED
    assert life.dispatch() == []
    with pytest.raises(LeaseLost):
        life.record(claim)
    restore(life, job_id)
    life.run_again(job_id)
    life.work_off()
    assert life.state(job_id) is JobState.FINISHED


def test_bytes_that_another_job_holds_stay(life: Life, blobs: MemoryBlobs) -> None:
    first, second = life.open(), life.open()
    for job_id in (first, second):
        [(image_id, _)] = life.announce(job_id, Entry("same.png", 100, sha("same")))
        if life.images(job_id)[0].state is ImageState.EXPECTED:
            life.receive(image_id, "same")
        life.submit(job_id)
    life.work_off()
    keys = keep(blobs, life, first)
    delete(life, first, at_once=True)
    purge(life, blobs)
    assert all(blobs.exists(key) for key in keys)
    delete(life, second, at_once=True)
    purge(life, blobs)
    assert not any(blobs.exists(key) for key in keys)


def test_another_persons_equal_bytes_stay_too(
    life: Life, blobs: MemoryBlobs, person: MakePerson
) -> None:
    other = life.open(person("berta"))
    [(image_id, needed)] = life.announce(other, Entry("same.png", 100, sha("same")))
    assert needed
    life.receive(image_id, "same")
    own = life.open()
    [(image_id, needed)] = life.announce(own, Entry("same.png", 100, sha("same")))
    assert needed
    life.receive(image_id, "same")
    [key, *_] = keep(blobs, life, own)
    delete(life, own, at_once=True)
    purge(life, blobs)
    assert blobs.exists(key)


def test_pictures_alone_are_deleted_and_results_stay(life: Life, blobs: MemoryBlobs) -> None:
    job_id = finished(life, blobs)
    keys = keep(blobs, life, job_id)
    before = life.counts(job_id)
    delete_pictures(life, job_id)
    assert purge(life, blobs).nothing
    with life.database.writing() as session:
        jobs.keep_pictures(session, session.get_one(Job, job_id), BY)
    delete_pictures(life, job_id, at_once=True)
    purge(life, blobs)
    assert not any(blobs.exists(key) for key in keys)
    assert life.counts(job_id) == life.truth(job_id) == before
    assert life.predictions() == 6
    assert {image.label for image in life.images(job_id)} == {"lymphocyte"}
    assert {image.format for image in life.images(job_id)} == {None}
    assert life.job(job_id).bytes == 0
    with pytest.raises(Conflict, match="pictures of this job were deleted"):
        life.run_again(job_id)
    with pytest.raises(Conflict, match="already deleted"), life.database.writing() as session:
        jobs.keep_pictures(session, session.get_one(Job, job_id), BY)


def test_pictures_of_a_job_at_work_can_not_be_deleted(life: Life) -> None:
    job_id = life.submitted(4)
    with pytest.raises(Conflict, match="still needs its pictures"):
        delete_pictures(life, job_id)


def test_pictures_of_a_job_that_runs_again_wait_for_its_end(life: Life, blobs: MemoryBlobs) -> None:
    job_id = finished(life, blobs)
    [key, *_] = keep(blobs, life, job_id)
    delete_pictures(life, job_id, at_once=True)
    life.run_again(job_id)
    assert purge(life, blobs).nothing
    assert blobs.exists(key)
    life.work_off()
    purge(life, blobs)
    assert not blobs.exists(key)


def test_bytes_whose_pictures_were_deleted_are_asked_for_again(
    life: Life, blobs: MemoryBlobs
) -> None:
    first = finished(life, blobs, count=1)
    delete_pictures(life, first, at_once=True)
    purge(life, blobs)
    [(_, needed)] = life.announce(life.open(), Entry("again.png", 100, sha(f"{first}/0")))
    assert needed


def test_what_arrived_while_equal_bytes_were_deleted_is_asked_for_again(
    life: Life, blobs: MemoryBlobs
) -> None:
    """The store had them, so those that came were thrown away; then the others were deleted."""
    job_id = life.open()
    [(image_id, _)] = life.announce(job_id, Entry("a.png", 100, sha("a")))
    with life.database.writing() as session:
        image = session.get_one(Image, image_id)
        job = session.get_one(Job, job_id)
        jobs.receive(
            session,
            job,
            image,
            accepted("a"),
            lambda received: blobs.exists(image_key(received.sha256)),
        )
    [image] = life.images(job_id)
    assert (image.state, image.reason) == (ImageState.REFUSED, "let_go")
    [(again, needed)] = life.announce(job_id, Entry("a.png", 100, sha("a")))
    assert (again, needed) == (image_id, True)
    life.receive(image_id, "a")
    assert life.images(job_id)[0].state is ImageState.RECEIVED


def test_a_job_that_was_deleted_meanwhile_takes_nothing_and_does_nothing(
    life: Life, blobs: MemoryBlobs
) -> None:
    job_id = life.open()
    [image_id] = life.fill(job_id, 1)
    delete(life, job_id)
    for act in (
        lambda: life.announce(job_id, Entry("b.png", 1)),
        lambda: life.receive(image_id, "b"),
        lambda: life.submit(job_id),
        lambda: life.cancel(job_id),
        lambda: life.run_again(job_id),
    ):
        with pytest.raises(NotFound, match="was deleted"):
            act()


def test_old_jobs_are_deleted_by_rule_and_one_that_was_restored_is_kept_as_long_again(
    life: Life, blobs: MemoryBlobs
) -> None:
    rule = life.settings.model_copy(update={"retention_days": 30})
    old, new, at_work, half_sent = (
        finished(life, blobs),
        finished(life, blobs),
        life.submitted(2),
        life.open(),
    )
    long_ago = utcnow() - dt.timedelta(days=31)
    with life.database.writing() as session:
        session.execute(update(Job).where(Job.id == old).values(finished_at=long_ago))
        session.execute(
            update(Job).where(Job.id.in_((half_sent, at_work))).values(created_at=long_ago)
        )
    assert purge(life, blobs, rule).expired == 2
    assert sorted(visible(life)) == [new, at_work]
    restore(life, old)
    assert purge(life, blobs, rule).expired == 0
    job = life.job(old)
    assert job.restored_at is not None
    assert jobs.end_of_retention(job, 30) == job.restored_at + dt.timedelta(days=30)
    assert jobs.end_of_retention(life.job(at_work), 30) is None


def test_pictures_are_deleted_by_a_rule_of_their_own(life: Life, blobs: MemoryBlobs) -> None:
    rule = life.settings.model_copy(update={"picture_retention_days": 5, "delete_grace_days": 0})
    job_id = finished(life, blobs)
    keys = keep(blobs, life, job_id)
    with life.database.writing() as session:
        session.execute(update(Job).values(finished_at=utcnow() - dt.timedelta(days=6)))
    assert purge(life, blobs, rule).expired == 1
    assert not any(blobs.exists(key) for key in keys)
    assert visible(life) == [job_id]
    assert purge(life, blobs, rule).nothing


def test_only_the_owner_and_an_administrator_find_a_deleted_job(
    life: Life, blobs: MemoryBlobs, person: MakePerson
) -> None:
    job_id = finished(life, blobs)
    delete(life, job_id)
    chief, doctor = person("chief", RoleName.ADMINISTRATOR), person("doc", RoleName.CLINICIAN)
    with life.database.reading() as session:
        for permitted in (life.owner, chief):
            assert accounts.find_deleted_job(session, permitted, job_id).id == job_id
        with pytest.raises(NotFound):
            accounts.find_deleted_job(session, doctor, job_id)


def test_every_deletion_and_its_end_is_noted(life: Life, blobs: MemoryBlobs) -> None:
    job_id = finished(life, blobs)
    delete_pictures(life, job_id, at_once=True)
    purge(life, blobs)
    delete(life, job_id)
    restore(life, job_id)
    delete(life, job_id, at_once=True)
    purge(life, blobs)
    with life.database.reading() as session:
        noted = audit.newest(session, 20, subject=f"job {job_id}")
        assert audit.verify(session).fault == ""
    assert [(entry.action, entry.actor) for entry in reversed(noted)] == [
        (Action.PICTURES_DELETED, BY.name),
        (Action.PICTURES_PURGED, "system"),
        (Action.JOB_DELETED, BY.name),
        (Action.JOB_RESTORED, BY.name),
        (Action.JOB_DELETED, BY.name),
        (Action.JOB_PURGED, "system"),
    ]
