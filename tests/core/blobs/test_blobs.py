"""Every store keeps the same promises: written once, whole, or not at all."""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from core.blobs import (
    MARK,
    BlobStore,
    LocalBlobs,
    Mark,
    MemoryBlobs,
    image_key,
    sound_image,
)
from core.blobs.mark import write_id
from core.blobs.space import Space
from core.errors import BlobDamaged, BlobMissing, NoSpace, StoreAway
from tests.conftest import SmallDisk

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


DATA = b"the bytes of a cell"
SHA256 = hashlib.sha256(DATA).hexdigest()


def test_a_sound_image_is_read(blobs: BlobStore) -> None:
    blobs.put(image_key(SHA256), DATA)
    assert sound_image(blobs, SHA256) == DATA


@pytest.mark.parametrize("damaged", [b"", DATA[:-1], DATA + b"x", b"T" + DATA[1:]])
def test_a_damaged_image_is_set_aside_and_healed_by_sending_it_again(
    blobs: BlobStore, damaged: bytes
) -> None:
    blobs.put(image_key(SHA256), damaged)
    with pytest.raises(BlobDamaged, match="Send the same file again"):
        sound_image(blobs, SHA256)
    assert not blobs.exists(image_key(SHA256))
    blobs.put(image_key(SHA256), DATA)
    assert sound_image(blobs, SHA256) == DATA


def test_a_damaged_image_is_kept_for_who_wants_to_look_at_it_until_a_sound_one_comes(
    tmp_path: Path,
) -> None:
    blobs = LocalBlobs(tmp_path)
    blobs.put(image_key(SHA256), DATA[:-1])
    for _ in range(2):
        with pytest.raises(BlobDamaged):
            sound_image(blobs, SHA256)
    aside = tmp_path / "damaged" / image_key(SHA256)
    assert aside.read_bytes() == DATA[:-1]
    blobs.put(image_key(SHA256), DATA)
    assert not aside.exists()
    blobs.delete(image_key(SHA256))
    with pytest.raises(BlobMissing):
        sound_image(blobs, SHA256)


def test_deleting_an_image_deletes_what_was_set_aside_of_it(tmp_path: Path) -> None:
    blobs = LocalBlobs(tmp_path)
    blobs.put(image_key(SHA256), b"damaged")
    with pytest.raises(BlobDamaged):
        sound_image(blobs, SHA256)
    blobs.delete(image_key(SHA256))
    assert not (tmp_path / "damaged" / image_key(SHA256)).exists()


def test_a_copy_that_was_healed_after_the_damage_was_read_stays(tmp_path: Path) -> None:
    """Who read damaged bytes comes to set them aside after somebody has sent sound ones."""
    blobs = LocalBlobs(tmp_path)
    blobs.put(image_key(SHA256), DATA)
    blobs.set_aside(image_key(SHA256), lambda file: file.read() == DATA)
    assert sound_image(blobs, SHA256) == DATA


def test_a_folder_in_place_of_an_image_is_damage_and_heals(tmp_path: Path) -> None:
    blobs = LocalBlobs(tmp_path)
    (tmp_path / image_key(SHA256)).mkdir(parents=True)
    assert not blobs.exists(image_key(SHA256))
    with pytest.raises(BlobDamaged):
        sound_image(blobs, SHA256)
    (tmp_path / image_key(SHA256)).mkdir(parents=True, exist_ok=True)
    blobs.put(image_key(SHA256), DATA)
    assert sound_image(blobs, SHA256) == DATA


ID = "0123456789abcdef"


@pytest.fixture
def marked(tmp_path: Path) -> LocalBlobs:
    """Return a store that knows itself by a mark, and holds an image."""
    root = tmp_path / "mount"
    write_id(root, ID)
    store = LocalBlobs(root, mark=Mark(root, lambda: ID))
    store.put(image_key(SHA256), DATA)
    return store


def test_a_store_that_is_not_mounted_takes_nothing_and_calls_nothing_missing(
    marked: LocalBlobs, tmp_path: Path
) -> None:
    (tmp_path / "mount").rename(tmp_path / "elsewhere")
    (tmp_path / "mount").mkdir()
    key = image_key(SHA256)
    calls: list[Callable[[], object]] = [
        marked.check,
        marked.check_writable,
        lambda: marked.get(key),
        lambda: marked.open(key),
        lambda: marked.exists(key),
        lambda: marked.size(key),
        lambda: marked.delete(key),
        lambda: marked.put(key, DATA),
        lambda: marked.sweep_staging(0),
        lambda: sound_image(marked, SHA256),
    ]
    for call in calls:
        with pytest.raises(StoreAway, match="may not be mounted"):
            call()
    assert list((tmp_path / "mount").iterdir()) == []
    (tmp_path / "mount").rmdir()
    (tmp_path / "elsewhere").rename(tmp_path / "mount")
    assert sound_image(marked, SHA256) == DATA


