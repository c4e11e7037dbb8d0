"""The end of a grace period beside everything else: killed anywhere, racing uploads, strays."""

from __future__ import annotations

import errno
import io
import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest
from PIL import Image as Picture
from sqlalchemy import func, insert, select

from core import intake, jobs
from core.audit import Actor
from core.blobs import LocalBlobs, MemoryBlobs, image_key
from core.intake import Limits
from core.jobs import Entry, purging
from core.made.derivatives import keys_of_image
from core.states import ImageState, MakingState
from core.tables import Explanation, Image, Job, LooseBlob, Report
from tests.conftest import MakePerson
from tests.core.conftest import Life, sha

BY = Actor("anna@example.org", 1)
_SWEEP = """
import sys
from pathlib import Path
from core import jobs
from core.blobs import LocalBlobs
from core.db import Database
from core.settings import Settings

database, blobs = Database(sys.argv[1]), LocalBlobs(Path(sys.argv[2]))
while not jobs.purge(database, blobs, Settings()).nothing:
    pass
"""


@pytest.fixture
def store(tmp_path: Path) -> LocalBlobs:
    """A store on the disk."""
    return LocalBlobs(tmp_path / "blobs")


def held(life: Life, store: LocalBlobs, contents: range) -> int:
    """Return an ended job of these contents, its bytes and their copies in the store."""
    job_id = life.open()
    rows = [
        {
            "job_id": job_id,
            "position": i,
            "name": f"{content}.png",
            "size": 9,
            "sha256": sha(content),
        }
        | {"state": ImageState.RECEIVED, "format": "PNG", "width": 64, "height": 64}
        for i, content in enumerate(contents)
    ]
    with life.database.writing() as session:
        session.execute(insert(Image), rows)
    life.submit(job_id)
    life.cancel(job_id)
    for content in contents:
        for key in keys_of_image(sha(content)):
            store.put(key, b"bytes")
    return job_id


def delete(life: Life, job_id: int) -> None:
    with life.database.writing() as session:
        jobs.delete(session, session.get_one(Job, job_id), life.settings, BY, at_once=True)


def present(store: LocalBlobs) -> set[str]:
    return {
        key
        for prefix in ("images/", "derivatives/", "thumbnails/")
        for key in store.older_than(prefix, -9)
    }


def expected(contents: range) -> set[str]:
    return {key for content in contents for key in keys_of_image(sha(content))}


def test_killed_anywhere_it_leaves_nothing_behind_and_takes_nothing_too_much(
    life: Life, store: LocalBlobs, tmp_path: Path
) -> None:
    gone, stays = held(life, store, range(900)), held(life, store, range(600, 1000))
    delete(life, gone)
    url = life.database.engine.url.render_as_string(hide_password=False)
    command = [sys.executable, "-c", _SWEEP, url, str(tmp_path / "blobs")]
    for _ in range(3):
        before = len(present(store))
        sweep = subprocess.Popen(command, env={**os.environ, "PYTHONPATH": str(Path.cwd())})
        while len(present(store)) == before and sweep.poll() is None:
            time.sleep(0.002)
        sweep.send_signal(signal.SIGKILL)
        sweep.wait()
        _everything_that_is_needed_is_there(life, store)
    subprocess.run(command, check=True, env={**os.environ, "PYTHONPATH": str(Path.cwd())})
    assert present(store) == expected(range(600, 1000))
    assert life.images(gone) == []
    assert len(life.images(stays)) == 400
    assert life.job(stays).bytes == 400 * 9
    assert _loose(life) == 0


def _loose(life: Life) -> int:
    with life.database.reading() as session:
        return session.scalar(select(func.count()).select_from(LooseBlob)) or 0


def _everything_that_is_needed_is_there(life: Life, store: LocalBlobs) -> None:
    with life.database.reading() as session:
        hashes = session.scalars(select(Image.sha256).where(Image.format.is_not(None))).all()
    assert [sha256 for sha256 in hashes if not store.exists(image_key(sha256 or ""))] == []


class FailingStore(LocalBlobs):
    """A store whose disk fails after some deletions."""

    def __init__(self, root: Path, deletions: int) -> None:
        super().__init__(root)
        self._left = deletions

    def delete(self, key: str) -> None:
        super().delete(key)
        self._left -= 1
        if self._left == 0:
            raise OSError(errno.EIO, "Input/output error")


def test_a_failure_after_bytes_went_and_before_the_commit_is_made_good_later(
    life: Life, store: LocalBlobs, tmp_path: Path
) -> None:
    delete(life, held(life, store, range(3)))
    failing = FailingStore(tmp_path / "blobs", deletions=5)
    with pytest.raises(OSError, match="Input/output error"):
        jobs.purge(life.database, failing, life.settings)
    assert len(present(store)) == len(expected(range(3))) - 5
    while not jobs.purge(life.database, store, life.settings).nothing:
        pass
    assert present(store) == set()
    assert _loose(life) == 0


