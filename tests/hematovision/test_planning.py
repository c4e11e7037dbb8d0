"""How many workers a batch needs: the sums, the times, and what the command says."""

from __future__ import annotations

import datetime as dt

import pytest
from click.testing import CliRunner, Result
from hypothesis import assume, given
from hypothesis import strategies as st
from sqlalchemy import update

from core.db import Database, clock
from core.people import accounts
from core.states import JobState, Lane, ShardState
from core.tables import Image, Job, Shard, Worker
from hematovision.cli import main
from hematovision.planning import (
    ROW_BYTES,
    Measured,
    NoSuchTime,
    NotMeasured,
    measure,
    moment,
    plan,
)

NOON = dt.datetime(2026, 3, 1, 12, 0, 30, tzinfo=dt.UTC)
MEASURED = Measured(speed=50.0, processes=2, waiting=0, file_bytes=10_000.0, row_bytes=1_000)


@pytest.mark.parametrize(
    ("text", "hours"),
    [("90m", 1.5), ("8h", 8), ("1h30m", 1.5), (" 1H ", 1), ("13:00", 0.9917), ("12:00", 23.9917)],
)
def test_a_time_is_a_clock_s_or_a_span(text: str, hours: float) -> None:
    assert (moment(text, NOON) - NOON).total_seconds() / 3600 == pytest.approx(hours, abs=1e-3)


@pytest.mark.parametrize("text", ["", "soon", "25:00", "12:60", "0m", "h", "-3h", "1.5h"])
def test_what_is_no_time_is_told(text: str) -> None:
    with pytest.raises(NoSuchTime, match="06:30"):
        moment(text, NOON)


def test_the_sums() -> None:
    answer = plan(9_000, 100.0, MEASURED)
    assert answer.rate == 90.0
    assert answer.processes == 2
    assert answer.seconds == pytest.approx(100.0)
    assert (answer.store_bytes, answer.database_bytes) == (90e6, 9_000_000)


def test_what_waits_goes_first() -> None:
    busy = Measured(50.0, 2, 9_000, None, 1_000)
    assert plan(9_000, 100.0, busy).processes == 4
    assert plan(9_000, 100.0, busy).seconds == pytest.approx(200.0)


def test_without_workers_no_end_is_promised() -> None:
    assert plan(10, 1.0, Measured(50.0, 0, 0, None, 1_000)).seconds is None


def add_worker(database: Database, speed: float | None, name: str = "host:1") -> None:
    with database.writing() as session:
        seen = {"model_digest": "d", "seen_at": clock(), "images_per_second": speed}
        session.add(Worker(name=name, device="cpu", backend="onnxruntime", **seen))


def add_job(database: Database) -> None:
    """A job of 6,000 images that wait, of which one is there in person."""
    with database.writing() as session:
        owner = accounts.first_administrator(session, "admin@localhost")
        job = Job(owner_id=owner.id, name="night", state=JobState.RUNNING)
        session.add(job)
        session.flush()
        waiting = ShardState.WAITING
        session.add(Shard(job_id=job.id, lane=Lane.BATCH, state=waiting, size=6_000))
        session.add(Image(job_id=job.id, position=0, name="a", size=20_000))


def asked(*words: str) -> Result:
    return CliRunner().invoke(main, ["plan", *words])


def test_the_command_answers_from_what_workers_measured(database: Database) -> None:
    for number, speed in enumerate((40.0, 50.0, 60.0, None)):
        add_worker(database, speed, f"host:{number}")
    add_job(database)
    output = asked("--images", "30000", "--by", "2m").output
    assert "30,000 images, after 6,000 already waiting, by" in output
    assert "300.0 images/s" in output
    assert "A worker process does 50.0 images/s, as measured here: 7 needed, 4 running." in output
    assert "done in 3 min 20 s" in output
    assert "Add 3 more" in output
    assert "600 MB for the files" in output


def test_enough_workers_are_enough(database: Database) -> None:
    add_worker(database, 50.0)
    output = asked("--images", "100", "--by", "8h").output
    assert "1 needed, 1 running" in output
    assert "Add" not in output
    assert "The size of the files is not known" in output


