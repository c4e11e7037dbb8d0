"""Small files are written whole, for their owner alone; many are flushed in one go."""

from __future__ import annotations

import ctypes
import errno
import stat
from contextlib import closing
from pathlib import Path

import pytest

from core.blobs import durable


def test_a_file_replaces_the_old_one_and_is_its_owners(tmp_path: Path) -> None:
    path = tmp_path / "client.json"
    for text in ("first", "second"):
        durable.write_file(path, text)
        assert path.read_text() == text
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert list(tmp_path.iterdir()) == [path]


def test_what_cannot_be_written_leaves_the_old_one(tmp_path: Path) -> None:
    path = tmp_path / "client.json"
    durable.write_file(path, "first")
    with pytest.raises(UnicodeEncodeError):
        durable.write_file(path, "\ud800")
    assert path.read_text() == "first"
    assert list(tmp_path.iterdir()) == [path]


def test_folders_are_made_all_the_way_down(tmp_path: Path) -> None:
    durable.make_folder(tmp_path / "a" / "b" / "c")
    durable.make_folder(tmp_path / "a" / "b" / "c")
    assert (tmp_path / "a" / "b" / "c").is_dir()


@pytest.mark.parametrize("count", [1, 40])
@pytest.mark.parametrize("together", [True, False])
def test_files_are_flushed_with_their_folders(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, count: int, together: bool
) -> None:
    calls: list[int] = []
    monkeypatch.setattr(durable, "_SYNCFS", (lambda at: calls.append(at)) if together else None)
    flushed: list[str] = []
    monkeypatch.setattr(durable, "flush_path", lambda path: flushed.append(path.name))
    files = [tmp_path / f"{number % 2}" / f"{number}.png" for number in range(count)]
    with closing(durable.Flusher(tmp_path)) as flusher:
        flusher.flush(files)
    if together and count > 1:
        assert (len(calls), flushed) == (1, [])
    else:
        assert not calls
        assert set(flushed) == {p.name for p in files} | {p.parent.name for p in files}


def test_a_file_that_is_gone_is_not_said_to_be_flushed(tmp_path: Path) -> None:
    with closing(durable.Flusher(tmp_path)) as flusher, pytest.raises(FileNotFoundError):
        flusher.flush([tmp_path / "gone.png"])


def test_an_error_of_the_disk_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def failing(_: int) -> int:
        ctypes.set_errno(errno.EIO)
        return -1

    monkeypatch.setattr(durable, "_SYNCFS", failing)
    with closing(durable.Flusher(tmp_path)) as flusher, pytest.raises(OSError) as raised:
        flusher.flush([tmp_path / f"{number}" for number in range(40)])
    assert raised.value.errno == errno.EIO
