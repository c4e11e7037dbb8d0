"""A shard from its claim to its record, whatever goes wrong between."""

from __future__ import annotations

import dataclasses
import hashlib
import os
import signal
import time
from typing import BinaryIO

import numpy as np
import pytest
from sqlalchemy import func, select, update

from core import jobs, registry
from core.blobs import MemoryBlobs, image_key
from core.db import clock
from core.errors import LeaseLost
from core.installation import adopt_store, open_store
from core.queue import MemoryQueue
from core.settings import Settings
from core.states import ImageState, JobState, ModelState, ShardState
from core.tables import Image, Job, Model, Prediction, Shard
from ml.bundle import Bundle
from ml.reading import read
from ml.serving import classify_readings
from tests.worker.conftest import MakeBundle, Submit, Watched, counts_of, png
from worker.fleet import Badge, beat
from worker.lease import Lease
from worker.limits import time_limited
from worker.models import Lacking, LoadedModel, ModelStore, facts_of, open_model
from worker.packing import keep
from worker.pipeline import BATCH, classify, classify_shard
from worker.process import WorkerProcess


def files(count: int, first: int = 0) -> dict[str, bytes]:
    return {f"cell-{seed}.png": png(seed) for seed in range(first, first + count)}


def shards(process: WorkerProcess, *states: ShardState) -> list[int]:
    with process.database.reading() as session:
        query = select(Shard.id).order_by(Shard.id)
        return list(session.scalars(query.where(Shard.state.in_(states)) if states else query))


def work_through(process: WorkerProcess) -> None:
    """What the queue and the sweep do together: every shard that is rung for is worked on."""
    while open_ := shards(process, ShardState.WAITING, ShardState.PUBLISHED):
        for shard_id in open_:
            classify_shard(process, shard_id)


def state_of(process: WorkerProcess, job_id: int) -> JobState:
    with process.database.reading() as session:
        return session.get_one(Job, job_id).state


def predictions_of(process: WorkerProcess) -> int:
    with process.database.reading() as session:
        return session.scalar(select(func.count()).select_from(Prediction)) or 0


def expire(process: WorkerProcess) -> None:
    with process.database.writing() as session:
        session.execute(update(Shard).values(lease_until=clock() - 1))


def test_every_image_of_a_job_is_classified_and_the_job_ends(
    process: WorkerProcess, submit: Submit
) -> None:
    job_id = submit(files(20))
    work_through(process)
    assert state_of(process, job_id) is JobState.FINISHED
    assert counts_of(process, job_id).classified == 20
    with process.database.reading() as session:
        for image, prediction in session.execute(select(Image, Prediction).join(Prediction)):
            assert sum(prediction.probabilities) == pytest.approx(1, abs=1e-5)
            assert image.label == prediction.label
            assert image.confidence == max(prediction.probabilities)


def test_the_network_sees_what_a_direct_call_gives_it(
    process: WorkerProcess, submit: Submit
) -> None:
    job_id = submit(files(3))
    work_through(process)
    model = process.models.get(process.models.shipped.digest)
    metadata = model.bundle.metadata
    readings = [read(png(seed), metadata.shape, metadata.preprocessing) for seed in range(3)]
    direct = classify_readings(model.classifier, readings)
    with process.database.reading() as session:
        rows = list(jobs.export_rows(session, job_id))
    for row, expected in zip(rows, direct, strict=True):
        assert row.verdict is not None
        assert row.verdict.probabilities == pytest.approx(expected.probabilities, abs=1e-5)


def test_three_deliveries_of_one_message_add_nothing(
    process: WorkerProcess, submit: Submit, watched: Watched
) -> None:
    job_id = submit(files(4))
    (shard_id,) = shards(process)
    for _ in range(3):
        classify_shard(process, shard_id)
    assert watched.images == 4
    assert predictions_of(process) == 4
    assert counts_of(process, job_id).classified == 4


