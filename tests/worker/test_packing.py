"""A bundle through the store: the same bytes come back, and nothing else does."""

from __future__ import annotations

import io
import random
import struct
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest

from core.blobs import BlobStore, LocalBlobs, MemoryBlobs
from core.registry import bundle_key
from ml.bundle import Bundle
from ml.bundle.folder import METADATA, ONNX
from tests.worker.conftest import MakeBundle
from worker import packing
from worker.packing import ModelUnusable, fetch, intact, keep, pack, unpack


@pytest.fixture
def bundle(another: MakeBundle) -> Bundle:
    return another()


def packed(bundle: Bundle) -> bytes:
    out = io.BytesIO()
    pack(bundle, out)
    return out.getvalue()


def zipped(entries: dict[str, bytes], compression: int = zipfile.ZIP_STORED) -> io.BytesIO:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", compression) as archive:
        for name, data in entries.items():
            archive.writestr(zipfile.ZipInfo(name), data, compression)
    out.seek(0)
    return out


@pytest.mark.parametrize("make", [lambda _: MemoryBlobs(), LocalBlobs])
def test_a_bundle_comes_back_as_it_went_in(
    make: Callable[[Path], BlobStore], bundle: Bundle, tmp_path: Path
) -> None:
    blobs = make(tmp_path / "store")
    keep(blobs, bundle)
    again = fetch(blobs, bundle.digest, tmp_path / "out")
    assert (again.digest, again.metadata) == (bundle.digest, bundle.metadata)
    assert sorted(file.name for file in again.path.iterdir()) == sorted(
        {METADATA, *bundle.metadata.files}
    )
    assert intact(blobs, bundle.digest)


def test_the_same_bundle_gives_the_same_bytes(bundle: Bundle) -> None:
    first = packed(bundle)
    for file in bundle.path.iterdir():
        file.touch()
        file.chmod(0o600)
    assert packed(bundle) == first


def test_a_stored_bundle_is_never_written_again(bundle: Bundle) -> None:
    blobs = MemoryBlobs()
    blobs.put(bundle_key(bundle.digest), b"what is there")
    keep(blobs, bundle)
    assert blobs.get(bundle_key(bundle.digest)) == b"what is there"
    assert not intact(blobs, bundle.digest)


def test_a_bundle_that_is_not_there_is_said_to_be_missing(tmp_path: Path) -> None:
    with pytest.raises(ModelUnusable, match=r"is missing.*hematovision model add FOLDER"):
        fetch(MemoryBlobs(), "a" * 64, tmp_path / "out")


def stored(data: bytes, digest: str) -> MemoryBlobs:
    blobs = MemoryBlobs()
    blobs.put(bundle_key(digest), data)
    return blobs


def contents(bundle: Bundle) -> dict[str, bytes]:
    names = (METADATA, *bundle.metadata.files)
    return {name: (bundle.path / name).read_bytes() for name in names}


def test_a_changed_file_is_noticed(bundle: Bundle, tmp_path: Path) -> None:
    entries = contents(bundle)
    entries[ONNX] = entries[ONNX][:-1] + b"?"
    with pytest.raises(ModelUnusable, match="is damaged"):
        fetch(stored(zipped(entries).getvalue(), bundle.digest), bundle.digest, tmp_path / "out")


def test_a_whole_other_bundle_is_noticed(
    bundle: Bundle, another: MakeBundle, tmp_path: Path
) -> None:
    other = packed(another("other"))
    with pytest.raises(ModelUnusable, match="not the one that was added"):
        fetch(stored(other, bundle.digest), bundle.digest, tmp_path / "out")


@pytest.mark.parametrize("name", ["run.py", "notes", "references/extra.jpg"])
def test_a_file_that_the_bundle_does_not_list_is_refused(
    name: str, bundle: Bundle, tmp_path: Path
) -> None:
    data = zipped(contents(bundle) | {name: b"import os"}).getvalue()
    with pytest.raises(ModelUnusable, match="not the one that was added"):
        fetch(stored(data, bundle.digest), bundle.digest, tmp_path / "out")


def test_a_bundle_of_another_format_says_so(bundle: Bundle, tmp_path: Path) -> None:
    data = zipped({METADATA: b'{"format": 99}'}).getvalue()
    with pytest.raises(ModelUnusable, match="a format that this version can't read"):
        fetch(stored(data, bundle.digest), bundle.digest, tmp_path / "out")


@pytest.mark.parametrize(
    "name",
    ["../outside", "/etc/outside", "a/../../outside", "a\\..\\outside", "C:outside", "a//b", "a/"],
)
def test_a_name_that_leads_out_is_refused_before_anything_is_written(
    name: str, tmp_path: Path
) -> None:
    with pytest.raises(zipfile.BadZipFile):
        unpack(zipped({"fine": b"1", name: b"2"}), tmp_path / "out")
    assert list(tmp_path.iterdir()) == []


def test_a_compressed_file_is_refused_whatever_it_would_grow_to(tmp_path: Path) -> None:
    bomb = zipped({"zeros": bytes(10**6)}, zipfile.ZIP_DEFLATED)
    with pytest.raises(zipfile.BadZipFile, match="compressed"):
        unpack(bomb, tmp_path / "out")


def test_a_name_that_comes_twice_is_refused(tmp_path: Path) -> None:
    data = bytearray(zipped({"one": b"1", "two": b"2"}).getvalue())
    with pytest.raises(zipfile.BadZipFile, match="twice"):
        unpack(io.BytesIO(bytes(data.replace(b"two", b"one"))), tmp_path / "out")


def test_too_much_is_refused_on_the_way_in_and_out(
    bundle: Bundle, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = packed(bundle)
    monkeypatch.setattr(packing, "LARGEST_BYTES", 10_000)
    blobs = MemoryBlobs()
    with pytest.raises(ModelUnusable, match="this one holds"):
        keep(blobs, bundle)
    assert not blobs.exists(bundle_key(bundle.digest))
    with pytest.raises(zipfile.BadZipFile):
        unpack(io.BytesIO(whole), tmp_path / "out")


def test_a_size_that_is_a_lie_does_not_let_more_out(tmp_path: Path) -> None:
    data = bytearray(zipped({"one": bytes(1000)}).getvalue())
    at = data.rindex(b"PK\x01\x02")
    data[at + 20 : at + 28] = struct.pack("<II", 10, 10)
    with pytest.raises((zipfile.BadZipFile, EOFError)):
        unpack(io.BytesIO(bytes(data)), tmp_path / "out")


def test_whatever_is_damaged_fails_in_words_and_is_no_outage(tmp_path: Path) -> None:
    """An error of the system would be taken for an outage, and tried again for ever."""
    whole = zipped({METADATA: b'{"format": 2}', "model.onnx": bytes(300)}).getvalue()
    chance = random.Random(3)
    for number in range(400):
        data = bytearray(whole)
        for _ in range(chance.randint(1, 6)):
            data[chance.randrange(len(data))] = chance.randrange(256)
        cut = bytes(data[: chance.randint(0, len(data))] if number % 2 else data)
        with pytest.raises(ModelUnusable):
            fetch(stored(cut, "a" * 64), "a" * 64, tmp_path / str(number))
        store = LocalBlobs(tmp_path / f"store-{number}")
        store.put(bundle_key("a" * 64), cut)
        with pytest.raises(ModelUnusable):
            fetch(store, "a" * 64, tmp_path / f"local-{number}")