def test_a_speed_may_be_given_where_none_was_measured(database: Database) -> None:
    result = asked("--images", "1000", "--by", "1h", "--speed", "20")
    assert "20.0 images/s, as given: 1 needed, 0 running" in result.output
    assert "No workers are running" in result.output


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (("--images", "10", "--by", "1h"), "No worker has measured its speed yet"),
        (("--images", "10", "--by", "later"), "'later' is not a time"),
    ],
)
def test_what_can_t_be_answered_says_what_to_do(
    database: Database, words: tuple[str, ...], sentence: str
) -> None:
    done = asked(*words)
    assert done.exit_code == 1
    assert sentence in done.output


@given(
    st.integers(1, 10**7),
    st.integers(0, 10**6),
    st.floats(1, 10**6),
    st.floats(0.1, 5000),
    st.integers(0, 500),
)
def test_as_many_processes_as_needed_are_planned_and_not_one_more(
    images: int, waiting: int, seconds: float, speed: float, running: int
) -> None:
    known = Measured(speed, running, waiting, None, 1_000)
    found = plan(images, seconds, known)
    # A process on a busy machine does nine tenths of what it did alone.
    alone = (images + waiting) / (0.9 * speed)
    assert alone / found.processes <= seconds * (1 + 1e-9)
    assert found.processes == 1 or alone / (found.processes - 1) > seconds * (1 - 1e-9)
    if running:
        assert found.seconds == pytest.approx(alone / running)
        in_time = found.seconds is not None and found.seconds <= seconds * (1 - 1e-9)
        assert not in_time or running >= found.processes


@given(st.datetimes(timezones=st.just(dt.UTC)), st.integers(0, 23), st.integers(0, 59))
def test_a_time_of_day_is_the_next_one(now: dt.datetime, hour: int, minute: int) -> None:
    assume(now.year < 9999)
    for text in (f"{hour}:{minute:02}", f" {hour:02}:{minute:02} "):
        at = moment(text, now)
        assert (at.hour, at.minute, at.second, at.microsecond) == (hour, minute, 0, 0)
        assert dt.timedelta() < at - now <= dt.timedelta(days=1)


@given(st.integers(0, 999), st.integers(0, 999))
def test_a_span_is_added_to_now(hours: int, minutes: int) -> None:
    assume(hours or minutes)
    expected = NOON + dt.timedelta(hours=hours, minutes=minutes)
    assert moment(f"{hours}h{minutes}m", NOON) == expected
    if not minutes:
        assert moment(f"{hours}H", NOON) == expected
    if not hours:
        assert moment(f"{minutes}m", NOON) == expected


def test_what_is_known_is_read_from_living_shards_new_files_and_all_workers(
    database: Database,
) -> None:
    for number, speed in enumerate((10.0, 30.0, 0.0, None, 500.0)):
        add_worker(database, speed, f"host:{number}")
    add_job(database)
    with database.writing() as session:
        [job] = session.query(Job)
        for state, size in (
            (ShardState.PUBLISHED, 7),
            (ShardState.LEASED, 5),
            (ShardState.DONE, 9),
        ):
            session.add(Shard(job_id=job.id, lane=Lane.BATCH, state=state, size=size))
        session.add(Shard(job_id=job.id, lane=Lane.BATCH, state=ShardState.DROPPED, size=11))
        # Of the files the newest thousand say how large the next ones will be.
        images = [Image(job_id=job.id, position=i, name="x", size=100) for i in range(1, 1001)]
        session.add_all(images)
        session.execute(update(Worker).where(Worker.name == "host:4").values(seen_at=1.0))
    with database.reading() as session:
        known = measure(session)
        assert measure(session, 80.0).speed == 80.0
    assert known.speed == 30.0, "the median of those that measured any, dead or alive"
    assert (known.processes, known.waiting) == (4, 6_012)
    assert (known.file_bytes, known.row_bytes) == (100.0, ROW_BYTES["sqlite"])


def test_nothing_is_known_where_nothing_ran(database: Database) -> None:
    add_worker(database, 0.0)
    with database.reading() as session:
        with pytest.raises(NotMeasured, match="--speed"):
            measure(session)
        known = measure(session, 5.0)
    assert (known.waiting, known.file_bytes) == (0, None)