def test_a_worker_that_lost_its_lease_records_nothing(
    process: WorkerProcess, submit: Submit, watched: Watched
) -> None:
    submit(files(4))
    (shard_id,) = shards(process)
    other = dataclasses.replace(process, name="host:2")

    def steal() -> None:
        watched.meanwhile = lambda: None
        expire(process)
        classify_shard(other, shard_id)

    watched.meanwhile = steal
    classify_shard(process, shard_id)
    assert watched.images == 8
    assert predictions_of(process) == 4
    with process.database.reading() as session:
        shard = session.get_one(Shard, shard_id)
        assert (shard.worker, shard.fence, shard.classified) == ("host:2", 2, 4)


def test_a_job_cancelled_meanwhile_keeps_no_result(
    process: WorkerProcess, submit: Submit, watched: Watched
) -> None:
    job_id = submit(files(4))

    def cancel() -> None:
        with process.database.writing() as session:
            jobs.cancel(session, session.get_one(Job, job_id))

    watched.meanwhile = cancel
    work_through(process)
    assert state_of(process, job_id) is JobState.CANCELLED
    assert predictions_of(process) == 0
    assert counts_of(process, job_id).classified == 0


def test_a_lost_lease_stops_the_work_between_two_batches(
    process: WorkerProcess, submit: Submit, watched: Watched
) -> None:
    submit(files(16))
    with process.database.writing() as session:
        claim = jobs.claim(session, shards(process)[0], process.name, 5)
    assert claim
    lease = Lease()
    watched.meanwhile = lease.lose
    many = dataclasses.replace(claim, work=claim.work * 3)
    with pytest.raises(LeaseLost):
        classify(process, process.models.get(process.models.shipped.digest), many, lease)
    assert watched.images == BATCH < len(many.work)


