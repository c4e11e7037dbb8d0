"""Every store keeps the same promises: written once, whole, or not at all."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from core.blobs import BlobStore, LocalBlobs, MemoryBlobs, image_key
from core.errors import BlobMissing

KEY = "images/ab/abcd"


@pytest.fixture(params=["local", "memory"])
def blobs(request: pytest.FixtureRequest, tmp_path: Path) -> BlobStore:
    """Return each store, empty."""
    return LocalBlobs(tmp_path / "blobs") if request.param == "local" else MemoryBlobs()


def test_what_is_put_can_be_got_and_opened(blobs: BlobStore) -> None:
    assert not blobs.exists(KEY)
    blobs.put(KEY, b"bytes")
    assert blobs.exists(KEY)
    assert blobs.get(KEY) == b"bytes"
    with blobs.open(KEY) as file:
        assert file.read() == b"bytes"


def test_what_is_not_there_is_missing_by_name(blobs: BlobStore) -> None:
    for read in (blobs.get, blobs.open):
        with pytest.raises(BlobMissing, match=KEY):
            read(KEY)


def test_what_is_deleted_is_gone_and_deleting_nothing_is_no_error(blobs: BlobStore) -> None:
    blobs.put(KEY, b"bytes")
    blobs.delete(KEY)
    blobs.delete(KEY)
    assert not blobs.exists(KEY)


@pytest.mark.parametrize("damaged", [b"", b"soun", b"sOund"])
def test_writing_a_key_again_heals_what_is_damaged(blobs: BlobStore, damaged: bytes) -> None:
    blobs.put(KEY, damaged)
    blobs.put(KEY, b"sound")
    assert blobs.get(KEY) == b"sound"
    blobs.put(KEY, damaged)
    with blobs.stage() as staging:
        staging.file.write(b"sound")
        staging.keep(KEY)
    assert (blobs.get(KEY), blobs.size(KEY)) == (b"sound", 5)


def test_writing_the_same_bytes_again_writes_nothing(tmp_path: Path) -> None:
    blobs = LocalBlobs(tmp_path)
    blobs.put(KEY, b"sound")
    before = (tmp_path / KEY).stat()
    blobs.put(KEY, b"sound")
    assert (tmp_path / KEY).stat().st_ino == before.st_ino


def test_what_is_staged_is_seen_only_once_it_is_kept(blobs: BlobStore) -> None:
    with blobs.stage() as staging:
        staging.file.write(b"half")
        assert not blobs.exists(KEY)
        staging.file.write(b" and half")
        staging.keep(KEY)
        assert blobs.get(KEY) == b"half and half"
    assert blobs.get(KEY) == b"half and half"


def test_what_is_not_kept_leaves_nothing_behind(blobs: BlobStore, tmp_path: Path) -> None:
    with pytest.raises(RuntimeError), blobs.stage() as staging:
        staging.file.write(b"half")
        raise RuntimeError
    assert not blobs.exists(KEY)
    assert [path for path in tmp_path.rglob("*") if path.is_file()] == []


def test_reading_what_is_staged_before_keeping_it_loses_nothing(blobs: BlobStore) -> None:
    with blobs.stage() as staging:
        staging.file.write(b"bytes")
        staging.file.seek(0)
        assert staging.file.read(2) == b"by"
        staging.keep(KEY)
    assert blobs.get(KEY) == b"bytes"


def test_a_reader_never_sees_half_of_what_several_write(blobs: BlobStore) -> None:
    data = b"x" * 300_000
    keys = [f"images/{n}" for n in range(40)]
    over = threading.Event()

    def write() -> None:
        for key in keys:
            blobs.put(key, data)

    def read() -> set[int]:
        seen = set()
        while not over.is_set():
            seen |= {len(blobs.get(key)) for key in keys if blobs.exists(key)}
        return seen

    with ThreadPoolExecutor(4) as pool:
        reader = pool.submit(read)
        for writer in [pool.submit(write) for _ in range(3)]:
            writer.result()
        over.set()
        assert reader.result() <= {len(data)}
    assert all(blobs.get(key) == data for key in keys)


def test_bytes_whose_staging_place_was_swept_away_are_not_said_to_be_kept(tmp_path: Path) -> None:
    blobs = LocalBlobs(tmp_path)
    with pytest.raises(FileNotFoundError), blobs.stage() as staging:
        staging.file.write(b"bytes")
        for path in _staged(tmp_path):
            path.unlink()
        staging.keep(KEY)
    assert not blobs.exists(KEY)


def _staged(root: Path) -> Iterator[Path]:
    yield from (root / "staging").iterdir()


def test_images_are_spread_over_folders_by_their_hash() -> None:
    assert image_key("abcdef") == "images/ab/abcdef"
