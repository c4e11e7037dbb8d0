"""What the pages ask of the database, over a history: by an index, in few statements, whatever
their size. On SQLite and on PostgreSQL."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from random import Random
from typing import Any

import pytest
from sqlalchemy import event, select

import migrations
from benchmarks.history import ADMINISTRATOR, fill
from benchmarks.pages import People
from benchmarks.visits import Visit, Visits
from core import jobs
from core.db import Database
from core.states import ImageState, JobState
from core.tables import Image, Job
from web.listing import job_list

Statement = tuple[str, Any]
_COUNTED = re.compile(r"count\(.*FROM image", re.DOTALL)
# Where a search begins. Anything else, such as the model, is shared by too many rows.
_KEYS = "id|rowid|job_id|image_id|shard_id|duplicate_of_id|sha256"
_SQLITE_TABLE = re.compile(r"(?:SCAN|SEARCH) (?:image|prediction)(?:_\d+)?\b")
_SQLITE_SEARCH = re.compile(rf"SEARCH \w+ USING .*\((?:{_KEYS})=\?")
_POSTGRESQL_INDEX = re.compile(r"(?:ix|uq|pk)_(?:image|prediction)")
_POSTGRESQL_SEARCH = re.compile(rf"\b(?:{_KEYS}) = ")


@pytest.fixture(scope="module", params=["sqlite", "postgresql"])
def history(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Database:
    """A database that is large enough for PostgreSQL to prefer an index to reading everything."""
    url = f"sqlite:///{tmp_path_factory.mktemp('plans') / 'hematovision.db'}"
    if request.param == "postgresql":
        make: Callable[[str], str] = request.getfixturevalue("new_postgresql_database")
        url = make("plans")
    migrations.upgrade(url)
    database = Database(url)
    request.addfinalizer(database.dispose)
    fill(database, images=8_000, jobs=150)
    return database


@pytest.fixture(scope="module")
def people(history: Database, tmp_path_factory: pytest.TempPathFactory) -> People:
    """Those who look."""
    return People(history, tmp_path_factory.mktemp("data"))


@pytest.fixture(scope="module")
def visits(history: Database) -> dict[str, list[Visit]]:
    """Visits of every kind, most of them to different jobs, bins and depths."""
    with history.reading() as session:
        return Visits(session, Random(2)).draw(25)


@contextmanager
def asked(database: Database) -> Iterator[list[Statement]]:
    """Yield a list that grows by every SELECT and its parameters."""
    statements: list[Statement] = []

    def note(*arguments: Any) -> None:
        statement, parameters = arguments[2:4]
        if statement.startswith("SELECT"):
            statements.append((statement, parameters))

    event.listen(database.engine, "before_cursor_execute", note)
    yield statements
    event.remove(database.engine, "before_cursor_execute", note)


def scans(database: Database, statement: Statement) -> list[str]:
    """Return where a statement reads more of `image` or `prediction` than some keys point to."""
    if database.engine.dialect.name == "sqlite":
        steps = [step for step in _steps(database, statement) if _SQLITE_TABLE.match(step)]
        return [step for step in steps if not _SQLITE_SEARCH.match(step)]
    return [json.dumps(node) for node in _nodes(_plan(database, statement)) if _is_wide(node)]


def sorts(database: Database, statement: Statement) -> bool:
    """Say whether images would have to be read and sorted, since no index has them in order.

    PostgreSQL sorts the few of a small job by choice; it is asked what it would do if it could not.
    """
    if database.engine.dialect.name == "sqlite":
        return any("TEMP B-TREE" in step for step in _steps(database, statement))
    plan = _plan(database, statement, "SET LOCAL enable_sort = off")
    return any("Sort" in node["Node Type"] for node in _nodes(plan))


def sifts(database: Database, statement: Statement) -> bool:
    """Say whether images of a job would be passed over one by one, since no index tells a bin.

    Asked of SQLite alone, whose choice does not hang on how many there are.
    """
    if database.engine.dialect.name != "sqlite":
        return False
    [step] = (step for step in _steps(database, statement) if _SQLITE_TABLE.match(step))
    named = re.findall(r"image\.(\w+) = \?", statement[0])
    return not set(named) <= set(re.findall(r"(\w+)=\?", step))


def _steps(database: Database, statement: Statement) -> list[str]:
    sql, parameters = statement
    with database.engine.connect() as connection:
        rows = connection.exec_driver_sql(f"EXPLAIN QUERY PLAN {sql}", parameters)
        return [row[3] for row in rows]


def _plan(database: Database, statement: Statement, before: str = "") -> dict[str, Any]:
    sql, parameters = statement
    with database.engine.connect() as connection:
        if before:
            connection.exec_driver_sql(before)
        document = connection.exec_driver_sql(
            f"EXPLAIN (FORMAT JSON) {sql}", parameters
        ).scalar_one()
    plan: dict[str, Any] = document[0]["Plan"]
    return plan


def _nodes(plan: dict[str, Any]) -> Iterator[dict[str, Any]]:
    for inner in plan.pop("Plans", ()):
        yield from _nodes(inner)
    yield plan


def _is_wide(node: dict[str, Any]) -> bool:
    """A walk along an index without a condition reads as much as a scan of the table."""
    if _POSTGRESQL_INDEX.match(node.get("Index Name", "")):
        return not _POSTGRESQL_SEARCH.search(node.get("Index Cond", ""))
    whole = node["Node Type"] == "Seq Scan"
    return whole and node["Relation Name"] in ("image", "prediction")


def test_the_history_adds_up(history: Database) -> None:
    """One that did not would prove nothing, and be measured for nothing."""
    with history.reading() as session:
        rows = session.execute(select(Image.job_id, Image.state, Image.outcome, Image.label))
        images: dict[int, list[tuple[Any, ...]]] = {}
        for job_id, *result in rows:
            images.setdefault(job_id, []).append(tuple(result))
        for job in session.scalars(select(Job)):
            overview, of_job = jobs.overview(session, job), images[job.id]
            states = [state for state, *_ in of_job]
            assert overview.counts.by_state == {s: states.count(s) for s in ImageState}
            for class_count in overview.differential.classes:
                assert class_count.count == of_job.count(
                    (ImageState.CLASSIFIED, "accepted", class_count.name)
                )
            assert overview.differential.classified == overview.counts.classified
    assert sum(map(len, images.values())) == 8_000


def test_no_page_reads_all_images_or_all_predictions(
    history: Database, people: People, visits: dict[str, list[Visit]]
) -> None:
    explained = 0
    for kind, wanted in visits.items():
        for visit in wanted:
            with asked(history) as statements:
                people.visit(visit)
            for statement in statements:
                explained += 1
                assert not scans(history, statement), (kind, visit.path, statement)
                if "ORDER BY image" in statement[0]:
                    assert not sorts(history, statement), (kind, visit.path, statement)
                    assert not sifts(history, statement), (kind, visit.path, statement)
    assert explained > 1000


@pytest.mark.parametrize(
    "sql",
    [
        "SELECT * FROM image WHERE name = 'x'",
        "SELECT count(*) FROM prediction",
        "SELECT * FROM image ORDER BY job_id, position",
        "SELECT label FROM prediction WHERE model_digest = 'bbb'",
        "SELECT * FROM image JOIN prediction ON prediction.image_id = image.id",
    ],
)
def test_what_reads_everything_is_noticed(history: Database, sql: str) -> None:
    assert scans(history, (sql, ()))


def test_what_is_sorted_is_noticed(history: Database) -> None:
    sql = "SELECT * FROM image WHERE job_id = 1 ORDER BY name LIMIT 9"
    assert sorts(history, (sql, ()))


def _largest(database: Database) -> Job:
    with database.reading() as session:
        ended = select(Job).where(Job.state == JobState.FINISHED)
        return session.scalars(ended.order_by(Job.received.desc())).all()[0]


def _statements(database: Database, people: People, path: str) -> int:
    with asked(database) as statements:
        people.visit(Visit(ADMINISTRATOR, path))
    return len(statements)


@pytest.mark.parametrize("path", ["/jobs", "/api/v1/jobs"])
def test_a_longer_list_of_jobs_takes_no_more_statements(
    history: Database, people: People, path: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    # The newest twenty hold jobs in every state that lives.
    monkeypatch.setattr(job_list, "PAGE", 20)
    few = _statements(history, people, path)
    monkeypatch.setattr(job_list, "PAGE", 100)
    assert _statements(history, people, path) == few < 12


def test_more_images_take_no_more_statements(history: Database, people: People) -> None:
    job = _largest(history)
    sizes = (10, 60, 500)
    for order in ("check", "high"):
        path = f"/api/v1/jobs/{job.id}/images?order={order}&size="
        few, *more = (_statements(history, people, f"{path}{size}") for size in sizes)
        assert more == [few] * 2
        assert few < 12


@pytest.mark.parametrize("path", ["", "/summary", "/gallery", "/gallery?outcome=uncertain"])
def test_a_job_is_shown_without_counting_its_images(
    history: Database, people: People, path: str
) -> None:
    with asked(history) as statements:
        people.visit(Visit(ADMINISTRATOR, f"/jobs/{_largest(history).id}{path}"))
    assert [sql for sql, _ in statements if "FROM shard" in sql]
    assert not [sql for sql, _ in statements if _COUNTED.search(sql)]
