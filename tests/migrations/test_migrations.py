"""The tables on both databases: up, down, up again, and in step with `core.models`."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from itertools import count
from pathlib import Path

import pytest
from alembic import command
from alembic.script import ScriptDirectory
from sqlalchemy import func, inspect, select, text
from sqlalchemy.orm import Session

import migrations
from core.db import Database, utcnow
from core.models import Base, Image, Job, Model, Prediction, User

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


def _fill(session: Session) -> None:
    session.add(User(id=1, email="a@example.org", fs_uniquifier="a"))
    session.add(Model(digest="d", name="n", version="1", classes=["x"]))
    session.flush()
    session.add(Job(id=1, owner_id=1, name="j"))
    session.flush()
    session.add(Image(id=1, job_id=1, position=0, name="i", size=1))
    session.flush()
    verdict = {"label": "x", "confidence": 1.0, "outcome": "accepted", "probabilities": [1.0]}
    session.add(Prediction(image_id=1, model_digest="d", created_at=utcnow(), **verdict))
    session.flush()
