"""Database and image store know each other: once, and only where that is safe."""

from __future__ import annotations

from pathlib import Path

import pytest
from sqlalchemy import select

from core.blobs import MARK, LocalBlobs, image_key
from core.db import Database
from core.errors import ConfigurationError, StoreAway
from core.installation import adopt_store, open_store
from core.settings import Settings
from core.tables import Store
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