def test_another_store_in_its_place_is_noticed(marked: LocalBlobs, tmp_path: Path) -> None:
    (tmp_path / "mount").rename(tmp_path / "elsewhere")
    write_id(tmp_path / "mount", "another")
    with pytest.raises(StoreAway, match="does not belong to this database"):
        marked.put("a", b"x")
    assert [path.name for path in (tmp_path / "mount").iterdir()] == [MARK]


def test_what_was_staged_before_the_store_went_is_not_said_to_be_kept(
    marked: LocalBlobs, tmp_path: Path
) -> None:
    with pytest.raises(StoreAway), marked.stage() as staging:
        staging.file.write(b"bytes")
        (tmp_path / "mount").rename(tmp_path / "elsewhere")
        (tmp_path / "mount").mkdir()
        staging.keep(KEY)
    assert list((tmp_path / "mount").iterdir()) == []


def test_what_a_killed_process_left_staged_is_removed_and_what_is_open_stays(
    tmp_path: Path,
) -> None:
    blobs = LocalBlobs(tmp_path)
    with blobs.stage() as staging:
        staging.file.write(b"arriving")
        staging.file.flush()
        (tmp_path / "staging" / "left").write_bytes(b"left over")
        assert blobs.sweep_staging(3600) == 0
        assert blobs.sweep_staging(-1) == len(b"left over")
        staging.keep(KEY)
    assert blobs.get(KEY) == b"arriving"
    assert list((tmp_path / "staging").iterdir()) == []


def test_a_full_disk_is_said_so_and_nothing_is_half_kept(small_disk: SmallDisk) -> None:
    blobs = LocalBlobs(small_disk.root / "blobs")
    blobs.put("a", b"before")
    small_disk.fill()
    with pytest.raises(NoSpace, match="disk is full"):
        blobs.put("b", bytes(300_000))
    assert not blobs.exists("b")
    assert blobs.get("a") == b"before"
    small_disk.free()
    blobs.put("b", bytes(300_000))
    assert blobs.size("b") == 300_000


def test_a_disk_that_may_only_be_read_is_an_outage(small_disk: SmallDisk) -> None:
    blobs = LocalBlobs(small_disk.root / "blobs")
    blobs.put("a", b"before")
    small_disk.protect()
    calls: list[Callable[[], None]] = [lambda: blobs.put("b", b"x"), blobs.check_writable]
    for call in calls:
        with pytest.raises(StoreAway, match="can't be written to"):
            call()
    assert blobs.get("a") == b"before"
    small_disk.protect(on=False)
    blobs.put("b", b"x")


def test_below_the_reserve_nothing_is_taken_in_and_work_goes_on(small_disk: SmallDisk) -> None:
    root = small_disk.root / "blobs"
    intake = LocalBlobs(root, space=Space([root], 4 * 2**20))
    with pytest.raises(NoSpace), intake.stage() as staging:
        for _ in range(12):
            staging.file.write(bytes(2**20))
    intake.put("a", b"fits")
    LocalBlobs(root).put("ballast", bytes(9 * 2**20))
    with pytest.raises(NoSpace):
        intake.put("b", b"x")
    LocalBlobs(root).put("report", b"made while intake waits")


def test_damage_on_a_disk_that_may_only_be_read_is_an_outage_until_it_can_be_healed(
    small_disk: SmallDisk,
) -> None:
    blobs = LocalBlobs(small_disk.root / "blobs")
    blobs.put(image_key(SHA256), b"damaged")
    (small_disk.root / "blobs" / "images" / "cd").mkdir(parents=True)
    (small_disk.root / "blobs" / "images" / "cd" / "cd").mkdir()
    small_disk.protect()
    with pytest.raises(BlobDamaged):
        sound_image(blobs, SHA256)
    with pytest.raises(StoreAway):
        blobs.get(image_key("cd"))
    small_disk.protect(on=False)
    with pytest.raises(BlobDamaged):
        sound_image(blobs, SHA256)
    assert not blobs.exists(image_key(SHA256))