def test_a_small_job_overtakes_in_the_midst_of_a_shard(
    process: WorkerProcess, submit: Submit, watched: Watched, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("worker.pipeline._LOOK_SECONDS", 0.0)
    big, small = submit(files(24)), []

    def somebody_comes() -> None:
        watched.meanwhile = lambda: None
        small.append(submit(files(2, first=900)))

    watched.meanwhile = somebody_comes
    classify_shard(process, shards(process)[0])
    assert state_of(process, small[0]) is JobState.FINISHED
    assert state_of(process, big) is JobState.RUNNING
    assert counts_of(process, big).classified == 8


@pytest.mark.parametrize(("device", "sizes"), [("cpu", [8, 8, 8]), ("gpu", [24])])
def test_a_gpu_is_given_larger_batches(
    process: WorkerProcess, submit: Submit, watched: Watched, device: str, sizes: list[int]
) -> None:
    submit(files(24))
    with process.database.writing() as session:
        claims = [jobs.claim(session, shard_id, process.name, 5) for shard_id in shards(process)]
    work = tuple(image for claim in claims if claim for image in claim.work)
    assert claims[0]
    watched.device = device
    before: list[int] = []
    watched.meanwhile = lambda: before.append(watched.images)
    whole = dataclasses.replace(claims[0], work=work)
    classify(process, process.models.get(process.models.shipped.digest), whole, Lease())
    assert np.diff([0, *before]).tolist() == sizes


def test_an_unreadable_image_fails_by_name_and_the_others_are_classified(
    process: WorkerProcess, submit: Submit
) -> None:
    images = files(5)
    images["cut-off.png"] = png(77)[:400]
    job_id = submit(images)
    work_through(process)
    counts = counts_of(process, job_id)
    assert (counts.classified, counts.failed, counts.waiting) == (5, 1, 0)
    assert state_of(process, job_id) is JobState.FINISHED
    with process.database.reading() as session:
        failed = session.scalars(select(Image).where(Image.state == ImageState.FAILED)).one()
    assert failed.name == "cut-off.png"
    assert failed.reason in {"truncated", "damaged"}
    assert failed.message and failed.message.endswith(".")


def test_an_image_whose_bytes_are_gone_fails_and_the_others_are_classified(
    process: WorkerProcess, submit: Submit
) -> None:
    job_id = submit(files(3))
    with process.database.reading() as session:
        lost = session.scalars(select(Image.sha256).where(Image.position == 1)).one()
    process.blobs.delete(image_key(lost or ""))
    work_through(process)
    counts = counts_of(process, job_id)
    assert (counts.classified, counts.failed) == (2, 1)


def test_an_image_whose_stored_bytes_are_damaged_gets_no_verdict_and_heals(
    process: WorkerProcess, submit: Submit
) -> None:
    images = files(3)
    job_id = submit(images)
    sound = images["cell-1.png"]
    key = image_key(hashlib.sha256(sound).hexdigest())
    process.blobs.put(key, sound[:-1] + bytes([sound[-1] ^ 1]))
    work_through(process)
    assert (counts_of(process, job_id).classified, counts_of(process, job_id).failed) == (2, 1)
    with process.database.reading() as session:
        failed = session.scalars(select(Image).where(Image.state == ImageState.FAILED)).one()
    assert failed.reason == "corrupt_store"
    assert failed.message and "Send the same file again" in failed.message
    assert not process.blobs.exists(key)
    process.blobs.put(key, sound)
    with process.database.writing() as session:
        jobs.retry_failed(session, session.get_one(Job, job_id), process.settings)
    jobs.dispatch(process.database, process.settings)
    work_through(process)
    assert (counts_of(process, job_id).classified, counts_of(process, job_id).failed) == (3, 0)


def test_a_store_that_is_not_mounted_fails_no_image_and_work_goes_on_when_it_is_back(
    process: WorkerProcess, submit: Submit, tmp_path_factory: pytest.TempPathFactory
) -> None:
    tmp_path = tmp_path_factory.mktemp("disks")
    root = tmp_path / "mount"
    adopt_store(process.database, root)
    settings = process.settings.model_copy(update={"blob_root": str(root)})
    stored = dataclasses.replace(process, blobs=open_store(settings, process.database))
    images = files(3)
    for data in images.values():
        stored.blobs.put(image_key(hashlib.sha256(data).hexdigest()), data)
    job_id = submit(images)
    (shard_id,) = shards(process)
    root.rename(tmp_path / "elsewhere")
    root.mkdir()
    for _ in range(process.settings.max_attempts + 1):
        classify_shard(stored, shard_id)
        expire(process)
        jobs.sweep(process.database, process.settings)
    assert (counts_of(process, job_id).failed, counts_of(process, job_id).waiting) == (0, 3)
    assert list(root.iterdir()) == []
    root.rmdir()
    (tmp_path / "elsewhere").rename(root)
    classify_shard(stored, shard_id)
    assert counts_of(process, job_id).classified == 3


def test_a_job_without_one_readable_image_fails(process: WorkerProcess, submit: Submit) -> None:
    job_id = submit({"a.png": png(1)[:300], "b.png": png(2)[:300]})
    work_through(process)
    assert state_of(process, job_id) is JobState.FAILED
    assert counts_of(process, job_id).failed == 2


class NoStore(MemoryBlobs):
    """A store that does not answer."""

    def get(self, key: str) -> bytes:
        raise TimeoutError(key)

    def open(self, key: str) -> BinaryIO:
        raise TimeoutError(key)


def test_a_store_that_does_not_answer_fails_no_image(
    process: WorkerProcess, submit: Submit
) -> None:
    job_id = submit(files(2))
    (shard_id,) = shards(process)
    for _ in range(process.settings.max_attempts + 1):
        classify_shard(dataclasses.replace(process, blobs=NoStore()), shard_id)
        expire(process)
        jobs.sweep(process.database, process.settings)
    assert shards(process, ShardState.PUBLISHED) == [shard_id]
    classify_shard(process, shard_id)
    assert counts_of(process, job_id).classified == 2


def test_what_the_model_said_before_is_not_computed_again(
    process: WorkerProcess, submit: Submit, watched: Watched
) -> None:
    submit(files(6))
    work_through(process)
    again = submit(files(8), name="The same and two more")
    work_through(process)
    assert watched.images == 8
    assert counts_of(process, again).classified == 8


def test_a_deadly_image_is_found_and_set_aside_and_all_others_are_classified(
    process: WorkerProcess, submit: Submit
) -> None:
    job_id = submit(files(8))
    with process.database.reading() as session:
        deadly = session.scalars(select(Image.id).where(Image.name == "cell-5.png")).one()
    for _ in range(100):
        for shard_id in shards(process, ShardState.WAITING, ShardState.PUBLISHED):
            with process.database.reading() as session:
                holds = session.get_one(Image, deadly).shard_id == shard_id
            if holds:
                die(process, shard_id)
            else:
                classify_shard(process, shard_id)
        jobs.sweep(process.database, process.settings)
        if state_of(process, job_id) is JobState.FINISHED:
            break
    counts = counts_of(process, job_id)
    assert (counts.classified, counts.failed, counts.waiting) == (7, 1, 0)
    with process.database.reading() as session:
        assert session.get_one(Image, deadly).reason == "stopped_worker"


def die(process: WorkerProcess, shard_id: int) -> None:
    with process.database.writing() as session:
        jobs.claim(session, shard_id, process.name, 5)
    with process.database.writing() as session:
        assert jobs.release(session, shard_id, process.name, process.settings.max_attempts)


def test_slow_work_keeps_its_lease(
    process: WorkerProcess, submit: Submit, watched: Watched
) -> None:
    settings = process.settings.model_copy(update={"lease_seconds": 1.2})
    slow = dataclasses.replace(process, settings=settings)
    job_id = submit(files(2))
    (shard_id,) = shards(process)
    claims: list[object] = []

    def dawdle() -> None:
        time.sleep(1.8)
        with process.database.writing() as session:
            claims.append(jobs.claim(session, shard_id, "host:2", 5))

    watched.meanwhile = dawdle
    classify_shard(slow, shard_id)
    assert claims == [None]
    assert counts_of(process, job_id).classified == 2


def test_a_broken_queue_does_not_undo_what_was_classified(
    process: WorkerProcess, submit: Submit, queue: MemoryQueue, settings: Settings
) -> None:
    job_id = submit(files(40))
    published = shards(process, ShardState.PUBLISHED)
    assert 0 < len(published) < 40 / settings.shard_size
    queue.broken = True
    classify_shard(process, published[0])
    assert counts_of(process, job_id).classified == 8
    queue.broken = False
    queue.rung.clear()
    with process.database.writing() as session:
        session.execute(update(Shard).values(published_at=clock() - 600))
    jobs.sweep(process.database, settings)
    assert queue.rung


def test_no_file_name_reaches_the_log(
    process: WorkerProcess, submit: Submit, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("DEBUG")
    submit({"Jane Doe 1961.png": png(1), "John Roe 1950.png": png(2)[:300]})
    work_through(process)
    assert "images in" in caplog.text
    assert "Doe" not in caplog.text and "Roe" not in caplog.text


def known_model(process: WorkerProcess, bundle: Bundle) -> str:
    """Add a bundle as `hematovision model add` does; return its digest."""
    keep(process.blobs, bundle)
    with process.database.writing() as session:
        return registry.add(session, facts_of(bundle)).digest


def make_shadow(process: WorkerProcess, bundle: Bundle) -> str:
    digest = known_model(process, bundle)
    with process.database.writing() as session:
        return registry.shadow(session, digest).digest


def digests_of(process: WorkerProcess, job_id: int) -> set[str | None]:
    """The models whose verdicts count in a job."""
    with process.database.reading() as session:
        return set(session.scalars(select(Image.model_digest).where(Image.job_id == job_id)))


def run_again(process: WorkerProcess, job_id: int, model: str) -> None:
    with process.database.writing() as session:
        jobs.run_again(session, session.get_one(Job, job_id), process.settings, model)
    work_through(process)


def labels_of(process: WorkerProcess, job_id: int) -> list[str | None]:
    with process.database.reading() as session:
        query = select(Image.label).where(Image.job_id == job_id).order_by(Image.position)
        return list(session.scalars(query))


def test_a_job_is_judged_by_the_model_it_was_given_to(
    process: WorkerProcess, submit: Submit, another: MakeBundle, watched: Watched
) -> None:
    job_id = submit(files(6))
    work_through(process)
    before = labels_of(process, job_id)
    other = known_model(process, another(turned=True))
    run_again(process, job_id, other)
    assert digests_of(process, job_id) == {other}
    assert all(a != b for a, b in zip(before, labels_of(process, job_id), strict=True))
    run_again(process, job_id, "active")
    assert (digests_of(process, job_id), watched.images) == ({process.models.shipped.digest}, 6)
    assert labels_of(process, job_id) == before


def test_a_shadow_judges_the_same_images_and_no_result_is_its(
    process: WorkerProcess, submit: Submit, another: MakeBundle
) -> None:
    shadow = make_shadow(process, another(turned=True))
    job_id = submit(files(5) | {"cut-off.png": png(77)[:400]})
    work_through(process)
    assert digests_of(process, job_id) == {process.models.shipped.digest, None}
    with process.database.reading() as session:
        models = {listed.model.digest: listed for listed in registry.listing(session)}
    assert models[shadow].jobs == 0
    agreement = models[shadow].agreement
    assert agreement and (agreement.images, agreement.equal) == (5, 0)


def test_a_shadow_follows_no_job_that_was_given_to_another_model(
    process: WorkerProcess, submit: Submit, another: MakeBundle
) -> None:
    job_id = submit(files(3))
    work_through(process)
    shadow, other = make_shadow(process, another("shadow")), known_model(process, another("other"))
    run_again(process, job_id, other)
    with process.database.reading() as session:
        digests = set(session.scalars(select(Prediction.model_digest)))
    assert digests == {process.models.shipped.digest, other} and shadow not in digests


def test_a_shadow_that_fails_harms_no_job(
    process: WorkerProcess, submit: Submit, another: MakeBundle, caplog: pytest.LogCaptureFixture
) -> None:
    shadow = make_shadow(process, another())
    process.blobs.delete(registry.bundle_key(shadow))
    job_id = submit(files(10))
    work_through(process)
    assert state_of(process, job_id) is JobState.FINISHED
    assert counts_of(process, job_id).classified == predictions_of(process) == 10
    assert "a shadow failed: ModelUnusable" in caplog.text


def test_a_model_that_is_gone_fails_the_images_once_and_says_what_to_do(
    process: WorkerProcess, submit: Submit, another: MakeBundle
) -> None:
    bundle = another()
    other = known_model(process, bundle)
    process.blobs.delete(registry.bundle_key(other))
    job_id = submit(files(2), model=other)
    work_through(process)
    assert state_of(process, job_id) is JobState.FAILED
    with process.database.reading() as session:
        [message] = set(session.scalars(select(Image.message).where(Image.job_id == job_id)))
        [reason] = set(session.scalars(select(Image.reason).where(Image.job_id == job_id)))
    assert reason == "model"
    assert message and "hematovision model add" in message and "/" not in message
    keep(process.blobs, bundle)
    with process.database.writing() as session:
        assert jobs.retry_failed(session, session.get_one(Job, job_id), process.settings) == 2
    work_through(process)
    assert digests_of(process, job_id) == {other}


def test_a_run_under_a_model_that_is_gone_leaves_the_results_as_they_were(
    process: WorkerProcess, submit: Submit, another: MakeBundle
) -> None:
    job_id = submit(files(2))
    work_through(process)
    other = known_model(process, another())
    process.blobs.delete(registry.bundle_key(other))
    run_again(process, job_id, other)
    assert state_of(process, job_id) is JobState.FINISHED
    assert digests_of(process, job_id) == {process.models.shipped.digest}
    with process.database.reading() as session:
        [message] = set(session.scalars(select(Image.message).where(Image.job_id == job_id)))
    assert (
        message and "Could not be judged again" in message and "hematovision model add" in message
    )


def test_a_worker_that_lacks_the_model_gives_the_shard_to_one_that_has_it(
    process: WorkerProcess, submit: Submit, another: MakeBundle
) -> None:
    """As in an upgrade: each of two workers ships another model, and one alone can read this."""
    bundle = another()
    other = known_model(process, bundle)
    process.blobs.delete(registry.bundle_key(other))
    cache = process.settings.data / "cache"
    new = dataclasses.replace(
        process,
        name="host:2",
        models=ModelStore(process.blobs, cache, bundle, lambda worker: open_model(worker, 1)),
        lacking=Lacking(),
    )
    for worker in (process, new):
        with process.database.writing() as session:
            badge = Badge(worker.name, "cpu", "onnxruntime")
            beat(session, badge, worker.throughput, [])
    job_id = submit(files(12), model=other)
    for _ in range(3):
        for shard_id in shards(process, ShardState.WAITING, ShardState.PUBLISHED):
            classify_shard(process, shard_id)
    assert counts_of(process, job_id) == jobs.Counts(12, 0, 0, 0, 0)
    with process.database.reading() as session:
        assert {*session.execute(select(Shard.passed, Shard.attempt))} <= {(0, 0), (1, 0)}
    work_through(new)
    assert digests_of(process, job_id) == {other}
    assert counts_of(process, job_id).classified == 12


def test_a_model_that_no_worker_can_have_fails_the_images_when_all_have_tried(
    process: WorkerProcess, submit: Submit, another: MakeBundle
) -> None:
    other = known_model(process, another())
    process.blobs.delete(registry.bundle_key(other))
    with process.database.writing() as session:
        beat(session, Badge(process.name, "cpu", "onnxruntime"), process.throughput, [])
    job_id = submit(files(2), model=other)
    (shard_id,) = shards(process)
    assert classify_shard(process, shard_id)
    assert counts_of(process, job_id).failed == 0
    assert not classify_shard(process, shard_id)
    assert classify_shard(dataclasses.replace(process, lacking=Lacking()), shard_id)
    assert counts_of(process, job_id).failed == 2


def test_a_job_that_was_submitted_before_any_model_is_judged_by_one(
    process: WorkerProcess, submit: Submit, another: MakeBundle
) -> None:
    """While none is known, no worker may take its own: another may ship another."""
    job_id = submit(files(20))
    first, *_ = shards(process)
    with process.database.writing() as session:
        session.execute(update(Job).values(model_digest=None))
        session.execute(update(Model).values(state=ModelState.CANDIDATE))
    assert not classify_shard(process, first)
    assert state_of(process, job_id) is JobState.QUEUED
    other = known_model(process, another())
    with process.database.writing() as session:
        registry.activate(session, other)
    assert classify_shard(process, first)
    with process.database.writing() as session:
        registry.activate(session, process.models.shipped.digest)
    work_through(process)
    assert digests_of(process, job_id) == {other}


def test_a_store_that_can_not_give_the_model_now_fails_no_image(
    process: WorkerProcess, submit: Submit, another: MakeBundle
) -> None:
    other = known_model(process, another())
    job_id = submit(files(2), model=other)
    (shard_id,) = shards(process)
    away = ModelStore(
        NoStore(), process.settings.data / "cache", process.models.shipped, unreachable
    )
    for _ in range(process.settings.max_attempts + 1):
        classify_shard(dataclasses.replace(process, models=away), shard_id)
        expire(process)
        jobs.sweep(process.database, process.settings)
    assert counts_of(process, job_id).failed == 0
    classify_shard(process, shard_id)
    assert digests_of(process, job_id) == {other}


def unreachable(bundle: Bundle) -> LoadedModel:
    raise AssertionError(bundle)


def test_a_shard_that_runs_out_of_time_is_given_back_and_no_image_is_judged(
    process: WorkerProcess, submit: Submit, watched: Watched
) -> None:
    job_id = submit(files(8))
    (shard_id,) = shards(process)
    watched.meanwhile = lambda: os.kill(os.getpid(), signal.SIGUSR1)
    with time_limited("a shard"):
        classify_shard(process, shard_id)
    with process.database.reading() as session:
        shard = session.get_one(Shard, shard_id)
        assert (shard.state, shard.attempt, shard.lease_until) == (ShardState.WAITING, 1, None)
    assert counts_of(process, job_id).failed == 0
    watched.meanwhile = lambda: None
    work_through(process)
    assert counts_of(process, job_id).classified == 8


def test_shards_that_always_run_out_of_time_end_with_the_image_that_takes_it(
    process: WorkerProcess, submit: Submit, watched: Watched
) -> None:
    job_id = submit(files(1))
    watched.meanwhile = lambda: os.kill(os.getpid(), signal.SIGUSR1)
    for _ in range(process.settings.max_attempts):
        with time_limited("shards"):
            work_through(process)
    assert (counts_of(process, job_id).failed, watched.images) == (1, process.settings.max_attempts)
