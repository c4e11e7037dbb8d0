"""An archive's files are on the disk before anything says that they came."""

from __future__ import annotations

import io
import tarfile
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from PIL import Image

from core.blobs import BlobStore, Flush, LocalBlobs, MemoryBlobs, durable, image_key
from core.errors import NoSpace
from core.intake import Accepted, Limits
from core.intake.archives import BATCH, ArchiveCounts, members, take_in
from tests.core.archiving import CAPS, tar_of

COUNT = 600


def picture(number: int) -> bytes:
    out = io.BytesIO()
    Image.new("RGB", (16, 16), (number % 256, number // 256, 7)).save(out, "PNG")
    return out.getvalue()


def take(store: BlobStore, note: Callable[[list[str]], None]) -> None:
    files = {f"{number}.png": picture(number) for number in range(COUNT)}
    take_in(
        members(io.BytesIO(tar_of(tarfile.GNU_FORMAT, files)), MemoryBlobs(), CAPS),
        store,
        Limits(10_000, 10_000),
        lambda arrivals, _: note(
            [
                image_key(arrival.result.sha256)
                for arrival in arrivals
                if isinstance(arrival.result, Accepted)
            ]
        ),
        ArchiveCounts(),
    )


class Watched(MemoryBlobs):
    """Notes what is flushed."""

    def __init__(self) -> None:
        super().__init__()
        self.flushed: set[str] = set()

    @contextmanager
    def flushing(self) -> Iterator[Flush]:
        yield self.flushed.update


def test_what_is_written_down_was_settled_before() -> None:
    store = Watched()
    written: list[str] = []

    def note(keys: list[str]) -> None:
        assert store.flushed >= set(keys)
        written.extend(keys)

    take(store, note)
    assert len(written) == COUNT


class Filling(Watched):
    """Has no room left after some files."""

    def put(self, key: str, data: bytes, *, lasting: bool = True) -> None:
        if len(self._kept) >= COUNT - 50:
            raise NoSpace("full")
        super().put(key, data, lasting=lasting)


def test_what_was_settled_before_the_disk_was_full_is_written_down(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("core.intake.archives.taking._BATCH_SECONDS", 600.0)
    store = Filling()
    written: list[str] = []
    with pytest.raises(NoSpace):
        take(store, written.extend)
    assert len(written) == 2 * BATCH and store.flushed >= {*written}


def test_a_batch_is_flushed_in_one_go_and_no_file_by_itself(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "staging").mkdir()
    # A slow machine writes smaller batches down.
    monkeypatch.setattr("core.intake.archives.taking._BATCH_SECONDS", 600.0)
    batches: list[int] = []
    flush = durable.Flusher.flush

    def count(self: durable.Flusher, files: Collection[Path]) -> None:
        batches.append(len(files))
        flush(self, files)

    monkeypatch.setattr(durable.Flusher, "flush", count)
    single: list[int] = []
    monkeypatch.setattr(durable, "flush", single.append)
    written: list[str] = []
    take(LocalBlobs(tmp_path), written.extend)
    assert sum(batches) == len(written) == COUNT
    assert len(batches) == 3
    # Folders that are new are flushed once each.
    assert len(single) <= 2 * 256 + 2
