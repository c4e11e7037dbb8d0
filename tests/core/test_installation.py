"""Database and image store know each other: once, and only where that is safe."""

from __future__ import annotations

from pathlib import Path

import pytest
from sqlalchemy import select, text
from sqlalchemy.exc import OperationalError

from core.blobs import MARK, LocalBlobs, MemoryBlobs, image_key
from core.db import Database
from core.errors import ConfigurationError, NoSpace, StoreAway
from core.installation import Installation, adopt_store, open_installation, open_store, room
from core.queue import CLASSIFY, MemoryQueue
from core.settings import Settings
from core.states import Lane
from core.tables import Store, User
from tests.conftest import SmallDisk
from tests.core.conftest import Life, sha


def _known(database: Database) -> list[str]:
    with database.reading() as session:
        return list(session.scalars(select(Store.mark)))


def _marked(root: Path) -> str:
    return (root / MARK).read_text().strip()


def test_a_new_installation_gets_its_mark_once(database: Database, tmp_path: Path) -> None:
    root = tmp_path / "blobs"
    adopt_store(database, root)
    first = _marked(root)
    adopt_store(database, root)
    assert _known(database) == [first] == [_marked(root)]


def test_an_installation_from_before_there_were_marks_gets_one_if_its_images_are_there(
    life: Life, tmp_path: Path
) -> None:
    root = tmp_path / "blobs"
    life.fill(life.open(), 3)
    with pytest.raises(ConfigurationError, match="Is its disk mounted"):
        adopt_store(life.database, root)
    assert not root.exists()
    job_id = life.open()
    life.fill(job_id, 1)
    LocalBlobs(root).put(image_key(sha(f"{job_id}/0")), b"x")
    adopt_store(life.database, root)
    assert _known(life.database) == [_marked(root)]


def test_a_store_that_is_not_mounted_is_never_marked_anew(
    database: Database, tmp_path: Path
) -> None:
    root = tmp_path / "mount"
    adopt_store(database, root)
    known = _known(database)
    root.rename(tmp_path / "elsewhere")
    root.mkdir()
    with pytest.raises(ConfigurationError, match="is missing"):
        adopt_store(database, root)
    assert (_known(database), list(root.iterdir())) == (known, [])


def test_the_store_of_another_database_is_refused_unless_a_person_says_so(
    database: Database, tmp_path: Path
) -> None:
    adopt_store(database, tmp_path / "one")
    (tmp_path / "two").mkdir()
    (tmp_path / "two" / MARK).write_text("another\n")
    with pytest.raises(ConfigurationError, match="another database"):
        adopt_store(database, tmp_path / "two")
    adopt_store(database, tmp_path / "two", unseen=True)
    assert _known(database) == ["another"]


def test_a_database_put_back_into_a_fresh_installation_takes_its_store_along(
    database: Database, tmp_path: Path
) -> None:
    (tmp_path / "blobs").mkdir()
    (tmp_path / "blobs" / MARK).write_text("from the backup\n")
    adopt_store(database, tmp_path / "blobs")
    assert _known(database) == ["from the backup"]


def test_a_process_that_serves_makes_no_mark(settings: Settings, database: Database) -> None:
    store = open_store(settings, database)
    for call in (store.check, lambda: store.put("a", b"x")):
        with pytest.raises(StoreAway):
            call()
    assert not settings.blobs.exists()
    adopt_store(database, settings.blobs)
    store.put("a", b"x")


@pytest.fixture
def installed(settings: Settings, migrated_sqlite: Path) -> Settings:
    """Return the settings of a one-machine installation that is there: database and store."""
    settings.data.mkdir()
    (settings.data / "hematovision.db").write_bytes(migrated_sqlite.read_bytes())
    database = Database(settings.database)
    adopt_store(database, settings.blobs)
    database.dispose()
    return settings


def test_a_process_opens_database_and_store_where_the_settings_say(installed: Settings) -> None:
    opened = open_installation(installed)
    opened.blobs.put("images/a", b"cell")
    with opened.database.writing() as session:
        session.add(User(email="anna@example.org"))
    assert (installed.blobs / "images" / "a").exists()
    other = Database(installed.database)
    with other.reading() as session:
        assert session.scalars(select(User.email)).all() == ["anna@example.org"]
    assert opened.settings is installed
    for database in (opened.database, other):
        database.dispose()


def test_a_process_makes_no_database_where_there_is_none(settings: Settings) -> None:
    settings.data.mkdir()
    opened = open_installation(settings)
    with pytest.raises(OperationalError), opened.database.writing() as session:
        session.add(User(email="anna@example.org"))
    assert list(settings.data.iterdir()) == []


def test_intake_leaves_the_reserve_of_free_space_to_the_work(installed: Settings) -> None:
    short = installed.model_copy(update={"reserve_bytes": 2**62})
    intake, work = open_installation(short, intake=True), open_installation(short)
    with pytest.raises(NoSpace, match="disk is full"):
        intake.blobs.put("images/a", b"cell")
    work.blobs.put("derivatives/a", b"copy")
    assert work.blobs.get("derivatives/a") == b"copy"
    assert not work.blobs.exists("images/a")
    for one in (intake, work):
        one.database.dispose()


def test_the_reserve_is_kept_where_images_lie_and_where_sqlite_lies(
    settings: Settings, small_disk: SmallDisk
) -> None:
    """The disks are two here; the room is that of the fuller one."""
    plain = settings.model_copy(update={"reserve_bytes": 1})
    free = room(plain).left()
    assert free > 20 * 2**20
    for setting in ("blob_root", "data"):
        where = small_disk.root / "a" if setting == "data" else str(small_disk.root)
        rest = {"blob_root": str(settings.data)} if setting == "data" else {}
        moved = plain.model_copy(update={setting: where, **rest})
        assert 0 < room(moved).left() < 13 * 2**20
    elsewhere = plain.model_copy(update={"database_url": "postgresql+psycopg://db/x"})
    assert room(elsewhere.model_copy(update={"data": small_disk.root, **rest})).left() > 20 * 2**20


@pytest.mark.parametrize(
    ("words", "limit"), [({}, "1min"), ({"statement_seconds": 2.5}, "2500ms"), (None, "0")]
)
def test_a_statement_takes_as_long_as_the_process_allows(
    settings: Settings, migrated_postgresql: str, words: dict[str, float] | None, limit: str
) -> None:
    there = settings.model_copy(update={"database_url": migrated_postgresql})
    if words is None:
        opened = open_installation(there, statement_seconds=None)
    else:
        opened = open_installation(there, **words)  # type: ignore[arg-type]
    with opened.database.reading() as session:
        assert session.scalar(text("SHOW statement_timeout")) == limit
    opened.database.dispose()


def test_an_installation_rings_for_what_its_commits_make_wait(life: Life) -> None:
    queue = MemoryQueue()
    Installation(life.settings, life.database, MemoryBlobs(), queue)
    job_id = life.submitted(2)
    [shard] = life.shards(job_id)
    assert queue.rung == [(CLASSIFY, shard.id, Lane.INTERACTIVE)]
    assert life.queue.rung == []