def test_an_upload_and_a_purge_of_the_same_bytes_never_leave_a_row_without_bytes(
    life: Life, store: LocalBlobs, person: MakePerson
) -> None:
    """Both know of bytes that are there already: the manifest, and the store as it keeps them."""
    picture = _png()
    sha256 = intake.accept(io.BytesIO(picture), store, Limits(10**6, 10**6)).sha256
    other = Life(life.database, life.settings, person("berta"), life.digest)
    for turn in range(30):
        first = life if turn % 2 else other
        delete(first, _upload(first, store, picture, sha256))
        _upload_beside_a_purge(life, store, picture, sha256)
        _everything_that_is_needed_is_there(life, store)
        for job_id in _kept_jobs(life):
            delete(life, job_id)
        while not jobs.purge(life.database, store, life.settings).nothing:
            pass


def _kept_jobs(life: Life) -> list[int]:
    with life.database.reading() as session:
        return list(session.scalars(select(Job.id).where(Job.deleted_at.is_(None))))


def _upload_beside_a_purge(life: Life, store: LocalBlobs, picture: bytes, sha256: str) -> None:
    both = threading.Barrier(2)

    def purge() -> None:
        both.wait()
        while not jobs.purge(life.database, store, life.settings).nothing:
            pass

    sweep = threading.Thread(target=purge)
    sweep.start()
    both.wait()
    _upload(life, store, picture, sha256)
    sweep.join()


def _upload(life: Life, store: LocalBlobs, picture: bytes, sha256: str) -> int:
    def keeps(accepted: intake.Accepted) -> bool:
        return store.exists(image_key(accepted.sha256))

    job_id = life.open()
    entry = Entry("a.png", len(picture), sha256)
    with life.database.writing() as session:
        job = session.get_one(Job, job_id)
        [(image, needed)] = jobs.announce(session, job, [entry], 10, keeps)
        image_id = image.id
    while needed:
        accepted = intake.accept(io.BytesIO(picture), store, Limits(10**6, 10**6))
        with life.database.writing() as session:
            image = session.get_one(Image, image_id)
            jobs.receive(session, session.get_one(Job, job_id), image, accepted, keeps)
            needed = image.state is ImageState.REFUSED
    return job_id


def _png() -> bytes:
    out = io.BytesIO()
    Picture.new("RGB", (32, 32), (1, 2, 3)).save(out, "PNG")
    return out.getvalue()


def test_strays_of_crashes_are_found_by_their_age_and_removed(
    life: Life, store: LocalBlobs
) -> None:
    job_id = held(life, store, range(2))
    needed = _add_made(life, store, job_id)
    strays = [*keys_of_image(sha("stray")), "reports/9-1.pdf", "explanations/9-1/crop.png"]
    copy_of_nothing = keys_of_image(sha("copy"))[1]
    for key in (*strays, copy_of_nothing, f"models/{'a' * 64}.zip"):
        store.put(key, b"bytes")
    assert purging.strays(life.database, store, 3600) == (0, [])
    seen, listed = purging.strays(life.database, store, -1)
    assert sorted(listed) == sorted([*strays, copy_of_nothing])
    assert seen == len(listed) + len(expected(range(2))) + len(needed)
    purging.remove_strays(life.database, store, listed)
    assert [key for key in listed if store.exists(key)] == []
    assert present(store) == expected(range(2))
    assert all(store.exists(key) for key in (*needed, f"models/{'a' * 64}.zip"))


def _add_made(life: Life, store: LocalBlobs, job_id: int) -> list[str]:
    with life.database.writing() as session:
        made = {"state": MakingState.READY}
        session.add(Report(job_id=job_id, paper="A4", blob_key="reports/1-1.pdf", **made))
        image_id = session.scalar(select(Image.id).limit(1))
        key = "explanations/1-1"
        session.add(Explanation(image_id=image_id, model_digest=life.digest, blob_key=key, **made))
    keys = ["reports/1-1.pdf", "explanations/1-1/crop.png", "explanations/1-1/heat.png"]
    for key in keys:
        store.put(key, b"bytes")
    return keys


def test_what_a_row_needs_by_now_is_no_stray_any_more(life: Life) -> None:
    store = MemoryBlobs()
    job_id = life.open()
    key = image_key(sha("a"))
    store.put(key, b"bytes")
    _, strays = purging.strays(life.database, store, 0)
    [(image_id, _)] = life.announce(job_id, Entry("a.png", 100, sha("a")))
    life.receive(image_id, "a")
    purging.remove_strays(life.database, store, strays)
    assert store.exists(key)
