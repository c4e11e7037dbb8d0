"""The tables on both databases: up, down, up again, and in step with `core.tables.work`."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from itertools import count
from pathlib import Path

import pytest
from alembic import command
from alembic.script import ScriptDirectory
from sqlalchemy import func, inspect, select, text, update
from sqlalchemy.orm import Session

import migrations
from core.db import Database, utcnow
from core.errors import DatabaseTrouble
from core.states import ImageState, Lane
from core.tables import Base, Image, Job, Model, Prediction, Shard, User, Worker

_REBUILD = """
import sqlalchemy as sa
from alembic import op

revision = "9999"
down_revision = "{head}"
branch_labels = None
depends_on = None


def upgrade():
    with op.batch_alter_table("image") as image:
        image.alter_column("name", type_=sa.String(length=2000), existing_type=sa.String(1024))
        image.add_column(sa.Column("note", sa.String(length=9), nullable=True))


def downgrade():
    pass
"""
_NUMBERS = count()


@pytest.fixture(params=["sqlite", "postgresql"])
def url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """Return the URL of a database without any table."""
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path / 'a 100% new.db'}"
    make: Callable[[str], str] = request.getfixturevalue("new_postgresql_database")
    return make(f"empty {next(_NUMBERS)}")


@pytest.fixture
def opened(url: str) -> Iterator[Database]:
    """Yield the database opened."""
    database = Database(url)
    yield database
    database.dispose()


def _tables(database: Database) -> set[str]:
    database.dispose()
    return set(inspect(database.engine).get_table_names())


def test_the_tables_go_up_down_and_up_again(url: str, opened: Database) -> None:
    ours = set(Base.metadata.tables)
    migrations.upgrade(url)
    assert _tables(opened) == ours | {"alembic_version"}
    migrations.downgrade(url, "base")
    assert _tables(opened) == {"alembic_version"}
    migrations.upgrade(url)
    assert _tables(opened) == ours | {"alembic_version"}


def test_going_up_again_is_no_error(url: str) -> None:
    migrations.upgrade(url)
    migrations.upgrade(url)


def test_the_tables_are_those_of_the_models(url: str) -> None:
    migrations.upgrade(url)
    command.check(migrations.config(url))


def test_every_constraint_has_a_name_so_that_it_can_be_dropped() -> None:
    for table in Base.metadata.tables.values():
        assert all(constraint.name for constraint in table.constraints)
        assert all(index.name for index in table.indexes)


def test_the_id_of_a_shard_is_never_used_twice(url: str, opened: Database) -> None:
    migrations.upgrade(url)
    insert = (
        "INSERT INTO shard (job_id, lane, state, size, classified, failed, attempt, fence)"
        " VALUES (1, 'batch', 'waiting', 1, 0, 0, 0, 0) RETURNING id"
    )
    with opened.writing() as session:
        _fill(session)
        first = session.scalar(text(insert))
        session.execute(text("DELETE FROM shard"))
        assert session.scalar(text(insert)) != first


def test_rebuilding_a_table_loses_nothing_that_refers_to_it(
    url: str, opened: Database, tmp_path: Path
) -> None:
    """A later migration may rebuild `image`; on SQLite that drops it, and a drop cascades."""
    migrations.upgrade(url)
    with opened.writing() as session:
        _fill(session)
    config = migrations.config(url)
    scripts = ScriptDirectory.from_config(config)
    (tmp_path / "later").mkdir()
    later = tmp_path / "later" / "9999_rebuild.py"
    later.write_text(_REBUILD.format(head=scripts.get_current_head()))
    folders = [str(Path(scripts.dir) / "versions"), str(later.parent)]
    config.set_main_option("path_separator", "newline")
    config.set_main_option("version_locations", "\n".join(folders))
    command.upgrade(config, "9999")
    with opened.reading() as session:
        assert session.scalar(select(func.count()).select_from(Prediction)) == 1
        assert session.scalar(text("SELECT count(*) FROM image WHERE note IS NULL")) == 1


def test_an_older_prediction_has_its_class_as_the_only_candidate(
    url: str, opened: Database
) -> None:
    migrations.upgrade(url)
    with opened.writing() as session:
        _fill(session)
        session.execute(
            update(Prediction).values(label='of "x"', candidates=["x", "y"], reason="r")
        )
    for _ in range(2):
        migrations.downgrade(url, "0001")
        migrations.upgrade(url)
    opened.dispose()
    with opened.reading() as session:
        [said] = session.scalars(select(Prediction))
        assert (said.label, said.candidates, said.reason) == ('of "x"', ['of "x"'], "")
        assert (said.familiarity, said.box) == (None, None)
        assert (said.probabilities, said.outcome) == ([1.0], "accepted")


def test_shards_of_before_count_what_their_images_say(url: str, opened: Database) -> None:
    migrations.upgrade(url)
    said = [("accepted", "x"), ("accepted", "x"), ("accepted", "y"), ("uncertain", "x"), ("", "")]
    with opened.writing() as session:
        _fill(session)
        session.add_all(Shard(id=i, job_id=1, lane=Lane.BATCH, size=5) for i in (7, 8))
        session.flush()
        for position, (outcome, label) in enumerate(said, start=1):
            state = ImageState.CLASSIFIED if outcome else ImageState.FAILED
            one = Image(id=position + 1, job_id=1, position=position, name="i", size=1, state=state)
            one.shard_id, one.outcome, one.label = 7, outcome or None, label or None
            session.add(one)
    for _ in range(2):
        opened.dispose()
        migrations.downgrade(url, "0004")
        migrations.upgrade(url)
        with opened.reading() as session:
            shards = session.scalars(select(Shard).order_by(Shard.id))
            found = [(one.accepted, one.uncertain, one.unfamiliar) for one in shards]
        assert found == [({"x": 2, "y": 1}, 1, 0), ({}, 0, 0)]


def test_what_each_job_of_before_keeps_is_counted_once_for_its_owner(
    url: str, opened: Database
) -> None:
    migrations.upgrade(url)
    held = [(1, "a", 5), (1, "b", 7), (1, "b", 7), (2, "b", 7), (2, "c", 9), (3, "a", 5)]
    with opened.writing() as session:
        _fill(session)
        session.add(User(id=2, email="b@example.org"))
        session.flush()
        session.add_all(Job(id=id_, owner_id=owner, name="j") for id_, owner in ((2, 1), (3, 2)))
        session.flush()
        for position, (job_id, content, size) in enumerate(held, start=1):
            one = Image(id=position + 1, job_id=job_id, position=position, name="i", size=size)
            one.sha256, one.format = content * 64, "PNG"
            session.add(one)
    for _ in range(2):
        opened.dispose()
        migrations.downgrade(url, "0007")
        migrations.upgrade(url)
        with opened.reading() as session:
            counted = session.execute(select(Job.id, Job.bytes).order_by(Job.id)).all()
        assert [tuple(one) for one in counted] == [(1, 12), (2, 9), (3, 5)]


def _before_the_registry(session: Session) -> None:
    """Three models of which the middle one spoke last, and jobs that have ended and have not."""
    at = {"now": "2026-01-01 00:00:00"}
    for statement in (
        """INSERT INTO "user" (id, email, active, fs_uniquifier, created_at)
           VALUES (1, 'a@example.org', true, 'a', :now)""",
        """INSERT INTO model (digest, name, version, classes, first_used_at) VALUES
           ('old', 'm', '1', '["x"]', '2025-01-01 00:00:00'),
           ('used', 'm', '2', '["x"]', '2025-02-01 00:00:00'),
           ('newest', 'm', '3', '["x"]', '2025-03-01 00:00:00')""",
        """INSERT INTO job (id, owner_id, name, reference, state, lane, received, duplicates,
           refused, settled_before, created_at) VALUES
           (1, 1, 'ended', '', 'finished', 'batch', 1, 0, 0, 0, :now),
           (2, 1, 'at work', '', 'running', 'batch', 1, 0, 0, 0, :now),
           (3, 1, 'failed', '', 'failed', 'batch', 1, 0, 0, 0, :now)""",
        """INSERT INTO image (id, job_id, position, name, state, size, model_digest) VALUES
           (1, 1, 0, 'i', 'classified', 1, 'old'), (2, 1, 1, 'i', 'classified', 1, 'used'),
           (3, 1, 2, 'i', 'refused', 1, NULL), (4, 2, 0, 'i', 'classified', 1, 'used'),
           (5, 3, 0, 'i', 'failed', 1, NULL)""",
        """INSERT INTO prediction (image_id, model_digest, label, confidence, outcome, candidates,
           reason, probabilities, created_at) VALUES
           (1, 'old', 'x', 1, 'accepted', '["x"]', '', '[1]', :now),
           (2, 'used', 'x', 1, 'accepted', '["x"]', '', '[1]', :now)""",
    ):
        session.execute(text(statement), at if ":now" in statement else {})


def _models(database: Database) -> dict[str, str]:
    with database.reading() as session:
        return {one.digest: one.state.value for one in session.scalars(select(Model))}


def test_the_model_that_spoke_last_is_active_and_ended_jobs_are_pinned(
    url: str, opened: Database
) -> None:
    migrations.upgrade(url, "0002")
    with opened.writing() as session:
        _before_the_registry(session)
    for _ in range(2):
        migrations.upgrade(url)
        opened.dispose()
        assert _models(opened) == {"old": "candidate", "used": "active", "newest": "candidate"}
        with opened.reading() as session:
            jobs = session.execute(select(Job.name, Job.model_digest))
            assert dict(jobs.all()) == {"ended": "used", "at work": None, "failed": None}
            used = session.get_one(Model, "used")
            assert (used.added_at, used.scores, used.facts) == (None, {}, {})
            assert used.activated_at == used.first_used_at
        opened.dispose()
        migrations.downgrade(url, "0002")
    with opened.reading() as session:
        assert session.scalar(text("SELECT count(*) FROM prediction")) == 2


def test_a_model_that_a_worker_holds_now_is_the_one_that_was_used_last(
    url: str, opened: Database
) -> None:
    migrations.upgrade(url, "0002")
    with opened.writing() as session:
        _before_the_registry(session)
        for name, digest, seen in (("a", "newest", 20.0), ("b", "old", 10.0)):
            values = {"name": name, "digest": digest, "seen": seen, "now": "2026-01-01 00:00:00"}
            session.execute(
                text(
                    "INSERT INTO worker (name, device, backend, model_digest, images, started_at,"
                    " seen_at) VALUES (:name, 'cpu', 'x', :digest, 0, :now, :seen)"
                ),
                values,
            )
    migrations.upgrade(url)
    opened.dispose()
    assert _models(opened) == {"old": "candidate", "used": "candidate", "newest": "active"}
    with opened.reading() as session:
        assert {tuple(worker.models) for worker in session.scalars(select(Worker))} == {()}


def test_an_empty_list_of_models_has_no_active_one(url: str, opened: Database) -> None:
    migrations.upgrade(url, "0002")
    migrations.upgrade(url)
    opened.dispose()
    assert _models(opened) == {}


def _fill(session: Session) -> None:
    session.add(User(id=1, email="a@example.org"))
    session.add(Model(digest="d", name="n", version="1", classes=["x"]))
    session.flush()
    session.add(Job(id=1, owner_id=1, name="j"))
    session.flush()
    session.add(Image(id=1, job_id=1, position=0, name="i", size=1))
    session.flush()
    verdict = {"label": "x", "confidence": 1.0, "outcome": "accepted", "probabilities": [1.0]}
    said = Prediction(
        image_id=1, model_digest="d", created_at=utcnow(), candidates=["x"], **verdict
    )
    session.add(said)
    session.flush()


def test_people_keep_their_passwords_and_tokens_and_all_sign_in_anew(
    url: str, opened: Database
) -> None:
    migrations.upgrade(url, "0007")
    now = "2026-01-01 00:00:00"
    with opened.writing() as session:
        for statement in (
            f"""INSERT INTO "user" (id, email, password, active, fs_uniquifier, created_at) VALUES
                (1, 'a@example.org', 'hash a', true, 'a', '{now}'),
                (2, 'b@example.org', NULL, false, 'b', '{now}')""",
            "INSERT INTO role (id, name, description) VALUES (1, 'laboratory', '')",
            "INSERT INTO roles_users (user_id, role_id) VALUES (1, 1), (2, 1)",
            f"""INSERT INTO token (id, user_id, kind, name, digest, hint, created_at) VALUES
                (1, 1, 'api', 'scanner', 'd1', 'h', '{now}'),
                (2, 1, 'api', 'this machine', 'd2', 'h', '{now}'),
                (3, 1, 'sign_in', 'this machine', 'd3', 'h', '{now}')""",
        ):
            session.execute(text(statement))
    for _ in range(2):
        migrations.upgrade(url)
        opened.dispose()
        with opened.reading() as session:
            people = session.scalars(select(User).order_by(User.id)).all()
            found = [(one.email, one.password, one.active, len(one.roles)) for one in people]
            names = session.scalars(text("SELECT name FROM token")).all()
        assert found == [
            ("a@example.org", "hash a", True, 1),
            ("b@example.org", None, False, 1),
        ]
        assert names == ["scanner"]
        opened.dispose()
        migrations.downgrade(url, "0007")
        opened.dispose()
        with opened.reading() as session:
            ends = session.scalars(text('SELECT DISTINCT fs_uniquifier FROM "user"')).all()
        assert len(ends) == 2 and all(len(one) == 64 for one in ends)


def test_tables_of_a_newer_program_are_left_alone(url: str, opened: Database) -> None:
    migrations.upgrade(url)
    migrations.require_current(url)
    with opened.writing() as session:
        session.execute(text("UPDATE alembic_version SET version_num = '9999'"))
    for call in (migrations.upgrade, migrations.require_current):
        with pytest.raises(DatabaseTrouble, match="made by a newer version"):
            call(url)


def test_tables_of_an_older_program_are_not_served(url: str) -> None:
    migrations.upgrade(url, "0005")
    with pytest.raises(DatabaseTrouble, match="hematovision db upgrade"):
        migrations.require_current(url)
    migrations.upgrade(url)
    migrations.require_current(url)


def test_whether_tables_are_current_waits_for_no_database(tmp_path: Path) -> None:
    migrations.require_current(f"sqlite:///{tmp_path / 'none.db'}")
    migrations.require_current("postgresql+psycopg://nobody@127.0.0.1:9/nothing")
    assert list(tmp_path.iterdir()) == []
